#include "daemon/identity/join_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

JoinCode SomeCode() {
  JoinCode code;
  code.addresses = {"192.168.1.10:7772", "[fd00::5]:65535"};
  HostId::Digest authority;
  authority.fill(0xa5);
  code.authority = HostId(authority);
  code.secret.fill(0x3c);
  return code;
}

TEST(JoinCode, ComesBackAsItWasWritten) {
  const std::string text = FormatJoinCode(SomeCode());
  EXPECT_TRUE(LooksLikeJoinCode(text));
  EXPECT_EQ(ParseJoinCode(text).value(), SomeCode());
}

TEST(JoinCode, IsForgivenSmallLettersBlanksAndDashes) {
  std::string text = absl::AsciiStrToLower(FormatJoinCode(SomeCode()));
  for (size_t at = 90; at > 6; at -= 7) text.insert(at, at % 2 ? " " : "-");
  EXPECT_EQ(ParseJoinCode(absl::StrCat(" ", text, "\n")).value(), SomeCode());
}

TEST(JoinCode, EveryLengthThatIsTooShortIsSaidToBeCut) {
  const std::string text = FormatJoinCode(SomeCode());
  for (size_t length = 6; length < text.size(); ++length) {
    const auto parsed = ParseJoinCode(text.substr(0, length));
    ASSERT_FALSE(parsed.ok()) << length;
    EXPECT_THAT(parsed.status().message(), HasSubstr("cut short")) << length;
  }
}

TEST(JoinCode, EveryLetterThatIsWrongIsFound) {
  const std::string text = FormatJoinCode(SomeCode());
  for (size_t at = 6; at < text.size(); ++at) {
    std::string wrong = text;
    wrong[at] = wrong[at] == 'C' ? 'D' : 'C';
    EXPECT_FALSE(ParseJoinCode(wrong).ok()) << at;
  }
  std::string wrong = text;
  std::swap(wrong[40], wrong[41]);
  wrong[50] = wrong[50] == 'C' ? 'D' : 'C';
  EXPECT_THAT(ParseJoinCode(wrong).status().message(), HasSubstr("altered"));
  EXPECT_THAT(ParseJoinCode(text + "A").status().message(), HasSubstr("altered"));
  EXPECT_THAT(ParseJoinCode(text + "!").status().message(), HasSubstr("altered"));
}

TEST(JoinCode, OtherTextsAreNone) {
  for (const char* text : {"", "192.168.1.1:7770", "hello", "ABCDEFG"}) {
    EXPECT_THAT(ParseJoinCode(text).status().message(), HasSubstr("no join code")) << text;
  }
  EXPECT_FALSE(LooksLikeJoinCode("hearth.local:7770"));
  EXPECT_FALSE(LooksLikeJoinCode("127.0.0.1:7770"));
}

}  // namespace
}  // namespace hearth
