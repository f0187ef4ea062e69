#include "engine/base/split_name.h"

#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(SplitNameTest, HasThePartsNumbers) {
  const std::optional<SplitName> name = ParseSplitName("/a.b/big-of-00001-00002-of-00003.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->stem, "/a.b/big-of-00001");
  EXPECT_EQ(name->part, 2u);
  EXPECT_EQ(name->parts, 3u);
  EXPECT_EQ(name->Of(3), "/a.b/big-of-00001-00003-of-00003.gguf");
}

TEST(SplitNameTest, OtherNamesAreNone) {
  for (const char* path :
       {"", "m.gguf", "m-00001.gguf", "m-1-of-3.gguf", "m-00001-of-00003", "m-00000-of-00003.gguf",
        "m-00004-of-00003.gguf", "m-0000a-of-00003.gguf", "m-00001-on-00003.gguf", "of-00003.gguf"}) {
    EXPECT_FALSE(ParseSplitName(path).has_value()) << path;
  }
}

}  // namespace
}  // namespace hearth
