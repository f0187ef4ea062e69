#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/scheduling/text_stream.h"
#include "daemon/serving/chat_request.h"
#include "daemon/serving/conversions.h"
#include "daemon/serving/embed_call.h"
#include "daemon/serving/embed_request.h"
#include "daemon/serving/reactors.h"
#include "daemon/serving/request_checks.h"
#include "daemon/serving/services.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
#include "engine/base/task_queue.h"
#include "engine/chat/answer_parser.h"
#include "engine/chat/chat_tokens.h"
#include "engine/sample/sampler.h"
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

// Nine letters and digits: templates of Mistral take no others.
std::string NewCallId() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string id;
  for (uint64_t random = RandomSeed(); id.size() < 9; random /= kLetters.size()) {
    id.push_back(kLetters[random % kLetters.size()]);
  }
  return id;
}

void Append(GenerationDelta& to, GenerationDelta from) {
  to.text += from.text;
  to.tokens.insert(to.tokens.end(), from.tokens.begin(), from.tokens.end());
  std::move(from.logprobs.begin(), from.logprobs.end(), std::back_inserter(to.logprobs));
}

// One Generate or Chat RPC. It is accepted when its request has been checked, which for a conversation or a
// long text is later than it begins, or rejected. From then on events come from the scheduler's thread, which
// never waits for the client: what cannot be written yet is kept and joined into one Delta. gRPC holds a
// reference until OnDone, the scheduler one until the last event.
class GenerateStream final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                             public GenerationSink,
                             public std::enable_shared_from_this<GenerateStream> {
 public:
  void HoldUntilDone() { self_ = shared_from_this(); }

  // What it is known by from now on, before it is submitted.
  void Accept(std::weak_ptr<Scheduler> scheduler, RequestId id, v1::Started started) {
    MutexLock lock(&mutex_);
    scheduler_ = std::move(scheduler);
    id_ = id;
    started_ = std::move(started);
  }

  // Reasoning and calls are taken out of its text; before it is submitted.
  void TakeApart(const AnswerSyntax& syntax) {
    MutexLock lock(&mutex_);
    parser_.emplace(syntax);
  }

  // Ends it before its first event.
  void Reject(const absl::Status& status) {
    MutexLock lock(&mutex_);
    if (client_gone_) return;
    status_ = ToGrpcStatus(status);
    Pump();
  }

  // Whether nothing can be sent any more.
  bool client_gone() const {
    MutexLock lock(&mutex_);
    return client_gone_;
  }

  void Started() override {
    MutexLock lock(&mutex_);
    started_pending_ = !client_gone_;
    Pump();
  }

  void Delta(GenerationDelta delta) override {
    MutexLock lock(&mutex_);
    if (client_gone_) return;
    if (parser_) delta.text = Take(parser_->Push(delta.text));
    Append(delta_, std::move(delta));
    Pump();
  }

  void Finished(const GenerationSummary& summary) override {
    MutexLock lock(&mutex_);
    spdlog::debug("request {}: {} prompt tokens, {} generated", started_.request_id(), summary.prompt_tokens,
                  summary.generated_tokens);
    if (client_gone_) return;
    if (parser_) delta_.text += Take(parser_->Finish());
    finished_ = ToProto(summary);
    status_ = grpc::Status::OK;
    Pump();
  }

  void Failed(const absl::Status& status) override {
    MutexLock lock(&mutex_);
    spdlog::debug("request {}: {}", started_.request_id(), status.ToString());
    if (client_gone_) return;
    status_ = ToGrpcStatus(status);
    Pump();
  }

  bool Blocked() const override {
    MutexLock lock(&mutex_);
    return delta_.tokens.size() >= kMaxUnreadTokens;
  }

  void OnWriteDone(bool ok) override {
    bool was_blocked = false;
    std::shared_ptr<Scheduler> scheduler;
    RequestId id = 0;
    {
      MutexLock lock(&mutex_);
      scheduler = scheduler_.lock();
      id = id_;
      writing_ = false;
      if (!ok) Abandon();
      was_blocked = delta_.tokens.size() >= kMaxUnreadTokens;
      Pump();
    }
    if (scheduler == nullptr) return;
    if (!ok) scheduler->Cancel(id);
    if (was_blocked) scheduler->Wake();
  }

  void OnCancel() override {
    std::shared_ptr<Scheduler> scheduler;
    RequestId id = 0;
    {
      MutexLock lock(&mutex_);
      scheduler = scheduler_.lock();
      id = id_;
      Abandon();
      Pump();
    }
    if (scheduler != nullptr) scheduler->Cancel(id);
  }

  void OnDone() override { self_.reset(); }

 private:
  // The client will not hear of anything any more.
  void Abandon() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    client_gone_ = true;
    started_pending_ = false;
    delta_ = {};
    taken_.Clear();
    finished_.reset();
    status_ = grpc::Status::CANCELLED;
  }

  // Keeps what is no text for the next delta, and returns what is.
  std::string Take(AnswerPieces pieces) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    taken_.mutable_reasoning()->append(pieces.reasoning);
    for (ToolCall& call : pieces.calls) {
      v1::ToolCall& taken = *taken_.add_tool_calls();
      taken.set_id(NewCallId());
      taken.set_name(std::move(call.name));
      taken.set_arguments(std::move(call.arguments));
    }
    return std::move(pieces.text);
  }

  // Starts the next write, or ends the RPC when all is written. With mutex_ held.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || closed_) return;
    response_.Clear();
    if (started_pending_) {
      *response_.mutable_started() = started_;
      started_pending_ = false;
    } else if (!delta_.tokens.empty() || !delta_.text.empty() || taken_.ByteSizeLong() > 0) {
      *response_.mutable_delta() = ToProto(std::exchange(delta_, {}));
      response_.mutable_delta()->MergeFrom(std::exchange(taken_, {}));
    } else if (finished_) {
      *response_.mutable_finished() = *std::exchange(finished_, std::nullopt);
    } else if (status_) {
      closed_ = true;
      return Finish(*status_);
    } else {
      return;
    }
    writing_ = true;
    StartWrite(&response_);
  }

  std::shared_ptr<GenerateStream> self_;

  mutable Mutex mutex_;
  // Of an accepted request.
  std::weak_ptr<Scheduler> scheduler_ ABSL_GUARDED_BY(mutex_);
  RequestId id_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::Started started_ ABSL_GUARDED_BY(mutex_);
  v1::GenerateResponse response_ ABSL_GUARDED_BY(mutex_);  // being written
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;           // StartWrite was called, OnWriteDone not yet
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;            // Finish was called
  bool client_gone_ ABSL_GUARDED_BY(mutex_) = false;       // nothing can be written any more
  bool started_pending_ ABSL_GUARDED_BY(mutex_) =
      false;  // this and the next three: not written yet, in this order
  GenerationDelta delta_ ABSL_GUARDED_BY(mutex_);
  v1::Delta taken_ ABSL_GUARDED_BY(mutex_);  // reasoning and calls that go with it
  std::optional<AnswerParser> parser_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::Finished> finished_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
};

