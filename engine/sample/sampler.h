#ifndef HEARTH_ENGINE_SAMPLE_SAMPLER_H_
#define HEARTH_ENGINE_SAMPLE_SAMPLER_H_

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// How the next token is chosen from the logits. Order: logit bias, penalties, then (temperature > 0) top-k,
// top-p, min-p, temperature, draw. Temperature 0 takes the largest logit, the lowest id on a tie.
struct SamplingOptions {
  float temperature = 0.8f;         // >= 0
  uint32_t top_k = 40;              // 0: off
  float top_p = 0.95f;              // (0, 1]; 1: off
  float min_p = 0.05f;              // [0, 1]; 0: off
  float repetition_penalty = 1.0f;  // > 0; divides positive and multiplies negative logits of seen tokens
  float frequency_penalty = 0.0f;   // subtracted once per occurrence
  float presence_penalty = 0.0f;    // subtracted once if seen
  uint32_t penalty_window = 64;     // how many of the last tokens count as seen; 0: all
  // Added to logits: finite, or -infinity to forbid a token. Each token once; one at least is not forbidden.
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
};

struct TokenLogprob {
  int32_t token;
  float logprob;  // natural logarithm, of the model's distribution before sampling options
};

// Draws tokens for one sequence. Deterministic: the same options, logits and history give the same tokens on
// every machine. Not thread-safe.
class Sampler {
 public:
  // INVALID_ARGUMENT that names the option which is out of range.
  static absl::StatusOr<Sampler> Create(SamplingOptions options, int32_t vocab_size);

  // A token seen in the prompt or generated: counts for the penalties. Ids outside the vocabulary are
  // ignored.
  void Accept(int32_t token);
  // A token that Sample gave in another run with the same options: afterwards all is as if it had been drawn
  // here.
  void Repeat(int32_t token);
  // The next token, always inside the vocabulary; `logits` (vocab_size) is scratch and is overwritten. NaN
  // logits count as -infinity, and a token at -infinity is drawn only where all are.
  int32_t Sample(absl::Span<float> logits);

  // Those that it was made with.
  const SamplingOptions& options() const { return options_; }

 private:
  Sampler(SamplingOptions options, int32_t vocab_size);

  // The steps of Sample, in their order.
  void ApplyBiasAndPenalties(absl::Span<float> logits) const;
  void SelectCandidates(absl::Span<const float> logits, float largest);
  int32_t Draw(absl::Span<const float> logits, float largest);

  SamplingOptions options_;
  int32_t vocab_size_;
  uint64_t random_state_;
  std::deque<int32_t> window_;                     // the last penalty_window tokens; empty when all count
  absl::flat_hash_map<int32_t, uint32_t> counts_;  // how often each token counts as seen
  std::vector<int32_t> candidates_;                // ids; scratch of Sample
};

// A seed from the system's entropy, for requests that name none.
uint64_t RandomSeed();

// DATA_LOSS when a logit is NaN or infinite: weights or a worker's sums are damaged, and whatever is drawn
// from such logits is no text of the model.
absl::Status CheckLogits(absl::Span<const float> logits);

// The `count` most likely tokens under softmax(logits), largest first, the lower id on a tie.
std::vector<TokenLogprob> TopLogprobs(absl::Span<const float> logits, uint32_t count);
// The log probability of `token`, which is inside the vocabulary (CHECK); -infinity where it is impossible.
float LogprobOf(absl::Span<const float> logits, int32_t token);

}  // namespace hearth

#endif  // HEARTH_ENGINE_SAMPLE_SAMPLER_H_
