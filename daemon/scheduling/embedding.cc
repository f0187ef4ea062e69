#include "daemon/scheduling/embedding.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/sample/sampler.h"

namespace hearth {

Embedding::Embedding(EmbeddingRequest request, uint32_t dimensions, GenerationMetrics::OfModel& metrics,
                     std::shared_ptr<EmbeddingSink> sink)
    : request_(std::move(request)),
      dimensions_(dimensions),
      pooler_(request_.options, dimensions),
      metrics_(metrics),
      sink_(std::move(sink)) {}

void Embedding::Start(uint32_t cached_tokens, absl::Time now) {
  metrics_.Started(static_cast<uint32_t>(request_.tokens.size()), cached_tokens, now - request_.arrived);
}

absl::Status Embedding::Read(uint32_t first, absl::Span<const float> states) {
  HEARTH_CHECK(first <= pooler_.tokens());
  const size_t known = size_t{pooler_.tokens() - first} * dimensions_;
  states.remove_prefix(std::min(known, states.size()));
  HEARTH_RETURN_IF_ERROR(CheckLogits(states));
  pooler_.Add(states);
  return absl::OkStatus();
}

void Embedding::End(EndReason reason, absl::Time) {
  switch (reason) {
    case EndReason::kCancelled:
      return Fail(absl::CancelledError("the request was cancelled"));
    case EndReason::kDeadline:
      return Fail(absl::DeadlineExceededError(
          "the deadline passed before all texts were embedded; allow more time or send fewer texts"));
    default:
      break;
  }
  metrics_.Finished(reason);
  sink_->Embedded(request_.id, pooler_.Finish());
}

void Embedding::Fail(const absl::Status& status) {
  metrics_.Failed(status);
  sink_->Failed(status);
}

}  // namespace hearth
