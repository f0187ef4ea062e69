#ifndef HEARTH_DAEMON_PEER_CERTIFICATE_H_
#define HEARTH_DAEMON_PEER_CERTIFICATE_H_

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/host_id.h"

namespace hearth {

// The certificate (PEM) that the other end of a gRPC connection has shown; empty on a plain connection.
inline std::string PeerCertificate(const grpc::AuthContext& context) {
  if (!context.IsPeerAuthenticated()) return "";
  const std::vector<grpc::string_ref> certificates =
      context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return certificates.empty() ? "" : std::string(certificates[0].data(), certificates[0].size());
}

// The id of its key; nullopt on a plain connection, nobody's for a certificate that cannot be read.
inline std::optional<HostId> PeerId(const grpc::AuthContext& context) {
  const std::string pem = PeerCertificate(context);
  if (pem.empty()) return std::nullopt;
  const absl::StatusOr<Certificate> certificate = ParseCertificate(pem);
  return certificate.ok() ? certificate->id : HostId();
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_PEER_CERTIFICATE_H_
