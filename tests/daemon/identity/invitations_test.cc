#include "daemon/identity/invitations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1795000000);
constexpr absl::Duration kHour = absl::Hours(1);

JoinSecret Secret(uint8_t seed) {
  JoinSecret secret;
  secret.fill(seed);
  return secret;
}

HostId Key(uint8_t seed) {
  HostId::Digest digest;
  digest.fill(seed);
  return HostId(digest);
}

TEST(Invitations, AdmitOneKeyAndThatOneAgain) {
  Invitations invitations;
  invitations.Add(Secret(1), kNow + kHour);
  EXPECT_TRUE(invitations.Claim(Secret(1), Key(1), kNow).ok());
  EXPECT_TRUE(invitations.Claim(Secret(1), Key(1), kNow).ok());
  EXPECT_THAT(invitations.Claim(Secret(1), Key(2), kNow).message(), HasSubstr("used already"));
}

TEST(Invitations, ExpireForWhoeverComesLate) {
  Invitations invitations;
  invitations.Add(Secret(1), kNow + kHour);
  EXPECT_TRUE(invitations.Claim(Secret(1), Key(1), kNow + kHour).ok());
  EXPECT_THAT(invitations.Claim(Secret(1), Key(1), kNow + kHour + absl::Seconds(1)).message(),
              HasSubstr("has expired"));
}

TEST(Invitations, UnknownSecretIsRefused) {
  Invitations invitations;
  invitations.Add(Secret(1), kNow + kHour);
  const absl::Status refused = invitations.Claim(Secret(2), Key(1), kNow);
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(refused.message(), HasSubstr("unknown here"));
}

TEST(Invitations, TheOldestMakeRoom) {
  Invitations invitations;
  for (size_t i = 0; i <= Invitations::kMost; ++i) {
    JoinSecret secret = Secret(0);
    secret[0] = static_cast<uint8_t>(i);
    secret[1] = static_cast<uint8_t>(i >> 8);
    invitations.Add(secret, kNow + kHour);
  }
  EXPECT_FALSE(invitations.Claim(Secret(0), Key(1), kNow).ok());
  JoinSecret second = Secret(0);
  second[0] = 1;
  EXPECT_TRUE(invitations.Claim(second, Key(1), kNow).ok());
}

TEST(Invitations, WhoIsForgottenDoesNotComeBackWithTheOldSecret) {
  Invitations invitations;
  invitations.Add(Secret(1), kNow + kHour);
  invitations.Add(Secret(2), kNow + kHour);
  EXPECT_TRUE(invitations.Claim(Secret(1), Key(1), kNow).ok());
  EXPECT_TRUE(invitations.Claim(Secret(2), Key(2), kNow).ok());
  invitations.Forget(Key(1));
  EXPECT_THAT(invitations.Claim(Secret(1), Key(1), kNow).message(), HasSubstr("unknown here"));
  EXPECT_TRUE(invitations.Claim(Secret(2), Key(2), kNow).ok());
}

}  // namespace
}  // namespace hearth
