#include "client/resuming_stream.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/call_status.h"
#include "engine/base/printable.h"
#include "proto/channel.h"
#include "proto/stream_metadata.h"

namespace hearth {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(1);
// How late a cancellation is noticed while there is no connection.
constexpr absl::Duration kLook = absl::Milliseconds(50);
// For the daemon to hear of a request that is cancelled: whoever cancels is not to wait.
constexpr absl::Duration kForgetWithin = absl::Milliseconds(300);

// 128 random bits.
std::string NewId() {
  std::random_device entropy;
  std::string id;
  for (int i = 0; i < 4; ++i) absl::StrAppend(&id, absl::Hex(entropy(), absl::kZeroPad8));
  return id;
}

// Grows from one failure to the next; clients that lost the same daemon do not all come back at once.
absl::Duration PauseAfter(int failures) {
  std::random_device entropy;
  const double jitter = 0.8 + 0.4 * entropy() / static_cast<double>(std::random_device::max());
  return jitter * std::min(kLongestPause, kFirstPause * std::pow(1.5, std::min(failures, 20)));
}

// The connection or the daemon went away under the call.
bool Broke(const grpc::Status& status) {
  const std::string& message = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return true;
    case grpc::StatusCode::UNKNOWN:
      return absl::StrContains(message, "Stream removed");
    case grpc::StatusCode::INTERNAL:
      return absl::StrContains(message, "RST_STREAM");
    default:
      return false;
  }
}

bool Has(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata, const char* key) {
  return metadata.find(key) != metadata.end();
}

}  // namespace

ResumingStream::ResumingStream(std::shared_ptr<Servers> servers,
                               std::variant<v1::GenerateRequest, v1::ChatRequest> request,
                               StreamPatience patience)
    : servers_(std::move(servers)),
      request_(std::move(request)),
      deadline_(absl::Now() + patience.timeout),
      resume_within_(patience.resume_within) {
  std::visit(
      [this](auto& message) {
        if (message.request_id().empty()) message.set_request_id(NewId());
        id_ = message.request_id();
        tokens_.assign(message.generated().ids().begin(), message.generated().ids().end());
        if (absl::Status status = CheckCanBeSent(message); !status.ok()) status_ = std::move(status);
      },
      request_);
  if (!status_) Begin();
}

ResumingStream::~ResumingStream() {
  if (status_) return;
  Cancel();
  while (Next()) {
  }
}

std::optional<v1::GenerateResponse> ResumingStream::Next() {
  while (!status_) {
    v1::GenerateResponse event;
    std::shared_ptr<Attempt> attempt;
    {
      MutexLock lock(&mutex_);
      attempt = attempt_;
    }
    if (!attempt->reader->Read(&event)) {
      EndAttempt();
    } else if (Take(event)) {
      return event;
    }
  }
  return std::nullopt;
}

absl::Status ResumingStream::Finish() {
  return status_.value_or(absl::FailedPreconditionError("the stream goes on"));
}

void ResumingStream::Cancel() {
  MutexLock lock(&mutex_);
  cancelled_ = true;
  if (attempt_) attempt_->context.TryCancel();
  changed_.SignalAll();
}

bool ResumingStream::cancelled() const {
  MutexLock lock(&mutex_);
  return cancelled_;
}

void ResumingStream::Begin() {
  ++attempts_;
  auto attempt = std::make_shared<Attempt>();
  if (deadline_ != absl::InfiniteFuture()) attempt->context.set_deadline(absl::ToChronoTime(deadline_));
  attempt->server = attempts_ == 1 ? &servers_->Reachable() : &servers_->current();
  attempt->connected = attempt->server->channel->GetState(false) == GRPC_CHANNEL_READY;
  attempt->reader = StartCall(attempt->server->generation, attempt->context);
  MutexLock lock(&mutex_);
  attempt_ = std::move(attempt);
  if (cancelled_) attempt_->context.TryCancel();
}

std::unique_ptr<ResumingStream::Reader> ResumingStream::StartCall(v1::Generation::Stub& stub,
                                                                  grpc::ClientContext& context) {
  if (started_ && !forgotten_) {
    v1::ResumeRequest resume;
    resume.set_request_id(id_);
    resume.set_offset(static_cast<uint32_t>(tokens_.size()));
    resume.mutable_generated()->mutable_ids()->Assign(tokens_.begin(), tokens_.end());
    return stub.Resume(&context, resume);
  }
  if (const auto* chat = std::get_if<v1::ChatRequest>(&request_))
    return stub.Chat(&context, Continued(*chat));
  return stub.Generate(&context, Continued(std::get<v1::GenerateRequest>(request_)));
}

