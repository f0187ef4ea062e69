#include "engine/command_line/flags.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();

TEST(ParseWholeNumberTest, TakesTheWholeRange) {
  EXPECT_EQ(ParseWholeNumber("0", 0, kLargest).value(), 0u);
  EXPECT_EQ(ParseWholeNumber("18446744073709551615", 0, kLargest).value(), kLargest);
  EXPECT_EQ(ParseWholeNumber("010", 1, 10).value(), 10u);  // not octal
}

TEST(ParseWholeNumberTest, AnythingElseIsRefusedWithTheRange) {
  for (const char* text :
       {"", "-1", "+1", "1.5", "0x10", "1e3", " 1", "1 ", "1k", "18446744073709551616", "11"}) {
    EXPECT_EQ(ParseWholeNumber(text, 1, 10).status().message(),
              absl::StrCat("\"", text, "\" is no whole number from 1 to 10"));
  }
}

TEST(ParseDecimalTest, TakesWhatPeopleWrite) {
  EXPECT_EQ(ParseDecimal("0.8", -1, 1).value(), 0.8);
  EXPECT_EQ(ParseDecimal("-1", -1, 1).value(), -1);
  EXPECT_EQ(ParseDecimal("1e-3", -1, 1).value(), 1e-3);
}

TEST(ParseDecimalTest, AnythingElseIsRefused) {
  for (const char* text : {"", "nan", "inf", "-inf", "1e999", "1,5", "0.8 ", "many", "2"}) {
    EXPECT_THAT(std::string(ParseDecimal(text, -1, 1).status().message()),
                HasSubstr("is no number such as 0.8"));
  }
  EXPECT_EQ(ParseDecimal("0", 0, 9, /*above=*/true).status().message(), "\"0\" is no number above 0 up to 9");
  EXPECT_EQ(ParseDecimal("-1", 0, 9).status().message(), "\"-1\" is no number from 0 to 9");
}

TEST(ParseTokenIdsTest, TakesAList) {
  EXPECT_THAT(ParseTokenIds("1,22,0,2147483647").value(), ElementsAre(1, 22, 0, 2147483647));
}

TEST(ParseTokenIdsTest, GapsAndOtherThingsAreNamed) {
  for (const char* text : {"", ",", "1,", ",1", "1,,2"}) {
    EXPECT_THAT(std::string(ParseTokenIds(text).status().message()), HasSubstr("\"\" is no token id"));
  }
  for (const char* part : {"-1", " 2", "two", "2147483648"}) {
    EXPECT_THAT(std::string(ParseTokenIds(std::string("1,") + part).status().message()),
                HasSubstr(absl::StrCat("\"", part, "\" is no token id; expected for example 1,2,3")));
  }
}

TEST(CheckAddressTest, HostAndPort) {
  for (const char* address : {"127.0.0.1:7770", "localhost:1", "[::1]:65535", "my-host.home:80"})
    EXPECT_TRUE(CheckAddress(address, 1).ok()) << address;
  EXPECT_TRUE(CheckAddress("127.0.0.1:0", 0).ok());
}

TEST(CheckAddressTest, AnythingElseIsRefusedWithTheForm) {
  for (const char* address : {"", "nonsense", ":7770", "a:", "a:0", "a:65536", "a:-1", "a:b", "::1:7770",
                              "a b:1", "http://a:1", "unix:/tmp/x"}) {
    EXPECT_THAT(std::string(CheckAddress(address, 1).message()), HasSubstr("is no HOST:PORT")) << address;
  }
}

// What a program with one flag of each kind makes of its command line: "" or the error.
class FlagsTest : public testing::Test {
 protected:
  std::string Parse(std::vector<std::string> words) {
    CLI::App app;
    AddWholeNumber(app, "-n,--number", number_, "", 2u, 5u);
    AddDecimal(app, "--decimal", decimal_, "");
    AddSeconds(
        app, "--time", [this](double seconds) { seconds_ = seconds; }, "");
    help_ = app.help();
    std::reverse(words.begin(), words.end());
    try {
      app.parse(words);
    } catch (const CLI::ParseError& error) {
      return error.what();
    }
    return "";
  }

  uint32_t number_ = 3;
  float decimal_ = 0.5f;
  std::optional<double> seconds_;
  std::string help_;
};

TEST_F(FlagsTest, WhatIsGivenIsSetAndDefaultsAreShown) {
  EXPECT_EQ(Parse({"--number", "4", "--decimal=-2.5", "--time", "0.5"}), "");
  EXPECT_EQ(number_, 4u);
  EXPECT_EQ(decimal_, -2.5f);
  EXPECT_EQ(seconds_, 0.5);
  EXPECT_THAT(help_, HasSubstr("--number N=3"));
  EXPECT_THAT(help_, HasSubstr("--decimal NUMBER=0.5"));
}

TEST_F(FlagsTest, WhatIsNotGivenStaysAsItWas) {
  EXPECT_EQ(Parse({}), "");
  EXPECT_EQ(number_, 3u);
  EXPECT_FALSE(seconds_.has_value());
}

TEST_F(FlagsTest, ErrorsNameTheFlag) {
  EXPECT_EQ(Parse({"-n", "-1"}), "--number: \"-1\" is no whole number from 2 to 5");
  EXPECT_EQ(Parse({"--number", ""}), "--number: \"\" is no whole number from 2 to 5");
  EXPECT_EQ(Parse({"--decimal", "nan"}), "--decimal: \"nan\" is no number such as 0.8");
  EXPECT_EQ(Parse({"--time", "0"}), "--time: \"0\" is no number above 0 up to 31536000");
  EXPECT_EQ(number_, 3u);
}

}  // namespace
}  // namespace hearth
