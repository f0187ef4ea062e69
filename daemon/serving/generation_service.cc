#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/requests/chat_request.h"
#include "daemon/requests/continuation.h"
#include "daemon/requests/embed_request.h"
#include "daemon/requests/request_checks.h"
#include "daemon/scheduling/models_on_demand.h"
#include "daemon/scheduling/text_stream.h"
#include "daemon/serving/embed_call.h"
#include "daemon/serving/generate_stream.h"
#include "daemon/serving/reactors.h"
#include "daemon/serving/services.h"
#include "daemon/state/kept_requests.h"
#include "engine/base/status_macros.h"
#include "engine/base/task_queue.h"
#include "engine/chat/answer_parser.h"
#include "engine/chat/chat_tokens.h"
#include "proto/hearth/v1/generation.grpc.pb.h"

namespace hearth {
namespace {

// Requests that are read on threads of their own, and those threads.
constexpr int kMaxPreparing = 64;
constexpr size_t kPreparingThreads = 2;
// A text of this size is tokenised in a millisecond or two, where it arrives.
constexpr size_t kReadAtOnceBytes = 16 << 10;

// A generation ends a little before its RPC's deadline, so that Finished still reaches the client.
absl::Time GenerationDeadline(std::chrono::system_clock::time_point rpc_deadline, absl::Time now) {
  if (rpc_deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  const absl::Time deadline = absl::FromChrono(rpc_deadline);
  return deadline - std::min(absl::Milliseconds(100), (deadline - now) / 10);
}

class GenerationService final : public v1::Generation::CallbackService {
 public:
  GenerationService(SchedulerPool& schedulers, ModelsOnDemand& models, KeptRequests& requests,
                    std::function<bool()> leads)
      : schedulers_(schedulers), models_(models), requests_(requests), leads_(std::move(leads)) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(grpc::CallbackServerContext* context,
                                                           const v1::GenerateRequest* request) override {
    absl::StatusOr<Continuation> continuation = ContinuationOf(*request, CallerOf(*context));
    if (!continuation.ok()) return Rejected(continuation.status());
    const bool at_once = request->text().size() <= kReadAtOnceBytes && !request->has_generated() &&
                         request->constraint_case() == v1::GenerateRequest::CONSTRAINT_NOT_SET;
    return Read(*context, *request, *std::move(continuation), at_once);
  }

  grpc::ServerWriteReactor<v1::GenerateResponse>* Chat(grpc::CallbackServerContext* context,
                                                       const v1::ChatRequest* request) override {
    absl::StatusOr<Continuation> continuation = ContinuationOf(*request, CallerOf(*context));
    if (!continuation.ok()) return Rejected(continuation.status());
    return Read(*context, *request, *std::move(continuation));
  }

  grpc::ServerWriteReactor<v1::GenerateResponse>* Resume(grpc::CallbackServerContext* context,
                                                         const v1::ResumeRequest* request) override {
    if (absl::Status status = KeptRequests::CheckId(request->request_id()); !status.ok())
      return Rejected(status);
    absl::StatusOr<KeptRequest> kept = requests_.Find({CallerOf(*context), request->request_id()});
    if (!kept.ok()) return Rejected(kept.status());
    absl::StatusOr<Continuation> continuation = ContinuationOf(*request, *std::move(kept));
    if (!continuation.ok()) return Rejected(continuation.status());
    return continuation->kept->kind == RequestKind::kChat
               ? Read(*context, ContentOf<v1::ChatRequest>(*continuation->kept), *continuation)
               : Read(*context, ContentOf<v1::GenerateRequest>(*continuation->kept), *continuation);
  }

  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* context, const v1::CancelRequest* request,
                                   v1::CancelResponse*) override {
    return Answer(context, [&]() -> absl::Status {
      HEARTH_RETURN_IF_ERROR(KeptRequests::CheckId(request->request_id()));
      requests_.Cancel({CallerOf(*context), request->request_id()});
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context, const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override {
    auto call = std::make_shared<EmbedCall>(*response, last_id_);
    call->HoldUntilDone();
    const absl::Time now = absl::Now();
    const bool forever = context->deadline() == std::chrono::system_clock::time_point::max();
    const absl::Time deadline = forever ? absl::InfiniteFuture() : absl::FromChrono(context->deadline());
    // The request is gRPC's, and gone when the client is.
    models_.Find(request->model(), deadline, [this, call, request = *request, now, deadline](auto scheduler) {
      const absl::Status admitted = scheduler.ok() ? Admit() : scheduler.status();
      if (!admitted.ok()) return call->Reject(admitted);
      Prepare([=, scheduler = *std::move(scheduler)] {
        BeginEmbedding(call, scheduler, request, now, deadline);
      });
    });
    return call.get();
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override {
    const auto tokenize = [this, request, response]() -> absl::Status {
      HEARTH_ASSIGN_OR_RETURN(const auto scheduler, schedulers_.Find(request->model()));
      const bool add_special = !request->has_add_special() || request->add_special();
      const std::vector<TokenId> tokens = scheduler->model().tokenizer().Encode(
          request->text(), {.add_special = add_special, .parse_special = request->parse_special()});
      response->mutable_tokens()->Assign(tokens.begin(), tokens.end());
      return absl::OkStatus();
    };
    if (request->text().size() <= kReadAtOnceBytes) return Answer(context, tokenize);
    const absl::Status admitted = Admit();
    if (!admitted.ok()) return Answer(context, [&] { return admitted; });
    grpc::ServerUnaryReactor* const reactor =
        context->DefaultReactor();  // until it is finished, all of it stays
    Prepare([reactor, tokenize] { reactor->Finish(ToGrpcStatus(tokenize())); });
    return reactor;
  }

  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override {
    return Answer(context, [&]() -> absl::Status {
      HEARTH_ASSIGN_OR_RETURN(const auto scheduler, schedulers_.Find(request->model()));
      const Tokenizer& tokenizer = scheduler->model().tokenizer();
      const std::vector<TokenId> tokens(request->tokens().begin(), request->tokens().end());
      HEARTH_RETURN_IF_ERROR(CheckTokens(tokens, scheduler->vocab_size()));
      const std::string bytes =
          tokenizer.Decode(tokens, {.remove_special = true, .unparse_special = request->unparse_special()});
      response->set_text(ToValidUtf8(bytes));
      return absl::OkStatus();
    });
  }

 private:
  // When a request came, and when its generation has to end.
  struct Arrival {
    absl::Time time;
    absl::Time deadline;
  };
  static Arrival ArrivalOf(const grpc::CallbackServerContext& context) {
    const absl::Time now = absl::Now();
    return {now, GenerationDeadline(context.deadline(), now)};
  }

  static grpc::ServerWriteReactor<v1::GenerateResponse>* Rejected(const absl::Status& status) {
    return new RejectedStream<v1::GenerateResponse>(ToGrpcStatus(status));
  }

  // A place among those that are prepared, for one call of Prepare.
  absl::Status Admit() {
    if (preparing_.fetch_add(1) < kMaxPreparing) return absl::OkStatus();
    --preparing_;
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", kMaxPreparing, " long texts wait to be read; try again later"));
  }
  void Prepare(std::function<void()> task) {
    preparation_.Add([this, task = std::move(task)] {
      task();
      --preparing_;
    });
  }

  // As its client sent it. One that cannot be read says nothing, and is refused for that.
  template <class Request>
  static Request ContentOf(const KeptRequest& kept) {
    Request request;
    if (!request.ParseFromString(kept.content)) request.Clear();
    return request;
  }

  // Reads a request once its model is there. What may take long to read is read on threads of their own,
  // unless `at_once`: templates are programs, grammars become machines, and texts may be of megabytes.
  template <class Request>
  grpc::ServerWriteReactor<v1::GenerateResponse>* Read(grpc::CallbackServerContext& context,
                                                       const Request& request, Continuation continuation,
                                                       bool at_once = false) {
    auto stream = std::make_shared<GenerateStream>(context, leads_);
    stream->HoldUntilDone();
    const Arrival arrival = ArrivalOf(context);
    // The request is gRPC's, and gone when the client is.
    models_.Find(
        request.model(), arrival.deadline,
        [this, stream, request, continuation = std::move(continuation), arrival, at_once](auto scheduler) {
          if (stream->client_gone()) return;  // and needs no answer
          if (!scheduler.ok()) return stream->Reject(scheduler.status());
          if (at_once) return Begin(*scheduler, request, continuation, arrival, stream);
          if (const absl::Status admitted = Admit(); !admitted.ok()) return stream->Reject(admitted);
          Prepare([=, this, scheduler = *std::move(scheduler)] {
            if (!stream->client_gone()) Begin(scheduler, request, continuation, arrival, stream);
          });
        });
    return stream.get();
  }

  static void BeginEmbedding(const std::shared_ptr<EmbedCall>& call,
                             const std::shared_ptr<Scheduler>& scheduler, const v1::EmbedRequest& request,
                             absl::Time now, absl::Time deadline) {
    ServedModel& model = *scheduler->shared_model();
    const EmbeddingTraits traits = model.embeddings();
    const uint32_t most_tokens =
        traits.whole_texts ? std::min(scheduler->context_length(), model.decoder().options().max_rows)
                           : scheduler->context_length();
    auto checked =
        CheckEmbedRequest(request, traits, model.tokenizer(), scheduler->vocab_size(), most_tokens);
    if (!checked.ok()) return call->Reject(checked.status());
    call->Begin(scheduler, *std::move(checked), now, deadline);
  }

  // Reads the request and hands it to the scheduler, or rejects it.
  template <class Request>
  void Begin(const std::shared_ptr<Scheduler>& scheduler, Request request, Continuation continuation,
             Arrival arrival, const std::shared_ptr<GenerateStream>& stream) {
    NotedRun run;
    bool joined = false;
    if (continuation.kept) {
      const absl::StatusOr<KeptRequests::Begun> begun = Keep(*scheduler, continuation, arrival, stream);
      if (!begun.ok()) return stream->Reject(begun.status());
      continuation.kept = begun->request;
      joined = begun->joined;
      run = {&requests_, begun->request.name, begun->run};
      stream->NoteTo(run);
      request.mutable_sampling()->set_seed(*begun->request.seed);
    }
    const absl::Status status = Submit(scheduler, request, continuation, arrival, stream);
    if (status.ok()) return;
    // One that was refused from the start is not to be resumed.
    if (run.requests != nullptr && !joined) requests_.End(run.name, run.run, status);
    stream->Reject(status);
  }

  absl::StatusOr<KeptRequests::Begun> Keep(const Scheduler& scheduler, const Continuation& continuation,
                                           const Arrival& arrival,
                                           const std::shared_ptr<GenerateStream>& stream) {
    KeptRequest kept = *continuation.kept;
    if (kept.digest.empty()) {  // it is new, unless one of its name is kept
      kept.digest = scheduler.model().digest();
      kept.arrived = arrival.time;
    }
    if (kept.digest != scheduler.model().digest()) return KeptRequests::OtherModel();
    return requests_.Begin(std::move(kept), stream);
  }

  absl::Status Submit(const std::shared_ptr<Scheduler>& scheduler, const v1::ChatRequest& request,
                      const Continuation& continuation, const Arrival& arrival,
                      const std::shared_ptr<GenerateStream>& stream) {
    const ServedModel& model = scheduler->model();
    // Templates know the date.
    const absl::Time now = continuation.kept ? continuation.kept->arrived : arrival.time;
    HEARTH_ASSIGN_OR_RETURN(const ChatPrompt prompt,
                            ToChatPrompt(request, model.chat(), model.tokenizer(), now));
    if (!prompt.syntax) return Submit(scheduler, prompt.request, continuation, arrival, stream);
    stream->TakeApart(*prompt.syntax);
    return Submit(scheduler, prompt.request, continuation, arrival, stream,
                  MarkerTokens(model.tokenizer(), AnswerParser::Markers(!prompt.syntax->tools.empty())));
  }
  // Checks a request and hands it to the scheduler. `shown`: control tokens that the text has.
  absl::Status Submit(const std::shared_ptr<Scheduler>& scheduler, const v1::GenerateRequest& request,
                      const Continuation& continuation, const Arrival& arrival,
                      const std::shared_ptr<GenerateStream>& stream, std::vector<TokenId> shown = {}) {
    const ServedModel& model = scheduler->model();
    HEARTH_RETURN_IF_ERROR(scheduler->CheckGenerates());
    HEARTH_ASSIGN_OR_RETURN(CheckedRequest checked,
                            CheckRequest(request, model.tokenizer(), scheduler->vocab_size(),
                                         scheduler->context_length(), scheduler->grammars()));
    HEARTH_RETURN_IF_ERROR(GoOn(continuation, scheduler->vocab_size(), stream, checked.request));
    const RequestId id = ++last_id_;
    checked.request.id = id;
    checked.request.shown = std::move(shown);
    checked.request.arrived = arrival.time;
    checked.request.deadline = arrival.deadline;

    v1::Started started;
    started.set_request_id(absl::StrCat("r", id));
    started.set_model(model.name());
    started.set_digest(model.digest());
    started.set_seed(checked.sampler.options().seed);
    started.set_prompt_tokens(static_cast<uint32_t>(checked.request.prompt.size()));
    started.set_max_tokens(checked.request.max_tokens);
    stream->Accept(scheduler, id, std::move(started), continuation.offset);
    HEARTH_RETURN_IF_ERROR(scheduler->Submit(std::move(checked.request), std::move(checked.sampler), stream));
    stream->Submitted();
    // A client that went in between could not cancel what was not there yet.
    if (stream->client_gone()) scheduler->Cancel(id);
    return absl::OkStatus();
  }

  // Sets what an earlier run of the request has generated.
  absl::Status GoOn(const Continuation& continuation, int32_t vocab_size,
                    const std::shared_ptr<GenerateStream>& stream, GenerationRequest& request) {
    if (continuation.offset > request.max_tokens) {
      return absl::OutOfRangeError(absl::StrCat("the request is for ", request.max_tokens,
                                                " tokens; it cannot be resumed behind ",
                                                continuation.offset));
    }
    HEARTH_RETURN_IF_ERROR(CheckTokens(continuation.given, vocab_size));
    const std::vector<TokenId> kept = continuation.kept ? continuation.kept->tokens : std::vector<TokenId>();
    request.generated = TokensSoFar(continuation, kept, request.logprobs.has_value());
    HEARTH_RETURN_IF_ERROR(CheckTokens(request.generated, vocab_size));
    request.cut = continuation.offset;
    stream->BeginWith(request.generated);
    return absl::OkStatus();
  }

  SchedulerPool& schedulers_;
  ModelsOnDemand& models_;
  KeptRequests& requests_;
  const std::function<bool()> leads_;
  std::atomic<RequestId> last_id_ = 0;
  std::atomic<int> preparing_ = 0;  // requests in `preparation_`
  TaskQueue preparation_{kPreparingThreads};
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGenerationService(SchedulerPool& schedulers, ModelsOnDemand& models,
                                                     KeptRequests& requests, std::function<bool()> leads) {
  return std::make_unique<GenerationService>(schedulers, models, requests, std::move(leads));
}

}  // namespace hearth
