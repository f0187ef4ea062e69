#ifndef HEARTH_DAEMON_PEER_CERTIFICATE_H_
#define HEARTH_DAEMON_PEER_CERTIFICATE_H_

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <string>
#include <vector>

namespace hearth {

// The certificate (PEM) that the other end of a gRPC connection has shown; empty on a plain connection.
inline std::string PeerCertificate(const grpc::AuthContext& context) {
  if (!context.IsPeerAuthenticated()) return "";
  const std::vector<grpc::string_ref> certificates =
      context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return certificates.empty() ? "" : std::string(certificates[0].data(), certificates[0].size());
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_PEER_CERTIFICATE_H_
