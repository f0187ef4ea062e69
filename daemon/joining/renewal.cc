#include "daemon/joining/renewal.h"

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "daemon/grpc_status.h"
#include "daemon/identity/certificate.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/certificates.h"
#include "proto/channel.h"
#include "proto/hearth/v1/home.grpc.pb.h"

namespace hearth {
namespace {

constexpr std::chrono::seconds kPatience{10};

// Whether the answer is what was asked for: the same but for its life.
absl::Status CheckRenewed(const Certificate& renewed, const Certificate& shown, const ConnectionKey& key,
                          absl::Time now) {
  HEARTH_RETURN_IF_ERROR(CheckIssued(renewed, key.authority_pem));
  if (renewed.id != shown.id || renewed.role != shown.role)
    return absl::InvalidArgumentError("the coordinator has sent another's certificate");
  return CheckLife(renewed.life, now,
                   {.certificate = "the certificate that the coordinator has made just now"});
}

}  // namespace

void Renewal::Look(absl::Time now) {
  const std::optional<CertificateLife> life = LifeOf(key_.get().certificate_pem);
  if (!life || !IsRenewalDue(*life, now)) return;
  if (now >= tried_ && now < tried_ + pause_) return;
  tried_ = now;
  if (const absl::Status renewed = renew_(now); !renewed.ok()) {
    pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
    spdlog::warn("cannot renew this host's certificate, which is good until {}: {}; trying again in {}",
                 DayText(life->until), Printable(renewed.message()), absl::FormatDuration(pause_));
    return;
  }
  pause_ = kFirstPause;
  if (const std::optional<CertificateLife> next = LifeOf(key_.get().certificate_pem))
    spdlog::info("this host's certificate was renewed, and is good until {}", DayText(next->until));
}

absl::Status RenewAtCoordinator(const std::string& coordinator, const LiveKey& key,
                                const std::function<absl::Status(const ConnectionKey&)>& save,
                                absl::Time now) {
  ConnectionKey renewed = key.get();
  HEARTH_ASSIGN_OR_RETURN(const Certificate shown, ParseCertificate(renewed.certificate_pem));
  v1::RenewCertificateRequest request;
  HEARTH_ASSIGN_OR_RETURN(*request.mutable_signing_request(),
                          MakeSigningRequest(renewed.private_key_pem, shown.name));
  v1::Home::Stub stub(OpenChannel(coordinator, renewed));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::RenewedCertificate answer;
  const grpc::Status called = stub.RenewCertificate(&context, request, &answer);
  if (!called.ok()) return FromGrpcStatus(called);
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate(answer.certificate()));
  HEARTH_RETURN_IF_ERROR(CheckRenewed(certificate, shown, renewed, now));
  renewed.certificate_pem = certificate.pem;
  HEARTH_RETURN_IF_ERROR(save(renewed));
  key.Replace(std::move(renewed));
  return absl::OkStatus();
}

}  // namespace hearth
