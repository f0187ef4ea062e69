#include "client/hearth_client.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/first_answer.h"
#include "engine/base/printable.h"
#include "proto/channel.h"
#include "proto/hearth/v1/cluster.grpc.pb.h"
#include "proto/hearth/v1/generation.grpc.pb.h"
#include "proto/hearth/v1/home.grpc.pb.h"
#include "proto/hearth/v1/models.grpc.pb.h"

namespace hearth {
namespace {

// gRPC's own words for a server that is not there.
bool NotReached(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         (absl::StartsWith(status.error_message(), "failed to connect") ||
          absl::StartsWith(status.error_message(), "DNS resolution failed") ||
          absl::StartsWith(status.error_message(), "connections to all backends failing"));
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& server) {
  if (status.ok()) return absl::OkStatus();
  if (NotReached(status)) {
    return absl::UnavailableError(absl::StrCat(
        "no hearthd answers at ", server,
        "; start one with `hearthd --model FILE.gguf`, or name another one with --server HOST:PORT"));
  }
  // The codes of both have the same numbers.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Status NoAnswer(const std::string& server, absl::Duration patience) {
  return absl::DeadlineExceededError(
      absl::StrCat("the program at ", server, " has not answered for ", absl::FormatDuration(patience),
                   "; look whether hearthd still works there, and start it anew if not"));
}

void SetTimeout(grpc::ClientContext& context, absl::Duration timeout) {
  if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

constexpr int kMaxResponseBytes = 64 << 20;           // the tokens of a long text take more bytes than it
constexpr size_t kMaxRequestBytes = size_t{4} << 20;  // what a gRPC server takes unless told otherwise

// The name of a string field, at any depth, that is no UTF-8; empty: all are.
std::string FieldWithoutUtf8(const google::protobuf::Message& message) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->type() == FieldDescriptor::TYPE_STRING) {
        const std::string text = field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                                      : reflection.GetString(message, field);
        if (!IsUtf8(text)) return field->name();
      } else if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
        const std::string inner =
            FieldWithoutUtf8(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                  : reflection.GetMessage(message, field));
        if (!inner.empty()) return inner;
      }
    }
  }
  return "";
}

// Finds what gRPC and protobuf would refuse in words of their own.
absl::Status CheckCanBeSent(const google::protobuf::Message& request) {
  if (const std::string field = FieldWithoutUtf8(request); !field.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", field, " is not valid UTF-8; convert it, for example with iconv"));
  }
  if (const size_t bytes = request.ByteSizeLong(); bytes > kMaxRequestBytes) {
    return absl::OutOfRangeError(absl::StrCat("the request has ", bytes, " bytes; at most ", kMaxRequestBytes,
                                              " can be sent; shorten the text"));
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server, const ConnectionKey& key) {
  grpc::ChannelArguments arguments = HearthChannelArguments();
  arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
  return OpenChannel(server, key, arguments);
}

class Stream final : public GenerationStream {
 public:
  // `method` starts the call of `request`.
  template <typename Request>
  Stream(v1::Generation::Stub& stub,
         std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> (v1::Generation::Stub::*method)(
             grpc::ClientContext*, const Request&),
         const Request& request, absl::Duration timeout, std::string server)
      : server_(std::move(server)) {
    if (absl::Status status = CheckCanBeSent(request); !status.ok()) {
      status_ = std::move(status);
      return;
    }
    SetTimeout(context_, timeout);
    reader_ = (stub.*method)(&context_, request);
  }

  ~Stream() override {
    if (status_) return;
    context_.TryCancel();
    while (Next()) {
    }
  }

  std::optional<v1::GenerateResponse> Next() override {
    v1::GenerateResponse event;
    if (status_) return std::nullopt;
    if (reader_->Read(&event)) return event;
    status_ = FromGrpc(reader_->Finish(), server_);
    return std::nullopt;
  }

  absl::Status Finish() override {
    return status_.value_or(absl::FailedPreconditionError("the stream goes on"));
  }
  void Cancel() override { context_.TryCancel(); }

 private:
  const std::string server_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
  std::optional<absl::Status> status_;  // at the end
};

}  // namespace

struct Client::Stubs {
  Stubs(const std::string& server_name, const ConnectionKey& key, absl::Duration patience)
      : server(server_name), first_answer(patience), channel(MakeChannel(server, key)) {}

  // Calls a unary method that answers at once.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) const {
    if (absl::Status status = CheckCanBeSent(request); !status.ok()) return status;
    grpc::ClientContext context;
    SetTimeout(context, first_answer);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return NoAnswer(server, first_answer);
    if (!status.ok()) return FromGrpc(status, server);
    return response;
  }

  const std::string server;
  const absl::Duration first_answer;
  const std::shared_ptr<grpc::Channel> channel;
  v1::Generation::Stub generation{channel};
  v1::Models::Stub models{channel};
  v1::Cluster::Stub cluster{channel};
  v1::Home::Stub home{channel};
};

