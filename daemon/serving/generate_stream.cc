#include "daemon/serving/generate_stream.h"

#include <spdlog/spdlog.h>

#include <iterator>
#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "daemon/grpc_status.h"
#include "daemon/requests/conversions.h"
#include "daemon/serving/services.h"
#include "engine/sample/sampler.h"
#include "proto/stream_metadata.h"

namespace hearth {
namespace {

constexpr char kComesBack[] = "hearth/comes-back";

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
  if (to.empty()) to.offset = from.offset;
  to.text += from.text;
  to.tokens.insert(to.tokens.end(), from.tokens.begin(), from.tokens.end());
  std::move(from.logprobs.begin(), from.logprobs.end(), std::back_inserter(to.logprobs));
}

}  // namespace

absl::Status ComesBack(absl::Status status) {
  status.SetPayload(kComesBack, absl::Cord());
  return status;
}

void GenerateStream::Accept(std::weak_ptr<Scheduler> scheduler, RequestId id, v1::Started started,
                            uint32_t first_sent) {
  MutexLock lock(&mutex_);
  scheduler_ = std::move(scheduler);
  id_ = id;
  started_ = std::move(started);
  first_sent_ = first_sent;
}

void GenerateStream::NoteTo(NotedRun run) {
  MutexLock lock(&mutex_);
  noted_ = std::move(run);
}

void GenerateStream::BeginWith(std::vector<TokenId> tokens) {
  MutexLock lock(&mutex_);
  beginning_ = std::move(tokens);
}

NotedRun GenerateStream::noted() const {
  MutexLock lock(&mutex_);
  return noted_;
}

void GenerateStream::TakeApart(const AnswerSyntax& syntax) {
  MutexLock lock(&mutex_);
  parser_.emplace(syntax);
}

void GenerateStream::Submitted() {
  MutexLock lock(&mutex_);
  if (begun_ || closed_ || client_gone_) return;
  begun_ = writing_ = true;
  context_.AddInitialMetadata(kAcceptedKey, "1");
  StartSendInitialMetadata();
}

void GenerateStream::Reject(const absl::Status& status) {
  MutexLock lock(&mutex_);
  if (client_gone_) return;
  if (!status.GetPayload(kComesBack)) context_.AddTrailingMetadata(kRefusedKey, "1");
  status_ = ToGrpcStatus(status);
  Pump();
}

bool GenerateStream::client_gone() const {
  MutexLock lock(&mutex_);
  return client_gone_;
}

void GenerateStream::Started() {
  MutexLock lock(&mutex_);
  if (noted_.requests != nullptr)
    noted_.requests->SetTokens(noted_.name, noted_.run, std::exchange(beginning_, {}));
  started_pending_ = !client_gone_;
  Pump();
}

void GenerateStream::Delta(GenerationDelta delta) {
  const NotedRun note = noted();
  if (note.requests != nullptr) note.requests->Append(note.name, note.run, delta.offset, delta.tokens);
  MutexLock lock(&mutex_);
  if (client_gone_) return;
  if (parser_) {
    delta.text = Take(parser_->Push(delta.text));
    if (delta.last) delta.text += TakeRest();
  }
  if (delta.offset < first_sent_) return taken_.Clear();  // the client has it
  Append(delta_, std::move(delta));
  Pump();
}

void GenerateStream::Finished(const GenerationSummary& summary) {
  // What a deadline has cut off does not end so again.
  const bool done = summary.reason != EndReason::kDeadline;
  if (const NotedRun note = noted(); note.requests != nullptr) {
    note.requests->End(note.name, note.run,
                       done ? absl::OkStatus() : absl::DeadlineExceededError("finished"));
  }
  MutexLock lock(&mutex_);
  spdlog::debug("request {}: {} prompt tokens, {} generated", started_.request_id(), summary.prompt_tokens,
                summary.generated_tokens);
  if (client_gone_) return;
  if (summary.generated_tokens < first_sent_) {
    status_ = ToGrpcStatus(absl::OutOfRangeError(
        absl::StrCat("the request ended after ", summary.generated_tokens, " tokens, before the offset of ",
                     first_sent_, " from which it was to be resumed")));
    return Pump();
  }
  if (delta_.empty()) delta_.offset = summary.generated_tokens;
  delta_.text += TakeRest();
  finished_ = ToProto(summary);
  finished_->set_tool_calls(calls_);
  status_ = grpc::Status::OK;
  Pump();
}

