#ifndef HEARTH_ENGINE_MODEL_ROUTER_H_
#define HEARTH_ENGINE_MODEL_ROUTER_H_

#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/ffn_request.h"
#include "engine/spec/spec.h"

namespace hearth {

// Chooses the experts of one token. Reusable; its buffers only grow. Not thread-safe.
class Router {
 public:
  // `logits`, one per expert, are overwritten. `selection_bias` (empty, or one per expert) counts for the
  // choice but not for the weights. Writes spec.chosen different experts with their weights to `out`.
  void Choose(const RouterSpec& spec, absl::Span<float> logits, absl::Span<const float> selection_bias,
              BlockChoice* out);

 private:
  void ExcludeWeakGroups(const RouterSpec& spec);

  std::vector<float> selection_;  // what the choice goes by; -infinity: cannot be chosen
  std::vector<float> group_scores_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_ROUTER_H_
