#include "daemon/serving/forwarding.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/coordinator_stub.h"
#include "daemon/serving/services.h"
#include "proto/channel.h"
#include "proto/stream_metadata.h"

namespace hearth {
namespace {

bool IsPublic(const std::string& method) {
  constexpr std::array<std::string_view, 5> kServices = {"/hearth.v1.Generation/", "/hearth.v1.Models/",
                                                         "/hearth.v1.Cluster/", "/grpc.health.v1.Health/",
                                                         "/grpc.reflection.v1alpha.ServerReflection/"};
  for (std::string_view service : kServices) {
    if (method.starts_with(service)) return true;
  }
  return false;
}

class RejectedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RejectedCall(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// One forwarded call: a server's side towards the client and a client's side towards the coordinator. At most
// one message is under way in each direction, so a slow reader at one end slows the other end down.
//
// Messages of the client are pumped by server OnReadDone -> upstream OnWriteDone -> ..., those of the
// coordinator, from its initial metadata on, by upstream OnReadDone -> server OnWriteDone -> .... As each
// pump starts upstream operations from the server's callbacks, it keeps a hold on the upstream call until it
// has run dry; upstream OnDone, which ends the client's call, is therefore the last upstream callback, and
// the server's OnDone the last of all.
class ForwardedCall final : public grpc::ServerGenericBidiReactor {
 public:
  ForwardedCall(grpc::GenericStub& stub, grpc::GenericCallbackServerContext& context, const std::string& host,
                std::string coordinator)
      : coordinator_(std::move(coordinator)), context_(context), upstream_(*this) {
    upstream_context_.set_deadline(context.deadline());
    upstream_context_.AddMetadata(kForwardedBy, host);
    stub.PrepareBidiStreamingCall(&upstream_context_, context.method(), grpc::StubOptions(), &upstream_);
    upstream_.AddMultipleHolds(2);
    upstream_.StartCall();
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (ok) return upstream_.StartWrite(&request_);
    upstream_.StartWritesDone();
    upstream_.RemoveHold();
  }
  void OnWriteDone(bool ok) override {
    if (ok) return upstream_.StartRead(&response_);
    upstream_context_.TryCancel();
    upstream_.RemoveHold();
  }
  void OnCancel() override { upstream_context_.TryCancel(); }
  void OnDone() override { delete this; }

 private:
  class Upstream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit Upstream(ForwardedCall& call) : call_(call) {}

    void OnReadInitialMetadataDone(bool ok) override {
      if (ok) call_.PassOnAcceptance();
      StartRead(&call_.response_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) return call_.StartRead(&call_.request_);
      RemoveHold();
    }
    void OnReadDone(bool ok) override {
      if (ok) return call_.StartWrite(&call_.response_);
      RemoveHold();
    }
    void OnDone(const grpc::Status& status) override {
      call_.PassOnEnd();
      call_.Finish(call_.Explained(status));
    }

   private:
    ForwardedCall& call_;
  };

  // The client is to know what its request has come to, whatever becomes of the connections.
  void PassOnAcceptance() {
    if (upstream_context_.GetServerInitialMetadata().count(kAcceptedKey) == 0) return;
    context_.AddInitialMetadata(kAcceptedKey, "1");
    StartSendInitialMetadata();
  }
  void PassOnEnd() {
    for (const char* key : {kRefusedKey, kFinalKey}) {
      if (upstream_context_.GetServerTrailingMetadata().count(key) > 0)
        context_.AddTrailingMetadata(key, "1");
    }
  }

  grpc::Status Explained(const grpc::Status& ended) const {
    const grpc::Status status = Uncancelled(ended);  // where it was cancelled here nobody reads this
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return status;
    return grpc::Status(status.error_code(),
                        absl::StrCat("from the coordinator ", coordinator_, ": ", status.error_message()));
  }

  const std::string coordinator_;
  grpc::GenericCallbackServerContext& context_;
  grpc::ClientContext upstream_context_;
  grpc::ByteBuffer request_;   // on its way up
  grpc::ByteBuffer response_;  // on its way down
  Upstream upstream_;
};

class Forwarder final : public grpc::CallbackGenericService {
 public:
  Forwarder(std::string host, CoordinatorAddresses coordinators, const LiveKey& key, bool may_lead)
      : host_(std::move(host)),
        coordinators_(std::move(coordinators)),
        may_lead_(may_lead),
        stubs_(key, [](const std::string& address, const ConnectionKey& shown) {
          return OpenChannel(address, shown, Arguments());
        }) {}

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    const std::string coordinator = coordinators_.current();
    if (absl::StartsWith(context->method(), "/hearth.v1.Membership/")) {
      if (may_lead_) {
        return new RejectedCall({grpc::StatusCode::UNAVAILABLE,
                                 absl::StrCat("it waits to lead; the coordinator is at ", coordinator)});
      }
      // Called by the name by which it calls its coordinator.
      if (context->host() == coordinator) {
        return new RejectedCall(
            {grpc::StatusCode::FAILED_PRECONDITION,
             absl::StrCat(coordinator, " is this host itself: name its coordinator's address")});
      }
      return new RejectedCall({grpc::StatusCode::FAILED_PRECONDITION,
                               absl::StrCat("it is a worker of ", coordinator, " and no coordinator: join ",
                                            coordinator, " instead")});
    }
    if (absl::StartsWith(context->method(), "/hearth.v1.Home/")) {
      return new RejectedCall({grpc::StatusCode::FAILED_PRECONDITION,
                               absl::StrCat("this host is a worker of ", coordinator,
                                            ": run the command on the coordinator's machine")});
    }
    if (!IsPublic(context->method())) {
      return new RejectedCall(
          {grpc::StatusCode::UNIMPLEMENTED, absl::StrCat("no such method: ", context->method())});
    }
    if (context->client_metadata().count(kForwardedBy) > 0) {
      return new RejectedCall(
          {grpc::StatusCode::UNAVAILABLE,
           absl::StrCat("this host is a worker of ", coordinator,
                        " and no coordinator; start the other worker with --join ", coordinator)});
    }
    return new ForwardedCall(*stubs_.Of(coordinator), *context, host_, coordinator);
  }

 private:
  static grpc::ChannelArguments Arguments() {
    grpc::ChannelArguments arguments = HearthChannelArguments();
    arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
    return arguments;
  }

  const std::string host_;
  const CoordinatorAddresses coordinators_;
  const bool may_lead_;
  CoordinatorStub<grpc::GenericStub> stubs_;
};

}  // namespace

std::unique_ptr<grpc::CallbackGenericService> MakeForwarder(const std::string& host,
                                                            const CoordinatorAddresses& coordinator,
                                                            const LiveKey& key, bool may_lead) {
  return std::make_unique<Forwarder>(host, coordinator, key, may_lead);
}

}  // namespace hearth
