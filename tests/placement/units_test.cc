#include "placement/units.h"

#include <gtest/gtest.h>

namespace hearth::placement {
namespace {

TEST(UnitsTest, TimesOfEverySizeAreShortAndNamed) {
  EXPECT_EQ(FormatTime(0), "0.0 us");
  EXPECT_EQ(FormatTime(9.94), "9.9 us");
  EXPECT_EQ(FormatTime(9.96), "10 us");
  EXPECT_EQ(FormatTime(999.4), "999 us");
  EXPECT_EQ(FormatTime(999.6), "1.00 ms");
  EXPECT_EQ(FormatTime(4100), "4.10 ms");
  EXPECT_EQ(FormatTime(2.5e6), "2.50 s");
}

TEST(UnitsTest, BytesOfEverySizeAreShortAndNamed) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes((uint64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(uint64_t{5} << 29), "2.5 GiB");
  EXPECT_EQ(FormatBytes(uint64_t{1} << 52), "4096.0 TiB");
}

TEST(UnitsTest, OnlyOneIsSingular) {
  EXPECT_EQ(FormatCount(0, "section"), "0 sections");
  EXPECT_EQ(FormatCount(1, "section"), "1 section");
  EXPECT_EQ(FormatCount(32, "section"), "32 sections");
}

}  // namespace
}  // namespace hearth::placement
