#include "engine/neuron/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::HasSubstr;

TEST(Profile, FileWithoutProfileGivesAnEmptyOne) {
  const auto profile = ReadProfile(GgufMetadata(), {4, 4});
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->tokens, 0u);
  EXPECT_TRUE(profile->frequencies[1].empty());
}

TEST(Profile, ReadsFrequenciesPerLayer) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.tokens", uint64_t{1000});
  metadata.Set("hearth.profile.1", std::vector<float>{0.5f, 1.0f});
  const auto profile = ReadProfile(metadata, {2, 2});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->tokens, 1000u);
  EXPECT_EQ(profile->frequencies[1], (std::vector<float>{0.5f, 1.0f}));
}

TEST(Profile, RefusesALengthThatIsNotTheLayers) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.0", std::vector<float>{0.5f});
  EXPECT_THAT(std::string(ReadProfile(metadata, {2}).status().message()), HasSubstr("2 neurons"));
}

TEST(Profile, RefusesAShareAboveOne) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.0", std::vector<float>{0.5f, 1.5f});
  EXPECT_EQ(ReadProfile(metadata, {2}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
