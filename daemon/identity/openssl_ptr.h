#ifndef HEARTH_DAEMON_IDENTITY_OPENSSL_PTR_H_
#define HEARTH_DAEMON_IDENTITY_OPENSSL_PTR_H_

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/check.h"

namespace hearth {

// Owners of OpenSSL's objects, for the files that call it.
template <auto kFree>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <class T, auto kFree>
using OpensslPtr = std::unique_ptr<T, OpensslFree<kFree>>;

using BioPtr = OpensslPtr<BIO, BIO_free>;
using KeyPtr = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using X509Ptr = OpensslPtr<X509, X509_free>;
using RequestPtr = OpensslPtr<X509_REQ, X509_REQ_free>;

// No text of Hearth's is longer.
inline constexpr size_t kMaxPemBytes = 16 << 10;

// Text for OpenSSL to read, or nothing where it is longer than kMaxPemBytes; outlived by `text`.
inline BioPtr ReadBio(absl::string_view text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), text.size() > kMaxPemBytes ? 0 : static_cast<int>(text.size())));
  HEARTH_CHECK(bio != nullptr);
  return bio;
}

// The key or certificate of a PEM text; null where it is none. Never asks anybody for a pass phrase.
inline KeyPtr ReadKey(absl::string_view pem) {
  return KeyPtr(PEM_read_bio_PrivateKey(
      ReadBio(pem).get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
}
inline X509Ptr ReadX509(absl::string_view pem) {
  return X509Ptr(PEM_read_bio_X509(ReadBio(pem).get(), nullptr, nullptr, nullptr));
}

// What `write` (one of PEM_write_bio_...) writes.
template <class Write>
std::string WrittenText(Write write) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  HEARTH_CHECK(bio != nullptr && write(bio.get()) == 1);
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(bytes));
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_OPENSSL_PTR_H_