class GenerationService final : public v1::Generation::CallbackService {
 public:
  explicit GenerationService(SchedulerPool& schedulers) : schedulers_(schedulers) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(grpc::CallbackServerContext* context,
                                                           const v1::GenerateRequest* request) override {
    if (request->text().size() > kReadAtOnceBytes ||
        request->constraint_case() != v1::GenerateRequest::CONSTRAINT_NOT_SET) {
      return ReadLater(*context, *request);
    }
    const auto scheduler = schedulers_.Find(request->model());
    if (!scheduler.ok()) return Rejected(scheduler.status());
    auto stream = std::make_shared<GenerateStream>();
    stream->HoldUntilDone();
    const absl::Status submitted = Submit(*scheduler, *request, ArrivalOf(*context), stream);
    if (!submitted.ok()) stream->Reject(submitted);
    return stream.get();
  }

  grpc::ServerWriteReactor<v1::GenerateResponse>* Chat(grpc::CallbackServerContext* context,
                                                       const v1::ChatRequest* request) override {
    return ReadLater(*context, *request);
  }

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context, const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override {
    auto call = std::make_shared<EmbedCall>(*response, last_id_);
    call->HoldUntilDone();
    const absl::Time now = absl::Now();
    const bool forever = context->deadline() == std::chrono::system_clock::time_point::max();
    const absl::Time deadline = forever ? absl::InfiniteFuture() : absl::FromChrono(context->deadline());
    auto scheduler = schedulers_.Find(request->model());
    absl::Status admitted = scheduler.ok() ? Admit() : scheduler.status();
    if (!admitted.ok()) {
      call->Reject(admitted);
      return call.get();
    }
    // The request is gRPC's, and gone when the client is.
    Prepare([call, scheduler = *std::move(scheduler), request = *request, now, deadline] {
      ServedModel& model = *scheduler->shared_model();
      const EmbeddingTraits traits = model.embeddings();
      const uint32_t most_tokens =
          traits.whole_texts ? std::min(scheduler->context_length(), model.decoder().options().max_rows)
                             : scheduler->context_length();
      auto checked =
          CheckEmbedRequest(request, traits, model.tokenizer(), scheduler->vocab_size(), most_tokens);
      if (!checked.ok()) return call->Reject(checked.status());
      call->Begin(scheduler, *std::move(checked), now, deadline);
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

  // For what takes long to read: templates are programs, grammars become machines, and texts may be of
  // megabytes. Threads of their own render, compile and tokenise them.
  template <class Request>
  grpc::ServerWriteReactor<v1::GenerateResponse>* ReadLater(const grpc::CallbackServerContext& context,
                                                            const Request& request) {
    auto scheduler = schedulers_.Find(request.model());
    if (!scheduler.ok()) return Rejected(scheduler.status());
    if (const absl::Status admitted = Admit(); !admitted.ok()) return Rejected(admitted);
    auto stream = std::make_shared<GenerateStream>();
    stream->HoldUntilDone();
    // The request is gRPC's, and gone when the client is.
    Prepare([this, stream, scheduler = *std::move(scheduler), request, arrival = ArrivalOf(context)] {
      if (stream->client_gone()) return;  // and needs no answer
      const absl::Status status = Submit(scheduler, request, arrival, stream);
      if (!status.ok()) stream->Reject(status);
    });
    return stream.get();
  }

  absl::Status Submit(const std::shared_ptr<Scheduler>& scheduler, const v1::ChatRequest& request,
                      const Arrival& arrival, const std::shared_ptr<GenerateStream>& stream) {
    const ServedModel& model = scheduler->model();
    HEARTH_ASSIGN_OR_RETURN(const ChatPrompt prompt,
                            ToChatPrompt(request, model.chat(), model.tokenizer(), arrival.time));
    if (!prompt.syntax) return Submit(scheduler, prompt.request, arrival, stream);
    stream->TakeApart(*prompt.syntax);
    return Submit(scheduler, prompt.request, arrival, stream,
                  MarkerTokens(model.tokenizer(), AnswerParser::Markers(!prompt.syntax->tools.empty())));
  }
  // Checks a request and hands it to the scheduler. `shown`: control tokens that the text has.
  absl::Status Submit(const std::shared_ptr<Scheduler>& scheduler, const v1::GenerateRequest& request,
                      const Arrival& arrival, const std::shared_ptr<GenerateStream>& stream,
                      std::vector<TokenId> shown = {}) {
    const ServedModel& model = scheduler->model();
    HEARTH_RETURN_IF_ERROR(scheduler->CheckGenerates());
    HEARTH_ASSIGN_OR_RETURN(CheckedRequest checked,
                            CheckRequest(request, model.tokenizer(), scheduler->vocab_size(),
                                         scheduler->context_length(), scheduler->grammars()));
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
    stream->Accept(scheduler, id, std::move(started));
    HEARTH_RETURN_IF_ERROR(scheduler->Submit(std::move(checked.request), std::move(checked.sampler), stream));
    // A client that went in between could not cancel what was not there yet.
    if (stream->client_gone()) scheduler->Cancel(id);
    return absl::OkStatus();
  }

  SchedulerPool& schedulers_;
  std::atomic<RequestId> last_id_ = 0;
  std::atomic<int> preparing_ = 0;  // requests in `preparation_`
  TaskQueue preparation_{kPreparingThreads};
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGenerationService(SchedulerPool& schedulers) {
  return std::make_unique<GenerationService>(schedulers);
}

}  // namespace hearth
