#include "engine/base/printable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// What is wrong with a name; empty: nothing.
std::string Problem(const std::string& what, const std::string& name) {
  return std::string(CheckName(what, name).message());
}

TEST(CheckName, WordsOfAnyLanguageAreNames) {
  for (const char* name : {"a", "living room", "küche-2", "居間", "gpu0 NVIDIA H100 80GB", "😀"}) {
    EXPECT_TRUE(CheckName("--name", name).ok()) << name;
  }
  EXPECT_TRUE(CheckName("--name", std::string(kMaxNameBytes, 'x')).ok());
}

TEST(CheckName, EmptyBlankAndTooLongNamesAreRefusedWithTheReason) {
  EXPECT_THAT(Problem("--name", ""), StartsWith("--name: is empty"));
  EXPECT_THAT(Problem("--name", "  "), HasSubstr("blank"));
  EXPECT_THAT(Problem("--name", "a "), HasSubstr("blank"));
  EXPECT_THAT(Problem("--name", std::string(kMaxNameBytes + 1, 'x')),
              HasSubstr(absl::StrCat("has ", kMaxNameBytes + 1, " bytes; at most ", kMaxNameBytes)));
}

TEST(CheckName, WhatATerminalWouldActOnIsRefusedAndShownEscaped) {
  const std::string nul("a\0b", 3);
  for (const std::string& name : {std::string("a\nb"), std::string("a\x1b[31m"), nul, std::string("a\x7f"),
                                  std::string("a\u202e"), std::string("\u2066a"), std::string("a\u200b"),
                                  std::string("\ufeff"
                                              "a"),
                                  std::string("a\u0085")}) {
    const std::string problem = Problem("host", name);
    EXPECT_THAT(problem, StartsWith("host: "));
    EXPECT_EQ(Printable(problem), problem) << "the error itself is printable";
  }
  EXPECT_THAT(Problem("host", "a\u202e"), HasSubstr("\\u{202e}"));
}

TEST(CheckName, BytesThatAreNoUtf8AreRefused) {
  for (const char* name : {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"}) {
    EXPECT_THAT(Problem("host", name), HasSubstr("not valid UTF-8"));
  }
}

TEST(CheckPath, PathsMayBeLongAndHaveBlanksButNoNul) {
  EXPECT_TRUE(CheckPath("path", absl::StrCat("/models/", std::string(1000, 'x'), " .gguf")).ok());
  EXPECT_FALSE(CheckPath("path", std::string("/m.gguf\0.txt", 12)).ok());
  EXPECT_FALSE(CheckPath("path", std::string(kMaxPathBytes + 1, 'x')).ok());
}

TEST(Printable, PlainTextStaysAsItIs) {
  EXPECT_EQ(Printable("Über 居間: 50 % \\ ok"), "Über 居間: 50 % \\ ok");
  EXPECT_EQ(Printable(""), "");
}

TEST(Printable, ControlsDirectionsAndStrayBytesAreWrittenOut) {
  EXPECT_EQ(Printable("a\n\tb\r"), "a\\n\\tb\\x0d");
  EXPECT_EQ(Printable("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(Printable("x\u202egnp"), "x\\u{202e}gnp");
  EXPECT_EQ(Printable("a\xff"
                      "b\xe5\xb1"),
            "a\\xffb\\xe5\\xb1");
  EXPECT_EQ(Printable(absl::string_view("\0", 1)), "\\x00");
}

TEST(Printable, LongTextIsCutBetweenTwoCharacters) {
  EXPECT_EQ(Printable("0123456789", 10), "0123456789");
  EXPECT_EQ(Printable("01234567890", 10), "0123456...");
  EXPECT_EQ(Printable("äöüäöü", 10), "äöü...");
  EXPECT_EQ(Printable("abcdef\n\n\n\n", 10), "abcdef...");
}

TEST(NameList, LongListsAreCounted) {
  EXPECT_EQ(NameList({}), "");
  EXPECT_EQ(NameList({"a", "b\n"}), "a, b\\n");
  EXPECT_EQ(NameList(std::vector<std::string>(20, "m")), "m, m, m, m, m, m, m, m and 12 more");
}

TEST(IsUtf8Test, TakesEveryTextThatIsUtf8) {
  for (const char* text : {"", "a\nb\x1b", "\u00e9\u4e2d", "\U0001F600"}) EXPECT_TRUE(IsUtf8(text)) << text;
}

TEST(IsUtf8Test, RefusesBytesThatAreNone) {
  for (const char* text : {"\xff", "caf\xe9", "\xc0\x80", "\xed\xa0\x80", "cut \xe4\xb8"})
    EXPECT_FALSE(IsUtf8(text)) << text;
}

}  // namespace
}  // namespace hearth
