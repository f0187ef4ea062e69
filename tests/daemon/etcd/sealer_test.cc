#include "daemon/etcd/sealer.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

Sealer Of(uint8_t first) { return Sealer(Sealer::Secret{first, 2, 3}); }

// A file of the test's, with what it says and who may read it.
class SecretFile {
 public:
  SecretFile(const std::string& text, mode_t mode) {
    std::string pattern = testing::TempDir() + "/secret-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    std::ofstream(path()) << text;
    chmod(path().c_str(), mode);
  }
  ~SecretFile() { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/secret"; }

 private:
  std::string folder_;
};

TEST(SealerTest, WhatWasSealedOpensAndIsNotToBeSeen) {
  for (const std::string& text : {std::string(), std::string("a\0b", 3), std::string(100'000, 'x')}) {
    const std::string sealed = Of(1).Seal("name", text);
    EXPECT_EQ(Of(1).Open("name", sealed).value_or("?"), text);
    if (!text.empty()) {
      EXPECT_THAT(sealed, Not(HasSubstr(text)));
    }
  }
  EXPECT_NE(Of(1).Seal("name", "text"), Of(1).Seal("name", "text"));
}

TEST(SealerTest, AnotherSecretNameOrByteDoesNotOpen) {
  const std::string sealed = Of(1).Seal("name", "text");
  EXPECT_TRUE(absl::IsFailedPrecondition(Of(2).Open("name", sealed).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Of(1).Open("other", sealed).status()));
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(Of(1).Open("name", changed).ok()) << i;
    EXPECT_FALSE(Of(1).Open("name", sealed.substr(0, i)).ok()) << i;
  }
}

TEST(SealerTest, PseudonymsAreTheSameForOneSecretAlone) {
  EXPECT_EQ(Of(1).Pseudonym("a"), Of(1).Pseudonym("a"));
  EXPECT_NE(Of(1).Pseudonym("a"), Of(1).Pseudonym("b"));
  EXPECT_NE(Of(1).Pseudonym("a"), Of(2).Pseudonym("a"));
  EXPECT_EQ(Of(1).Pseudonym("a").size(), 32u);
}

TEST(SealerTest, AFileOfDigitsIsASecret) {
  const std::string digits(64, 'a');
  const SecretFile file(digits + "\n", 0600), same(digits, 0640), other(std::string(64, 'b'), 0600);
  const auto sealer = Sealer::FromFile(file.path());
  ASSERT_TRUE(sealer.ok()) << sealer.status();
  const std::string sealed = sealer->Seal("name", "text");
  EXPECT_EQ(Sealer::FromFile(same.path())->Open("name", sealed).value_or("?"), "text");
  EXPECT_FALSE(Sealer::FromFile(other.path())->Open("name", sealed).ok());
}

TEST(SealerTest, AFileThatIsNoSecretOrNoneIsRefused) {
  for (const std::string& text : {std::string(), std::string(63, 'a'), std::string(65, 'a'),
                                  std::string(64, 'g'), std::string(9000, 'a')}) {
    const SecretFile file(text, 0600);
    EXPECT_FALSE(Sealer::FromFile(file.path()).ok()) << text;
  }
  const SecretFile open(std::string(64, 'a'), 0644);
  EXPECT_THAT(Sealer::FromFile(open.path()).status().message(), HasSubstr("chmod 600"));
  EXPECT_TRUE(absl::IsNotFound(Sealer::FromFile("/no/such/file").status()));
}

}  // namespace
}  // namespace hearth
