#include "daemon/identity/host_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "daemon/identity/base32.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

HostId SomeId(uint8_t seed) {
  HostId::Digest digest;
  for (size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<uint8_t>(seed + 37 * i);
  return HostId(digest);
}

TEST(Base32, HasTheTextsOfItsStandard) {
  const std::string text = "foobar";
  EXPECT_EQ(EncodeBase32({reinterpret_cast<const uint8_t*>(text.data()), text.size()}), "MZXW6YTBOI");
  const std::vector<uint8_t> back = DecodeBase32("MZXW6YTBOI");
  EXPECT_EQ(std::string(back.begin(), back.end()), text);
  EXPECT_EQ(EncodeBase32({}), "");
}

TEST(HostId, IsEightGroupsOfSevenAndReadBack) {
  for (const uint8_t seed : {0, 1, 99, 255}) {
    const HostId id = SomeId(seed);
    EXPECT_THAT(id.Text(), MatchesRegex("([A-Z2-7]{7}-){7}[A-Z2-7]{7}"));
    EXPECT_EQ(id.Short(), id.Text().substr(0, 7));
    EXPECT_EQ(ParseHostId(id.Text()).value(), id);
  }
}

TEST(HostId, IsReadAsPeopleWriteIt) {
  const HostId id = SomeId(5);
  const std::string sloppy =
      absl::StrReplaceAll(absl::AsciiStrToLower(id.Text()), {{"-", " "}, {"o", "0"}, {"i", "1"}, {"b", "8"}});
  EXPECT_EQ(ParseHostId(sloppy).value(), id);
}

TEST(HostId, EveryMistypedDigitIsFoundAndTold) {
  const std::string text = SomeId(7).Text();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '-') continue;
    std::string wrong = text;
    wrong[i] = wrong[i] == 'A' ? 'C' : 'A';
    const auto parsed = ParseHostId(wrong);
    ASSERT_FALSE(parsed.ok()) << wrong;
    const std::string group(1, static_cast<char>('1' + i / 16 * 2));
    EXPECT_THAT(parsed.status().message(), HasSubstr("group " + group + " or "));
  }
}

TEST(HostId, MissingDigitsAndOtherCharactersAreRefused) {
  const std::string text = SomeId(7).Text();
  EXPECT_THAT(ParseHostId(text.substr(0, 20)).status().message(), HasSubstr("this has 18 of 56"));
  EXPECT_THAT(ParseHostId("192.168.1.1").status().message(), HasSubstr("is no host id"));
  EXPECT_FALSE(ParseHostId("").ok());
}

}  // namespace
}  // namespace hearth
