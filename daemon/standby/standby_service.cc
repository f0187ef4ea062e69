#include "daemon/standby/standby_service.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "daemon/grpc_status.h"
#include "daemon/joining/machine_user.h"
#include "proto/hearth/v1/standby.grpc.pb.h"

namespace hearth {
namespace {

class StandbyService final : public v1::Standby::CallbackService {
 public:
  explicit StandbyService(StandbyRole& role) : role_(role) {}

  grpc::ServerUnaryReactor* WhoLeads(grpc::CallbackServerContext* context, const v1::WhoLeadsRequest* request,
                                     v1::Lead* lead) override {
    *lead = role_.WhoLeads(*request);
    return Finish(context, absl::OkStatus());
  }

  grpc::ServerUnaryReactor* GetHomeState(grpc::CallbackServerContext* context,
                                         const v1::HomeStateRequest* request,
                                         v1::SealedHomeState* state) override {
    absl::StatusOr<v1::SealedHomeState> result = role_.HomeState(*request);
    if (result.ok()) *state = *std::move(result);
    return Finish(context, result.status());
  }

  grpc::ServerUnaryReactor* Promote(grpc::CallbackServerContext* context, const v1::PromoteRequest* request,
                                    v1::PromoteResponse* response) override {
    if (const absl::Status caller = CheckMachineUser(*context); !caller.ok()) return Finish(context, caller);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    role_.Promote(request->force(), [reactor, response](absl::StatusOr<v1::PromoteResponse> result) {
      if (result.ok()) *response = *std::move(result);
      reactor->Finish(ToGrpcStatus(result.status()));
    });
    return reactor;
  }

 private:
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const absl::Status& status) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  StandbyRole& role_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeStandbyService(StandbyRole& role) {
  return std::make_unique<StandbyService>(role);
}

}  // namespace hearth
