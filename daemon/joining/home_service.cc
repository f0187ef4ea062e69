#include "daemon/joining/home_service.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/grpc_status.h"
#include "daemon/joining/machine_user.h"
#include "daemon/joining/short_code.h"
#include "daemon/peer_certificate.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/hearth/v1/home.grpc.pb.h"

namespace hearth {
namespace {

constexpr uint32_t kLifetimeSeconds = 3600;
constexpr uint32_t kMostLifetimeSeconds = 7 * 24 * 3600;

v1::Role ToProto(Role role) {
  switch (role) {
    case Role::kHost:
      return v1::ROLE_HOST;
    case Role::kClient:
      return v1::ROLE_CLIENT;
    case Role::kAdmin:
      return v1::ROLE_ADMIN;
    case Role::kCoordinator:
      break;
  }
  return v1::ROLE_UNSPECIFIED;
}

v1::Member ToProto(const Member& member) {
  v1::Member proto;
  proto.set_id(member.id.Text());
  proto.set_name(member.name);
  proto.set_role(ToProto(member.role));
  proto.set_api_key(member.api_key);
  if (!member.api_key) proto.set_expires_unix_seconds(absl::ToUnixSeconds(member.expires));
  return proto;
}

v1::Applicant ToProto(const Applicant& applicant) {
  v1::Applicant proto;
  proto.set_name(applicant.name);
  proto.set_id(applicant.id.Text());
  proto.set_address(applicant.address);
  proto.set_waiting_seconds(static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - applicant.since)
          .count()));
  return proto;
}

// Nothing here takes longer than writing a small file, so calls are answered where they come in.
class HomeService final : public v1::Home::CallbackService {
 public:
  HomeService(Home& home, Lan& lan) : home_(home), lan_(lan) {}

  grpc::ServerUnaryReactor* Invite(grpc::CallbackServerContext* context, const v1::InviteRequest* request,
                                   v1::Invitation* invitation) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    return Answer(context, MakeInvitation(*request), invitation);
  }

  grpc::ServerUnaryReactor* ListApplicants(grpc::CallbackServerContext* context,
                                           const v1::ListApplicantsRequest*,
                                           v1::ListApplicantsResponse* response) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    const absl::StatusOr<std::vector<Applicant>> waiting = lan_.Waiting();
    if (!waiting.ok()) return Finish(context, waiting.status());
    for (const Applicant& applicant : *waiting) *response->add_applicants() = ToProto(applicant);
    return Finish(context, absl::OkStatus());
  }

  grpc::ServerUnaryReactor* DecideApplicant(grpc::CallbackServerContext* context,
                                            const v1::DecideApplicantRequest* request,
                                            v1::Applicant* applicant) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    return Answer(context, Decide(*request), applicant);
  }

  grpc::ServerUnaryReactor* ListMembers(grpc::CallbackServerContext* context, const v1::ListMembersRequest*,
                                        v1::ListMembersResponse* response) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    for (const Member& member : home_.members()) *response->add_members() = ToProto(member);
    return Finish(context, absl::OkStatus());
  }

  grpc::ServerUnaryReactor* CreateKey(grpc::CallbackServerContext* context,
                                      const v1::CreateKeyRequest* request, v1::Key* key) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    return Answer(context, MakeKey(*request), key);
  }

  grpc::ServerUnaryReactor* RenewCertificate(grpc::CallbackServerContext* context,
                                             const v1::RenewCertificateRequest* request,
                                             v1::RenewedCertificate* renewed) override {
    return Answer(context, Renew(PeerCertificate(*context->auth_context()), *request), renewed);
  }

  grpc::ServerUnaryReactor* RemoveMember(grpc::CallbackServerContext* context,
                                         const v1::RemoveMemberRequest* request,
                                         v1::Member* member) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    return Answer(context, Remove(*request), member);
  }

 private:
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const absl::Status& status) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  template <class Message>
  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          absl::StatusOr<Message> result, Message* response) {
    if (result.ok()) *response = *std::move(result);
    return Finish(context, result.status());
  }

  absl::StatusOr<v1::Invitation> MakeInvitation(const v1::InviteRequest& request) {
    const uint32_t seconds = request.lifetime_seconds() == 0 ? kLifetimeSeconds : request.lifetime_seconds();
    if (seconds > kMostLifetimeSeconds) {
      return absl::InvalidArgumentError(
          absl::StrCat("lifetime_seconds: ", seconds, " is more than a week, ", kMostLifetimeSeconds));
    }
    HEARTH_ASSIGN_OR_RETURN(const LanAddresses addresses, lan_.Open());
    v1::Invitation invitation;
    invitation.set_code(home_.Invite(addresses.doors, absl::Seconds(seconds)));
    *invitation.mutable_addresses() = {addresses.doors.begin(), addresses.doors.end()};
    invitation.set_server(addresses.server);
    return invitation;
  }

  absl::StatusOr<v1::Applicant> Decide(const v1::DecideApplicantRequest& request) {
    const std::optional<std::string> code = ReadShortCode(request.code());
    if (!code) {
      return absl::InvalidArgumentError(absl::StrCat("code: \"", Printable(request.code(), 20),
                                                     "\" is not six digits, which the other machine shows"));
    }
    HEARTH_ASSIGN_OR_RETURN(const Applicant applicant, lan_.Decide(*code, request.refuse()));
    return ToProto(applicant);
  }

  absl::StatusOr<v1::Key> MakeKey(const v1::CreateKeyRequest& request) {
    if (request.role() == v1::ROLE_HOST) {
      return absl::InvalidArgumentError("role: a host joins by `hearth invite` or `hearth approve`");
    }
    const Role role = request.role() == v1::ROLE_ADMIN ? Role::kAdmin : Role::kClient;
    v1::Key key;
    if (request.api_key()) {
      HEARTH_ASSIGN_OR_RETURN(*key.mutable_api_key(), home_.MakeApiKey(request.name(), role));
      key.set_authority(home_.key().authority_pem);
      return key;
    }
    HEARTH_ASSIGN_OR_RETURN(const ConnectionKey made, home_.MakeKey(request.name(), role, lan_.server()));
    key.set_file(FormatConnectionKey(made));
    return key;
  }

  absl::StatusOr<v1::RenewedCertificate> Renew(const std::string& shown,
                                               const v1::RenewCertificateRequest& request) {
    if (shown.empty())
      return absl::PermissionDeniedError(
          "certificates are renewed by those who show one: use the encrypted port");
    v1::RenewedCertificate renewed;
    HEARTH_ASSIGN_OR_RETURN(*renewed.mutable_certificate(), home_.Renew(shown, request.signing_request()));
    return renewed;
  }

  absl::StatusOr<v1::Member> Remove(const v1::RemoveMemberRequest& request) {
    std::vector<Role> roles;
    if (request.role() == v1::ROLE_HOST) roles = {Role::kHost};
    if (request.role() == v1::ROLE_CLIENT) roles = {Role::kClient, Role::kAdmin};
    if (roles.empty())
      return absl::InvalidArgumentError("role: say whether it is a host or the owner of a key");
    HEARTH_ASSIGN_OR_RETURN(const Member member, home_.Remove(request.member(), roles));
    return ToProto(member);
  }

  Home& home_;
  Lan& lan_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeHomeService(Home& home, Lan& lan) {
  return std::make_unique<HomeService>(home, lan);
}

}  // namespace hearth
