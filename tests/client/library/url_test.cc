#include "client/library/url.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;

TEST(CheckUrlTest, TakesHttpAndHttps) {
  EXPECT_TRUE(CheckUrl("URL", "https://a.example/m.gguf?download=true").ok());
  EXPECT_TRUE(CheckUrl("URL", "http://[::1]:8080/m.gguf").ok());
}

TEST(CheckUrlTest, RefusesEverythingElse) {
  for (const char* url : {"", "m.gguf", "ftp://a/m.gguf", "file:///m.gguf", "http://a:99999/m.gguf",
                          "http://a\n/m", "javascript:alert(1)"}) {
    EXPECT_FALSE(CheckUrl("URL", url).ok()) << url;
  }
}

TEST(CheckUrlTest, RefusesPasswordsAndDoesNotShowThem) {
  const absl::Status status = CheckUrl("URL", "https://user:secret@a.example/m.gguf");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST(OriginOfTest, IsSchemeHostAndPort) {
  EXPECT_EQ(OriginOf("https://A.example/x?y"), "https://a.example:443");
  EXPECT_EQ(OriginOf("http://127.0.0.1:5000/x"), "http://127.0.0.1:5000");
  EXPECT_NE(OriginOf("https://a.example/"), OriginOf("http://a.example/"));
}

TEST(ShownUrlTest, LeavesSecretsOut) {
  EXPECT_EQ(ShownUrl("https://a/m.gguf?Signature=secret"), "https://a/m.gguf");
  EXPECT_EQ(ShownUrl("https://a/\x1b[2J"), "https://a/\\x1b[2J");
}

TEST(LastNameOfTest, IsDecoded) {
  EXPECT_EQ(LastNameOf("https://a/b/m%2Egguf?download=true#x"), "m.gguf");
  EXPECT_EQ(LastNameOf("https://a/b/..%2F..%2Fm.gguf"), "../../m.gguf");
  EXPECT_EQ(LastNameOf("https://a/b/"), "");
}

TEST(EscapedPathTest, KeepsSlashesAlone) {
  EXPECT_EQ(EscapedPath("Q8 0/m?#%.gguf"), "Q8%200/m%3F%23%25.gguf");
}

TEST(CheckRedirectTest, StaysOnTheWebAndEncrypted) {
  EXPECT_TRUE(CheckRedirect("http://a/", "https://b/").ok());
  EXPECT_TRUE(CheckRedirect("http://a/", "http://b/").ok());
  EXPECT_TRUE(CheckRedirect("https://a/", "https://b/").ok());
  EXPECT_FALSE(CheckRedirect("https://a/", "http://a/").ok());
  EXPECT_FALSE(CheckRedirect("http://a/", "file:///etc/passwd").ok());
  EXPECT_FALSE(CheckRedirect("http://a/", "ftp://a/m").ok());
}

TEST(CheckModelFileNameTest, RefusesWhatCouldLieElsewhereOrMislead) {
  EXPECT_TRUE(CheckModelFileName("name", "Model-Q4_K_M.gguf").ok());
  EXPECT_TRUE(CheckModelFileName("name", "M.GGUF").ok());
  for (const char* name : {"", "m", "../m.gguf", "a/m.gguf", "a\\m.gguf", ".gguf", ".m.gguf", "m\x1b.gguf",
                           "m.gguf.part", " m.gguf", "caf\xe9.gguf"}) {
    EXPECT_FALSE(CheckModelFileName("name", name).ok()) << name;
  }
  EXPECT_FALSE(CheckModelFileName("name", std::string(300, 'x') + ".gguf").ok());
}

}  // namespace
}  // namespace hearth
