#include "daemon/http/wrong_keys.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

const absl::Time kThen = absl::FromUnixSeconds(1795000000);

TEST(WrongKeysTest, AreCountedByAddressWithinTheInterval) {
  WrongKeys keys;
  EXPECT_EQ(keys.Count("10.0.0.1", kThen), 1);
  EXPECT_EQ(keys.Count("10.0.0.1", kThen + absl::Seconds(59)), 2);
  EXPECT_EQ(keys.Count("10.0.0.2", kThen + absl::Seconds(59)), 1);
  EXPECT_EQ(keys.Count("10.0.0.1", kThen + WrongKeys::kInterval), 1);
  EXPECT_EQ(keys.Count("10.0.0.1", kThen + WrongKeys::kInterval), 2);
}

TEST(WrongKeysTest, AddressKnownLongestMakesRoomForANewOne) {
  WrongKeys keys;
  for (size_t i = 0; i < WrongKeys::kAddresses; ++i) {
    keys.Count(absl::StrCat(i), kThen + absl::Milliseconds(i));
  }
  const absl::Time later = kThen + absl::Seconds(10);
  EXPECT_EQ(keys.Count("new", later), 1);
  EXPECT_EQ(keys.Count("new", later), 2);
  EXPECT_EQ(keys.Count("1", later), 2);  // still known
  EXPECT_EQ(keys.Count("0", later), 1);  // forgotten
}

}  // namespace
}  // namespace hearth
