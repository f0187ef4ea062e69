#ifndef HEARTH_PROTO_PEER_CHECK_H_
#define HEARTH_PROTO_PEER_CHECK_H_

#include <grpcpp/security/tls_certificate_verifier.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace hearth {

// Decides by the certificate (PEM) that the other end of a connection has shown, and whose key it has proved
// to have, whether anything of it is read. Called from any thread.
using PeerCheck = std::function<absl::Status(const std::string& certificate_pem)>;

// The check as gRPC takes it in place of OpenSSL's own: calls end with its words, where that has none for a
// certificate whose time is wrong.
std::shared_ptr<grpc::experimental::CertificateVerifier> MakeVerifier(PeerCheck check);

}  // namespace hearth

#endif  // HEARTH_PROTO_PEER_CHECK_H_
