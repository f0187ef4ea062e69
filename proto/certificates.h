#ifndef HEARTH_PROTO_CERTIFICATES_H_
#define HEARTH_PROTO_CERTIFICATES_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

struct x509_st;

namespace hearth {

// From when until when a certificate holds.
struct CertificateLife {
  absl::Time from, until;
};
// Of the first certificate in a PEM text; nullopt where there is none.
std::optional<CertificateLife> LifeOf(absl::string_view pem);
CertificateLife LifeOf(const x509_st& certificate);

// What CheckLife is to call whose time it is, what it looks at, and what helps once that is over.
struct LifeWords {
  std::string clock = "the clock of this machine";
  std::string certificate = "the certificate";
  std::string remedy = "join again with a new code of `hearth invite`";
};
// Whether `now` lies within the life: FAILED_PRECONDITION names both times, since where they do not fit a
// clock is wrong more often than a certificate is old, and says what to do.
absl::Status CheckLife(const CertificateLife& life, absl::Time now, const LifeWords& words = {});

// Whether a certificate is that of the coordinator of an authority's home: UNAUTHENTICATED, or, where the
// home is the right one and a clock is wrong, FAILED_PRECONDITION with both times.
absl::Status CheckCoordinator(absl::string_view certificate_pem, absl::string_view authority_pem,
                              absl::Time now);

// "2026-11-27", of UTC.
std::string DayText(absl::Time time);

}  // namespace hearth

#endif  // HEARTH_PROTO_CERTIFICATES_H_
