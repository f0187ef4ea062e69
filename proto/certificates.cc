#include "proto/certificates.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "proto/connection_key.h"

namespace hearth {
namespace {

using X509Owner = std::unique_ptr<X509, decltype(&X509_free)>;

// Null where there is none.
X509Owner FirstCertificate(absl::string_view pem) {
  const size_t bytes = std::min<size_t>(pem.size(), std::numeric_limits<int>::max());
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(bytes)),
                                                      &BIO_free);
  X509Owner certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &X509_free);
  ERR_clear_error();
  return certificate;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

// Whether the authority has made it a coordinator, whenever.
bool IsCoordinatorOf(X509* authority, X509* certificate) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), &X509_STORE_free);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(X509_STORE_CTX_new(),
                                                                                &X509_STORE_CTX_free);
  if (authority == nullptr || certificate == nullptr || X509_STORE_add_cert(store.get(), authority) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate, nullptr) != 1) {
    return false;
  }
  X509_VERIFY_PARAM* const wanted = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_NO_CHECK_TIME);
  return X509_VERIFY_PARAM_set_purpose(wanted, X509_PURPOSE_SSL_SERVER) == 1 &&
         X509_VERIFY_PARAM_set1_host(wanted, kCoordinatorHostName, 0) == 1 &&
         X509_verify_cert(context.get()) == 1;
}

}  // namespace

CertificateLife LifeOf(const x509_st& certificate) {
  return {TimeOf(X509_get0_notBefore(&certificate)), TimeOf(X509_get0_notAfter(&certificate))};
}

std::optional<CertificateLife> LifeOf(absl::string_view pem) {
  const X509Owner certificate = FirstCertificate(pem);
  if (certificate == nullptr) return std::nullopt;
  return LifeOf(*certificate);
}

absl::Status CheckLife(const CertificateLife& life, absl::Time now, const LifeWords& words) {
  if (now < life.from) {
    return absl::FailedPreconditionError(
        absl::StrCat(words.clock, " says ", DayText(now), ", but ", words.certificate, " is from ",
                     DayText(life.from), ": set the clock, or that of the machine that made it"));
  }
  if (now <= life.until) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(words.certificate, " was good until ", DayText(life.until), " and ", words.clock, " says ",
                   DayText(now), ": set the clock if that is wrong, or ", words.remedy));
}

absl::Status CheckCoordinator(absl::string_view certificate_pem, absl::string_view authority_pem,
                              absl::Time now) {
  const X509Owner authority = FirstCertificate(authority_pem);
  const X509Owner certificate = FirstCertificate(certificate_pem);
  const bool is_coordinator = IsCoordinatorOf(authority.get(), certificate.get());
  ERR_clear_error();
  if (!is_coordinator) {
    return absl::UnauthenticatedError("what answers there is not the coordinator of the home of this key");
  }
  return CheckLife(LifeOf(*certificate), now,
                   {.certificate = "the coordinator's certificate",
                    .remedy = "that of the coordinator, which renews its certificate by itself"});
}

std::string DayText(absl::Time time) { return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone()); }

}  // namespace hearth
