#ifndef HEARTH_ENGINE_MODEL_POOLING_H_
#define HEARTH_ENGINE_MODEL_POOLING_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/spec/spec.h"

namespace hearth {

// How a text is embedded.
struct EmbeddingOptions {
  Pooling pooling = Pooling::kMean;
  uint32_t dimensions = 0;   // values that are kept, the first ones; 0: all
  bool keep_length = false;  // else the vector is divided by its length (unless it is 0)
};

// Makes the embedding of a text from the states of its tokens (Decoder::states): their mean, the first or the
// last one. Sums are float64 in the order of the positions, so the result does not depend on how the text was
// cut into steps. Not thread-safe.
class Pooler {
 public:
  // `n_embd`: values of a state, at least `options.dimensions`.
  Pooler(const EmbeddingOptions& options, uint32_t n_embd);

  // The states of the next tokens, (rows, n_embd).
  void Add(absl::Span<const float> states);
  // Tokens so far.
  uint32_t tokens() const { return tokens_; }
  // The vector of the tokens so far (at least one, CHECK).
  std::vector<float> Finish() const;

 private:
  const EmbeddingOptions options_;
  const uint32_t n_embd_;
  std::vector<double> pooled_;  // (n_embd): the sum, or the state that is taken
  uint32_t tokens_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_POOLING_H_
