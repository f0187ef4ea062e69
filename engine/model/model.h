#ifndef HEARTH_ENGINE_MODEL_MODEL_H_
#define HEARTH_ENGINE_MODEL_MODEL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/base/thread_pool.h"
#include "engine/file/gguf.h"
#include "engine/outline/leader_weights.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// A model as its leader holds it: the outline, and the weights that are the leader's own (embedding, norms,
// routers, predictors' fc1). Neurons, heads and output rows are the devices'. Immutable after Load,
// thread-safe.
class Model {
 public:
  // Errors: see OutlineModel; RESOURCE_EXHAUSTED without memory for the weights.
  static absl::StatusOr<std::shared_ptr<const Model>> Load(std::shared_ptr<const GgufFile> file,
                                                           const ModelOptions& options, ThreadPool& pool);
  // The same of a file that has been outlined.
  static absl::StatusOr<std::shared_ptr<const Model>> Load(std::shared_ptr<const GgufFile> file,
                                                           std::shared_ptr<const ModelOutline> outline,
                                                           ThreadPool& pool);

  // What it was loaded from, and what was loaded.
  const ModelSpec& spec() const { return outline_->spec; }
  const ModelOptions& options() const { return outline_->options; }
  const GgufFile& file() const { return *file_; }
  const std::shared_ptr<const GgufFile>& shared_file() const { return file_; }
  const ModelOutline& outline() const { return *outline_; }
  const std::shared_ptr<const ModelOutline>& shared_outline() const { return outline_; }
  const LeaderWeights& weights() const { return weights_; }
  // Of the leader's own weights in memory.
  uint64_t weight_bytes() const { return outline_->leader_weight_bytes; }

 private:
  Model() = default;

  std::shared_ptr<const GgufFile> file_;
  std::shared_ptr<const ModelOutline> outline_;
  LeaderWeights weights_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_MODEL_H_
