#include "engine/model/model.h"

#include <utility>

#include "engine/base/status_macros.h"
#include "engine/file/gguf_packed.h"
#include "engine/kernel/prefetch.h"

namespace hearth {

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(std::shared_ptr<const GgufFile> file,
                                                         const ModelOptions& options, ThreadPool& pool) {
  HEARTH_ASSIGN_OR_RETURN(ModelOutline outline, OutlineModel(*file, options));
  return Load(std::move(file), std::make_shared<const ModelOutline>(std::move(outline)), pool);
}

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(std::shared_ptr<const GgufFile> file,
                                                         std::shared_ptr<const ModelOutline> outline,
                                                         ThreadPool& pool) {
  HEARTH_RETURN_IF_ERROR(CheckPackedTensors(*file));
  MeasurePrefetch(file->file_bytes(), pool);
  std::shared_ptr<Model> model(new Model());
  WeightLoader loader(*outline->tensors, outline->options.arithmetic, &pool);
  model->weights_ =
      LoadLeaderWeights(outline->spec, outline->options.sparsity == SparsityMode::kPredicted, loader);
  HEARTH_RETURN_IF_ERROR(loader.status());
  HEARTH_RETURN_IF_ERROR(file->CheckUnchanged());
  model->file_ = std::move(file);
  model->outline_ = std::move(outline);
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace hearth
