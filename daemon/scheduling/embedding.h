#ifndef HEARTH_DAEMON_SCHEDULING_EMBEDDING_H_
#define HEARTH_DAEMON_SCHEDULING_EMBEDDING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/scheduling/generation_metrics.h"
#include "daemon/scheduling/job.h"
#include "engine/model/pooling.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// A checked text that is to be embedded, in the model's terms.
struct EmbeddingRequest {
  RequestId id = 0;             // unique in the daemon
  std::vector<TokenId> tokens;  // at least one; they fit the context
  EmbeddingOptions options;
  absl::Time arrived;
  absl::Time deadline = absl::InfiniteFuture();
};

// Where the end of one request goes: one of the two, once. Called by the scheduler's thread; must return at
// once.
class EmbeddingSink {
 public:
  virtual ~EmbeddingSink() = default;
  virtual void Embedded(RequestId id, std::vector<float> vector) = 0;
  virtual void Failed(const absl::Status& status) = 0;
};

// One text while it waits and is read: turns the states of its tokens into its vector. Not thread-safe.
class Embedding final : public Job {
 public:
  // `metrics` outlives this. `dimensions`: values of a state.
  Embedding(EmbeddingRequest request, uint32_t dimensions, GenerationMetrics::OfModel& metrics,
            std::shared_ptr<EmbeddingSink> sink);

  RequestId id() const override { return request_.id; }
  void Start(uint32_t cached_tokens, absl::Time now) override;
  // The states of its tokens from position `first` on, (rows, dimensions). Those that were there before are
  // left out: after a host was lost they are computed again, with the same bits. An error, after which Fail
  // comes next: the model gives what is no number.
  absl::Status Read(uint32_t first, absl::Span<const float> states);
  // kEmbedded: all tokens were read.
  void End(EndReason reason, absl::Time now) override;
  void Fail(const absl::Status& status) override;

 private:
  const EmbeddingRequest request_;
  const uint32_t dimensions_;
  Pooler pooler_;
  GenerationMetrics::OfModel& metrics_;
  const std::shared_ptr<EmbeddingSink> sink_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_EMBEDDING_H_