void GenerateStream::Failed(const absl::Status& status) {
  if (const NotedRun note = noted(); note.requests != nullptr)
    note.requests->End(note.name, note.run, status);
  MutexLock lock(&mutex_);
  spdlog::debug("request {}: {}", started_.request_id(), status.ToString());
  if (client_gone_) return;
  if (!status.GetPayload(kComesBack)) context_.AddTrailingMetadata(kFinalKey, "1");
  status_ = ToGrpcStatus(status);
  Pump();
}

bool GenerateStream::Blocked() const {
  MutexLock lock(&mutex_);
  return delta_.tokens.size() >= kMaxUnreadTokens;
}

void GenerateStream::GiveUp(const absl::Status& status) {
  const std::shared_ptr<GenerateStream> kept = shared_from_this();  // Pump may be its end
  std::shared_ptr<Scheduler> scheduler;
  RequestId id = 0;
  {
    MutexLock lock(&mutex_);
    scheduler = scheduler_.lock();
    id = id_;
    Abandon(status);
    Pump();
  }
  if (scheduler != nullptr) scheduler->Cancel(id);
}

void GenerateStream::OnWriteDone(bool ok) {
  bool was_blocked = false;
  std::shared_ptr<Scheduler> scheduler;
  RequestId id = 0;
  {
    MutexLock lock(&mutex_);
    scheduler = scheduler_.lock();
    id = id_;
    writing_ = false;
    if (!ok) Abandon(absl::CancelledError("the client has gone"));
    was_blocked = delta_.tokens.size() >= kMaxUnreadTokens;
    Pump();
  }
  if (scheduler == nullptr) return;
  if (!ok) scheduler->Cancel(id);
  if (was_blocked) scheduler->Wake();
}

void GenerateStream::Abandon(const absl::Status& status) {
  if (std::exchange(client_gone_, true)) return;
  started_pending_ = false;
  delta_ = {};
  taken_.Clear();
  finished_.reset();
  status_ = ToGrpcStatus(status);
}

std::string GenerateStream::Take(AnswerPieces pieces) {
  taken_.mutable_reasoning()->append(pieces.reasoning);
  if (taken_.tool_calls().empty()) taken_.set_first_tool_call(calls_);
  for (ToolCall& call : pieces.calls) {
    v1::ToolCall& taken = *taken_.add_tool_calls();
    taken.set_id(NewCallId());
    taken.set_name(std::move(call.name));
    taken.set_arguments(std::move(call.arguments));
    ++calls_;
  }
  if (taken_.tool_calls().empty()) taken_.clear_first_tool_call();
  return std::move(pieces.text);
}

std::string GenerateStream::TakeRest() {
  if (!parser_) return "";
  std::string text = Take(parser_->Finish());
  parser_.reset();
  return text;
}

void GenerateStream::StopUnlessLeading() {
  if (!leads_ || client_gone_ || leads_()) return;
  Abandon(ComesBack(absl::UnavailableError(
      "this host leads the cluster no more: send the request again, to any host, once another one does")));
}

void GenerateStream::Pump() {
  if (writing_ || closed_) return;
  StopUnlessLeading();
  response_.Clear();
  if (started_pending_) {
    *response_.mutable_started() = started_;
    started_pending_ = false;
  } else if (!delta_.empty() || taken_.ByteSizeLong() > 0) {
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
  begun_ = writing_ = true;
  StartWrite(&response_);
}

}  // namespace hearth
