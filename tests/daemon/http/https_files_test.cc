#include "daemon/http/https_files.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/http/test_https.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class HttpsFilesTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  // The words of a refusal; "" where there is none.
  static std::string Refusal(const std::string& certificate, const std::string& key) {
    const absl::Status status = ReadHttpsFiles(certificate, key).status();
    return absl::IsInvalidArgument(status) ? std::string(status.message()) : "";
  }
  static std::string WithPassPhrase(const std::string& pem) {
    const KeyPtr key = ReadKey(pem);
    char phrase[] = "secret";
    return WrittenText([&](BIO* bio) {
      return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), EVP_aes_256_cbc(), phrase, 6, nullptr, nullptr);
    });
  }

  TemporaryState folder_;
  const TestHttps https_;
  const std::string certificate_ = Write("c.pem", https_.certificate + https_.authority.certificate_pem);
  const std::string key_ = Write("k.pem", https_.key);
};

TEST_F(HttpsFilesTest, PairIsTakenWithItsChain) {
  const auto context = ReadHttpsFiles(certificate_, key_);
  ASSERT_TRUE(context.ok()) << context.status();
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context->get(), &chain);
  EXPECT_EQ(sk_X509_num(chain), 1);
}

TEST_F(HttpsFilesTest, FileThatCannotBeReadIsNamedWithItsFlag) {
  const std::string missing = folder_.path() + "/missing";
  EXPECT_THAT(Refusal(missing, key_), AllOf(HasSubstr("--http-certificate"), HasSubstr(missing)));
  EXPECT_THAT(Refusal(certificate_, missing), AllOf(HasSubstr("--http-key"), HasSubstr(missing)));
  EXPECT_THAT(Refusal(folder_.path(), key_), HasSubstr("--http-certificate"));
  EXPECT_THAT(Refusal(certificate_, Write("long", std::string(100'000, 'x'))), HasSubstr("--http-key"));
}

TEST_F(HttpsFilesTest, WhatIsNoPemIsRefused) {
  const std::string garbage = Write("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n"), empty = Write("e", "");
  for (const std::string& wrong : {garbage, empty, key_}) {
    EXPECT_THAT(Refusal(wrong, key_), HasSubstr("no certificate in PEM")) << wrong;
  }
  for (const std::string& wrong : {garbage, empty, certificate_}) {
    EXPECT_THAT(Refusal(certificate_, wrong), HasSubstr("no private key in PEM")) << wrong;
  }
}

TEST_F(HttpsFilesTest, KeyOfAnotherCertificateIsRefused) {
  EXPECT_THAT(Refusal(certificate_, Write("other", MakePrivateKey())),
              HasSubstr("the private key is not that of the certificate"));
}

TEST_F(HttpsFilesTest, KeyWithAPassPhraseIsRefusedWithoutAskingForIt) {
  EXPECT_THAT(Refusal(certificate_, Write("locked", WithPassPhrase(https_.key))), HasSubstr("pass phrase"));
}

}  // namespace
}  // namespace hearth