Client::Client(const std::string& server, const ConnectionKey& key, absl::Duration first_answer)
    : stubs_(std::make_unique<Stubs>(server, key, first_answer)) {}

Client::~Client() = default;

std::unique_ptr<GenerationStream> Client::StartGenerate(const v1::GenerateRequest& request,
                                                        absl::Duration timeout) {
  return std::make_unique<Stream>(stubs_->generation, &v1::Generation::Stub::Generate, request, timeout,
                                  stubs_->server);
}

std::unique_ptr<GenerationStream> Client::StartChat(const v1::ChatRequest& request, absl::Duration timeout) {
  return std::make_unique<Stream>(stubs_->generation, &v1::Generation::Stub::Chat, request, timeout,
                                  stubs_->server);
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
  const grpc::Status status = stubs_->generation.Embed(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, stubs_->server);
  return response;
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(const v1::TokenizeRequest& request) {
  return stubs_->Call(stubs_->generation, &v1::Generation::Stub::Tokenize, request);
}

absl::StatusOr<v1::DetokenizeResponse> Client::Detokenize(const v1::DetokenizeRequest& request) {
  return stubs_->Call(stubs_->generation, &v1::Generation::Stub::Detokenize, request);
}

absl::StatusOr<v1::ListModelsResponse> Client::ListModels() {
  return stubs_->Call(stubs_->models, &v1::Models::Stub::List, v1::ListModelsRequest());
}

absl::StatusOr<v1::ModelStatus> Client::GetModel(const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(name);
  return stubs_->Call(stubs_->models, &v1::Models::Stub::Get, request);
}

absl::StatusOr<v1::ModelStatus> Client::LoadModel(
    const v1::LoadModelRequest& request, const std::function<void(const v1::ModelStatus&)>& on_progress) {
  if (absl::Status status = CheckCanBeSent(request); !status.ok()) return status;
  grpc::ClientContext context;
  FirstAnswer first(context, stubs_->first_answer);
  const auto reader = stubs_->models.Load(&context, request);
  v1::ModelStatus update, model;
  while (reader->Read(&update)) {
    first.Arrived();
    on_progress(update);
    model = update;
  }
  if (first.missed()) return NoAnswer(stubs_->server, stubs_->first_answer);
  if (absl::Status status = FromGrpc(reader->Finish(), stubs_->server); !status.ok()) return status;
  return model;
}

absl::Status Client::UnloadModel(const std::string& name) {
  v1::UnloadModelRequest request;
  request.set_name(name);
  return stubs_->Call(stubs_->models, &v1::Models::Stub::Unload, request).status();
}

absl::StatusOr<v1::ClusterStatus> Client::GetCluster() {
  return stubs_->Call(stubs_->cluster, &v1::Cluster::Stub::Get, v1::GetClusterRequest());
}

absl::Status Client::WatchCluster(const std::function<bool(const v1::ClusterStatus&)>& on_update,
                                  absl::Duration timeout) {
  grpc::ClientContext context;
  SetTimeout(context, timeout);
  FirstAnswer first(context, stubs_->first_answer);
  const auto reader = stubs_->cluster.Watch(&context, v1::WatchClusterRequest());
  v1::ClusterStatus cluster;
  bool more = true;
  while (more && reader->Read(&cluster)) {
    first.Arrived();
    more = on_update(cluster);
  }
  if (first.missed()) return NoAnswer(stubs_->server, stubs_->first_answer);
  if (more) return FromGrpc(reader->Finish(), stubs_->server);
  context.TryCancel();
  reader->Finish();
  return absl::OkStatus();
}

absl::StatusOr<v1::PlanStatus> Client::GetPlan(const std::string& model) {
  v1::PlanRequest request;
  request.set_model(model);
  return stubs_->Call(stubs_->cluster, &v1::Cluster::Stub::Plan, request);
}

absl::StatusOr<v1::Invitation> Client::Invite(const v1::InviteRequest& request) {
  return stubs_->Call(stubs_->home, &v1::Home::Stub::Invite, request);
}

absl::StatusOr<v1::ListMembersResponse> Client::ListMembers() {
  return stubs_->Call(stubs_->home, &v1::Home::Stub::ListMembers, v1::ListMembersRequest());
}

absl::StatusOr<v1::Key> Client::CreateKey(const v1::CreateKeyRequest& request) {
  return stubs_->Call(stubs_->home, &v1::Home::Stub::CreateKey, request);
}

absl::StatusOr<v1::Member> Client::RemoveMember(const v1::RemoveMemberRequest& request) {
  return stubs_->Call(stubs_->home, &v1::Home::Stub::RemoveMember, request);
}

}  // namespace hearth
