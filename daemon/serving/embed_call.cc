#include "daemon/serving/embed_call.h"

#include <utility>

#include "daemon/grpc_status.h"
#include "daemon/requests/conversions.h"

namespace hearth {
namespace {

// Of a request with the scheduler at a time: about what fills a step. Long texts take few slots then.
constexpr size_t kTextsAtOnce = 8;
constexpr uint32_t kTokensAtOnce = 512;

}  // namespace

void EmbedCall::Begin(std::shared_ptr<Scheduler> scheduler, CheckedEmbedRequest request, absl::Time arrived,
                      absl::Time deadline) {
  MutexLock lock(&mutex_);
  if (ended_) return;  // the client has gone
  scheduler_ = std::move(scheduler);
  request_ = std::move(request);
  arrived_ = arrived;
  deadline_ = deadline;
  response_.set_model(scheduler_->model().name());
  response_.set_digest(scheduler_->model().digest());
  response_.set_pooling(ToProto(request_.options.pooling));
  for (const std::vector<TokenId>& tokens : request_.inputs) {
    response_.add_embeddings()->set_tokens(static_cast<uint32_t>(tokens.size()));
  }
  SubmitMore();
}

void EmbedCall::Reject(const absl::Status& status) {
  MutexLock lock(&mutex_);
  End(status);
}

void EmbedCall::Embedded(RequestId id, std::vector<float> vector) {
  MutexLock lock(&mutex_);
  if (ended_) return;
  const auto found = running_.find(id);
  response_.mutable_embeddings(found->second)->mutable_values()->Assign(vector.begin(), vector.end());
  running_tokens_ -= response_.embeddings(found->second).tokens();
  running_.erase(found);
  SubmitMore();
}

void EmbedCall::Failed(const absl::Status& status) {
  MutexLock lock(&mutex_);
  End(status);
}

void EmbedCall::OnCancel() {
  const std::shared_ptr<EmbedCall> kept = shared_from_this();
  MutexLock lock(&mutex_);
  End(absl::CancelledError("the request was cancelled"));
}

bool EmbedCall::HasRoom() const {
  return running_.empty() || (running_.size() < kTextsAtOnce && running_tokens_ < kTokensAtOnce);
}

void EmbedCall::SubmitMore() {
  while (submitted_ < request_.inputs.size() && HasRoom()) {
    running_tokens_ += response_.embeddings(static_cast<int>(submitted_)).tokens();
    EmbeddingRequest text;
    text.id = ++last_id_;
    text.tokens = std::move(request_.inputs[submitted_]);
    text.options = request_.options;
    text.arrived = arrived_;
    text.deadline = deadline_;
    running_.emplace(text.id, static_cast<int>(submitted_++));
    const absl::Status status = scheduler_->Submit(std::move(text), shared_from_this());
    if (!status.ok()) return End(status);
  }
  if (running_.empty()) End(absl::OkStatus());
}

void EmbedCall::End(const absl::Status& status) {
  if (std::exchange(ended_, true)) return;
  for (const auto& [id, input] : running_) scheduler_->Cancel(id);
  Finish(ToGrpcStatus(status));
}

}  // namespace hearth
