#ifndef HEARTH_ENGINE_OUTLINE_DEFAULT_SPARSITY_H_
#define HEARTH_ENGINE_OUTLINE_DEFAULT_SPARSITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/outline/model_outline.h"

namespace hearth {

struct SparsityChoice {
  SparsityMode mode = SparsityMode::kDense;
  std::string why;  // a clause for people, such as "the model or its profile has predictors"
};

// The largest share of a model's neurons, on average over a profile's text, of which it pays to leave the
// silent ones out. A 7B layer in Q4_0 (tests/bench/ffn_bench): where 20 % fire exact takes 0.7 times as long
// as dense for one token and as long for many, where 40 % do as long and twice as long.
inline constexpr double kMostFiring = 0.25;

// How a model is computed where no mode is asked for; follows from the file and what lies beside it alone, so
// that text depends neither on load nor on the machine. Predicted where there are predictors. Else exact,
// whose results are dense's, where a ReLU leaves neurons silent, some of their weights need not be read, and
// no profile says that more than kMostFiring fire. Else dense. OutlineModel's errors; options.sparsity counts
// for nothing.
absl::StatusOr<SparsityChoice> DefaultSparsity(const GgufFile& file, ModelOptions options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_DEFAULT_SPARSITY_H_
