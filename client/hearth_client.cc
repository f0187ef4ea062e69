#include "client/hearth_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/call_status.h"
#include "client/first_answer.h"
#include "client/resuming_stream.h"
#include "client/servers.h"

namespace hearth {
namespace {

absl::Status NoAnswer(const std::string& server, absl::Duration patience) {
  return absl::DeadlineExceededError(
      absl::StrCat("the program at ", server, " has not answered for ", absl::FormatDuration(patience),
                   "; look whether hearthd still works there, and start it anew if not"));
}

}  // namespace

struct Client::Stubs {
  Stubs(const std::string& list, const ConnectionKey& key, absl::Duration patience, absl::Duration resume)
      : servers(std::make_shared<Servers>(list, key)), first_answer(patience), resume_within(resume) {}

  // Calls a unary method that answers at once.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub CalledServer::*stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) const {
    if (absl::Status status = CheckCanBeSent(request); !status.ok()) return status;
    CalledServer& server = servers->Reachable();
    grpc::ClientContext context;
    SetTimeout(context, first_answer);
    Response response;
    const grpc::Status status = ((server.*stub).*method)(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
      return NoAnswer(server.name, first_answer);
    if (!status.ok()) return FromGrpc(status, server.name);
    return response;
  }

  const std::shared_ptr<Servers> servers;
  const absl::Duration first_answer;
  const absl::Duration resume_within;
};

Client::Client(const std::string& server, const ConnectionKey& key, absl::Duration first_answer,
               absl::Duration resume_within)
    : stubs_(std::make_unique<Stubs>(server, key, first_answer, resume_within)) {}

Client::~Client() = default;

std::unique_ptr<GenerationStream> Client::StartGenerate(const v1::GenerateRequest& request,
                                                        absl::Duration timeout) {
  return std::make_unique<ResumingStream>(stubs_->servers, request,
                                          StreamPatience{timeout, stubs_->resume_within});
}

std::unique_ptr<GenerationStream> Client::StartChat(const v1::ChatRequest& request, absl::Duration timeout) {
  return std::make_unique<ResumingStream>(stubs_->servers, request,
                                          StreamPatience{timeout, stubs_->resume_within});
}

absl::StatusOr<v1::Finished> Client::Generate(
    const v1::GenerateRequest& request, const std::function<void(const v1::GenerateResponse&)>& on_event) {
  const auto stream = StartGenerate(request);
  v1::Finished finished;
  while (const auto event = stream->Next()) {
    if (event->has_finished()) finished = event->finished();
    on_event(*event);
  }
  if (absl::Status status = stream->Finish(); !status.ok()) return status;
  return finished;
}

absl::StatusOr<v1::EmbedResponse> Client::Embed(const v1::EmbedRequest& request) {
  if (absl::Status status = CheckCanBeSent(request); !status.ok()) return status;
  grpc::ClientContext context;
  v1::EmbedResponse response;
  CalledServer& server = stubs_->servers->Reachable();
  const grpc::Status status = server.generation.Embed(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, server.name);
  return response;
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(const v1::TokenizeRequest& request) {
  return stubs_->Call(&CalledServer::generation, &v1::Generation::Stub::Tokenize, request);
}

absl::StatusOr<v1::DetokenizeResponse> Client::Detokenize(const v1::DetokenizeRequest& request) {
  return stubs_->Call(&CalledServer::generation, &v1::Generation::Stub::Detokenize, request);
}

absl::StatusOr<v1::ListModelsResponse> Client::ListModels() {
  return stubs_->Call(&CalledServer::models, &v1::Models::Stub::List, v1::ListModelsRequest());
}

absl::StatusOr<v1::ModelStatus> Client::GetModel(const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(name);
  return stubs_->Call(&CalledServer::models, &v1::Models::Stub::Get, request);
}

absl::StatusOr<v1::ModelStatus> Client::LoadModel(
    const v1::LoadModelRequest& request, const std::function<void(const v1::ModelStatus&)>& on_progress) {
  if (absl::Status status = CheckCanBeSent(request); !status.ok()) return status;
  CalledServer& server = stubs_->servers->Reachable();
  grpc::ClientContext context;
  FirstAnswer first(context, stubs_->first_answer);
  const auto reader = server.models.Load(&context, request);
  v1::ModelStatus update, model;
  while (reader->Read(&update)) {
    first.Arrived();
    on_progress(update);
    model = update;
  }
  if (first.missed()) return NoAnswer(server.name, stubs_->first_answer);
  if (absl::Status status = FromGrpc(reader->Finish(), server.name); !status.ok()) return status;
  return model;
}

absl::StatusOr<v1::StepTimeline> Client::GetTimeline(const std::string& model) {
  v1::GetTimelineRequest request;
  request.set_model(model);
  return stubs_->Call(&CalledServer::models, &v1::Models::Stub::GetTimeline, request);
}

absl::Status Client::UnloadModel(const std::string& name) {
  v1::UnloadModelRequest request;
  request.set_name(name);
  return stubs_->Call(&CalledServer::models, &v1::Models::Stub::Unload, request).status();
}

absl::StatusOr<v1::ClusterStatus> Client::GetCluster() {
  return stubs_->Call(&CalledServer::cluster, &v1::Cluster::Stub::Get, v1::GetClusterRequest());
}

absl::Status Client::WatchCluster(const std::function<bool(const v1::ClusterStatus&)>& on_update,
                                  absl::Duration timeout) {
  CalledServer& server = stubs_->servers->Reachable();
  grpc::ClientContext context;
  SetTimeout(context, timeout);
  FirstAnswer first(context, stubs_->first_answer);
  const auto reader = server.cluster.Watch(&context, v1::WatchClusterRequest());
  v1::ClusterStatus cluster;
  bool more = true;
  while (more && reader->Read(&cluster)) {
    first.Arrived();
    more = on_update(cluster);
  }
  if (first.missed()) return NoAnswer(server.name, stubs_->first_answer);
  if (more) return FromGrpc(reader->Finish(), server.name);
  context.TryCancel();
  reader->Finish();
  return absl::OkStatus();
}

absl::StatusOr<v1::PlanStatus> Client::GetPlan(const std::string& model) {
  v1::PlanRequest request;
  request.set_model(model);
  return stubs_->Call(&CalledServer::cluster, &v1::Cluster::Stub::Plan, request);
}

absl::StatusOr<v1::ExpectedPlan> Client::Expect(const v1::ModelFigures& figures) {
  return stubs_->Call(&CalledServer::cluster, &v1::Cluster::Stub::Expect, figures);
}

absl::Status Client::Pause(const v1::PauseRequest& request) {
  return stubs_->Call(&CalledServer::cluster, &v1::Cluster::Stub::Pause, request).status();
}

absl::Status Client::Resume(const v1::ResumeHostRequest& request) {
  return stubs_->Call(&CalledServer::cluster, &v1::Cluster::Stub::Resume, request).status();
}

absl::StatusOr<v1::WakeResponse> Client::Wake(const v1::WakeRequest& request) {
  return stubs_->Call(&CalledServer::cluster, &v1::Cluster::Stub::Wake, request);
}

absl::StatusOr<v1::Invitation> Client::Invite(const v1::InviteRequest& request) {
  return stubs_->Call(&CalledServer::home, &v1::Home::Stub::Invite, request);
}

absl::StatusOr<v1::ListApplicantsResponse> Client::ListApplicants() {
  return stubs_->Call(&CalledServer::home, &v1::Home::Stub::ListApplicants, v1::ListApplicantsRequest());
}

absl::StatusOr<v1::Applicant> Client::DecideApplicant(const v1::DecideApplicantRequest& request) {
  return stubs_->Call(&CalledServer::home, &v1::Home::Stub::DecideApplicant, request);
}

absl::StatusOr<v1::ListMembersResponse> Client::ListMembers() {
  return stubs_->Call(&CalledServer::home, &v1::Home::Stub::ListMembers, v1::ListMembersRequest());
}

absl::StatusOr<v1::Key> Client::CreateKey(const v1::CreateKeyRequest& request) {
  return stubs_->Call(&CalledServer::home, &v1::Home::Stub::CreateKey, request);
}

absl::StatusOr<v1::Member> Client::RemoveMember(const v1::RemoveMemberRequest& request) {
  return stubs_->Call(&CalledServer::home, &v1::Home::Stub::RemoveMember, request);
}

absl::StatusOr<v1::PromoteResponse> Client::Promote(const v1::PromoteRequest& request) {
  return stubs_->Call(&CalledServer::standby, &v1::Standby::Stub::Promote, request);
}

}  // namespace hearth
