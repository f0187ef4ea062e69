#ifndef HEARTH_DAEMON_IDENTITY_CERTIFICATE_H_
#define HEARTH_DAEMON_IDENTITY_CERTIFICATE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/identity/host_id.h"
#include "proto/certificates.h"

namespace hearth {

// What whoever has a certificate of a home may do there.
enum class Role {
  kCoordinator,  // answers all others
  kHost,         // synchronizes, fetches its bundles, serves tensors, passes on what its users ask
  kClient,       // generates
  kAdmin,        // also loads and unloads, invites and forgets
};
// "coordinator", "host", "client", "admin".
absl::string_view RoleName(Role role);
std::optional<Role> ParseRole(absl::string_view name);

// A key of P-256, as PEM.
std::string MakePrivateKey();

// A certificate (or request for one) as what it says; whether that is true, CheckIssued tells.
struct Certificate {
  std::string pem;
  std::string name;          // a label
  HostId id;                 // of its key
  std::optional<Role> role;  // nullopt: of none, such as an authority
  CertificateLife life;
};

// INVALID_ARGUMENT for what is no certificate, or one of another kind of key than P-256. Takes at most 16
// KiB.
absl::StatusOr<Certificate> ParseCertificate(absl::string_view pem);

// The id of a private key. INVALID_ARGUMENT for what is none of P-256.
absl::StatusOr<HostId> IdOfPrivateKey(absl::string_view key_pem);

// A request for a certificate of this name, signed by the key: PEM. `key_pem` is one of MakePrivateKey. A
// name of more than 64 bytes is cut: X.509 has no room for more.
absl::StatusOr<std::string> MakeSigningRequest(absl::string_view key_pem, const std::string& name);
// What a request asks for. INVALID_ARGUMENT where it is none, not of P-256, not signed by its own key, or has
// a name that cannot be a host's.
struct SigningRequest {
  std::string pem;
  std::string name;
  HostId id;
};
absl::StatusOr<SigningRequest> ParseSigningRequest(absl::string_view pem);

// A home's authority: whoever has a certificate from it belongs to the home.
struct Authority {
  std::string key_pem;
  std::string certificate_pem;
};
Authority MakeAuthority(absl::Time now);

// How long a certificate is good for, unless its authority ends before that, and how much later than its
// authority's clock another may be behind.
inline constexpr absl::Duration kCertificateLife = absl::Hours(24 * 730);
inline constexpr absl::Duration kClockTolerance = absl::Hours(24);

// The authority's certificate for the key of `request`: PEM. INVALID_ARGUMENT for a damaged authority,
// FAILED_PRECONDITION for one that is over.
absl::StatusOr<std::string> IssueCertificate(const Authority& authority, const SigningRequest& request,
                                             Role role, absl::Time now);

// What other machines call this one.
struct ServerNames {
  std::vector<std::string> hosts;      // "nas", "nas.local"; what is no name of DNS is left out
  std::vector<std::string> addresses;  // in numbers
};
// A certificate for web browsers and programs that speak HTTPS to one of `names`, also called "localhost". It
// stands for no role, so those of the home do not take its owner for one of them. INVALID_ARGUMENT for a
// damaged authority.
absl::StatusOr<std::string> IssueServerCertificate(const Authority& authority, absl::string_view key_pem,
                                                   const ServerNames& names, absl::Time now);

// Whether the authority has issued the certificate: PERMISSION_DENIED where it has not.
absl::Status CheckIssued(const Certificate& certificate, absl::string_view authority_pem);
// Whether a new certificate ought to take the place of one with this life: when a third of it is left, and
// when it does not hold.
bool IsRenewalDue(const CertificateLife& life, absl::Time now);

// The host name by which TLS knows a role: "coordinator.hearth".
std::string RoleHostName(Role role);

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_CERTIFICATE_H_