template <class Request>
Request ResumingStream::Continued(Request request) const {
  if (!started_) return request;
  request.mutable_sampling()->set_seed(started_->seed());
  request.mutable_generated()->mutable_ids()->Assign(tokens_.begin(), tokens_.end());
  return request;
}

bool ResumingStream::Take(const v1::GenerateResponse& event) {
  if (event.has_started()) return !std::exchange(started_, event.started());
  const v1::Delta& delta = event.delta();
  tokens_.insert(tokens_.end(), delta.tokens().begin(), delta.tokens().end());
  // A start alone is no progress: what ends the daemon each time is not to be tried for ever.
  failures_ = 0;
  broken_since_ = absl::InfiniteFuture();
  return true;
}

void ResumingStream::EndAttempt() {
  std::shared_ptr<Attempt> attempt;
  {
    MutexLock lock(&mutex_);
    attempt = attempt_;
  }
  const grpc::Status status = Uncancelled(attempt->reader->Finish());
  if (status.ok()) {
    status_ = absl::OkStatus();
  } else if (cancelled()) {
    status_ = absl::CancelledError("the request was cancelled");
    Forget();
  } else if (!MayGoOn(status, *attempt)) {
    status_ = FromGrpc(status, attempt->server->name);
  } else if (servers_->PassOver(*attempt->server); AwaitNextAttempt()) {
    Begin();
  } else if (cancelled()) {
    status_ = absl::CancelledError("the request was cancelled");
  } else {
    const absl::Status last = FromGrpc(status, attempt->server->name);
    const std::string broke = accepted_ ? absl::StrCat("the answer broke off after ", tokens_.size(),
                                                       " tokens and could not be gone on with for ")
                                        : "nobody has taken the request for ";
    status_ = absl::UnavailableError(
        absl::StrCat(broke, absl::FormatDuration(resume_within_), ": ", last.message()));
  }
}

bool ResumingStream::MayGoOn(const grpc::Status& status, const Attempt& attempt) {
  if (resume_within_ <= absl::ZeroDuration()) return false;
  accepted_ = accepted_ || started_ || Has(attempt.context.GetServerInitialMetadata(), kAcceptedKey);
  if (Has(attempt.context.GetServerTrailingMetadata(), kFinalKey)) return false;
  if (attempts_ == 1 && !accepted_) return MayBeSentAgain(status, attempt);
  if (Broke(status)) return true;
  if (attempts_ == 1) return false;
  // A daemon that has just been started may not know the request any more, and its model not yet.
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) forgotten_ = started_.has_value();
  return status.error_code() == grpc::StatusCode::NOT_FOUND ||
         status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
}

bool ResumingStream::MayBeSentAgain(const grpc::Status& status, const Attempt& attempt) const {
  if (!Broke(status) || Has(attempt.context.GetServerTrailingMetadata(), kRefusedKey)) return false;
  // Where nobody is, only one of several that was there a moment ago is worth looking for.
  return !NotReached(status) || (attempt.connected && servers_->several());
}

bool ResumingStream::AwaitNextAttempt() {
  broken_since_ = std::min(broken_since_, absl::Now());
  const auto end = CondVar::Clock::now() + absl::ToChronoNanoseconds(PauseAfter(failures_++));
  {
    MutexLock lock(&mutex_);
    while (!cancelled_ && changed_.WaitUntil(&mutex_, end)) {
    }
  }
  // gRPC connects while somebody waits for it, and calls that fail at once do not.
  while (!cancelled() && absl::Now() - broken_since_ < resume_within_) {
    if (servers_->AwaitReachable(kLook)) return true;
  }
  return false;
}

void ResumingStream::Forget() {
  grpc::ClientContext context;
  SetTimeout(context, kForgetWithin);
  v1::CancelRequest request;
  request.set_request_id(id_);
  v1::CancelResponse response;
  (void)servers_->current().generation.Cancel(&context, request, &response);
}

}  // namespace hearth
