#include "daemon/identity/api_key.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace hearth {
namespace {

TEST(ApiKey, IsALineThatGoesIntoAHeaderAndNeverTheSame) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    const std::string key = MakeApiKey();
    EXPECT_TRUE(absl::StartsWith(key, "hearth-"));
    EXPECT_EQ(key.size(), 7u + 32u);  // 160 bits
    for (const char c : key)
      EXPECT_TRUE(absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-') << key;
    keys.insert(key);
  }
  EXPECT_EQ(keys.size(), 100u);
}

TEST(ApiKey, HasAnIdOfItsOwn) {
  const std::string key = MakeApiKey();
  EXPECT_EQ(IdOfApiKey(key), IdOfApiKey(key));
  EXPECT_NE(IdOfApiKey(key), IdOfApiKey(MakeApiKey()));
}

TEST(ApiKey, WhatDoesNotLookLikeOneHasNoId) {
  const std::string key = MakeApiKey();
  EXPECT_EQ(IdOfApiKey(""), std::nullopt);
  EXPECT_EQ(IdOfApiKey(key + "a"), std::nullopt);
  EXPECT_EQ(IdOfApiKey(key.substr(1)), std::nullopt);
  EXPECT_EQ(IdOfApiKey(std::string(key.size(), 'x')), std::nullopt);
  EXPECT_EQ(IdOfApiKey(std::string(1'000'000, 'x')), std::nullopt);
}

}  // namespace
}  // namespace hearth
