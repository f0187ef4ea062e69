#include "daemon/openai/stream_position.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

constexpr char kKey[] = "0123456789abcdef0123456789ABCDEF";

TEST(StreamPositionTest, ComesBackFromItsText) {
  StreamPosition position = StreamPosition::New(2);
  position.Advance(0, 17);
  position.Advance(1, 3);
  position.End(1);
  const auto read = StreamPosition::Parse(position.Text(), 2);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Text(), position.Text());
  EXPECT_EQ(read->offset(0), 17u);
  EXPECT_EQ(read->offset(1), 3u);
  EXPECT_FALSE(read->ended(0));
  EXPECT_TRUE(read->ended(1));
  EXPECT_EQ(read->RequestId(1), position.RequestId(1));
  EXPECT_NE(position.RequestId(0), position.RequestId(1));
}

TEST(StreamPositionTest, EachStreamHasAKeyOfItsOwn) {
  EXPECT_NE(StreamPosition::New(1).Text(), StreamPosition::New(1).Text());
}

TEST(StreamPositionTest, WhatIsNoPositionIsRefused) {
  EXPECT_TRUE(StreamPosition::Parse(absl::StrCat(kKey, ".0"), 1).ok());
  for (const std::string& text :
       {std::string(), std::string(kKey), absl::StrCat(kKey, "."), absl::StrCat(kKey, ".-1"),
        absl::StrCat(kKey, ".+1"), absl::StrCat(kKey, ".1 "), absl::StrCat(kKey, ".1.2"),
        absl::StrCat(kKey, ".e"), absl::StrCat(kKey, ".1ee"), absl::StrCat(kKey, ".4294967296"),
        absl::StrCat(kKey, ".", std::string(5000, '1')), std::string("x.1"),
        absl::StrReplaceAll(absl::StrCat(kKey, ".1"), {{"f", "g"}}), std::string(5000, '.')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(StreamPosition::Parse(text, 1).status())) << text;
  }
  EXPECT_FALSE(StreamPosition::Parse(absl::StrCat(kKey, ".1"), 2).ok());
  EXPECT_FALSE(StreamPosition::Parse(absl::StrCat(kKey, ".1"), 0).ok());
}

TEST(StreamPositionTest, TheLastOfSeveralEventsHasTheId) {
  const StreamPosition position = StreamPosition::New(1);
  const std::string id = absl::StrCat("id: ", position.Text(), "\n");
  EXPECT_EQ(WithEventId("data: a\n\n", position), id + "data: a\n\n");
  EXPECT_EQ(WithEventId("data: a\n\ndata: b\n\n", position), "data: a\n\n" + id + "data: b\n\n");
}

}  // namespace
}  // namespace hearth
