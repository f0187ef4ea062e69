#include "proto/peer_check.h"

#include <utility>

namespace hearth {
namespace {

class Verifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit Verifier(PeerCheck check) : check_(std::move(check)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>, grpc::Status* result) override {
    const grpc::string_ref pem = request->peer_cert();
    const absl::Status status = check_(std::string(pem.data(), pem.size()));
    *result = status.ok()
                  ? grpc::Status::OK
                  : grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const PeerCheck check_;
};

}  // namespace

std::shared_ptr<grpc::experimental::CertificateVerifier> MakeVerifier(PeerCheck check) {
  return grpc::experimental::ExternalCertificateVerifier::Create<Verifier>(std::move(check));
}

}  // namespace hearth
