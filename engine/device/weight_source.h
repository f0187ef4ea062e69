#ifndef HEARTH_ENGINE_DEVICE_WEIGHT_SOURCE_H_
#define HEARTH_ENGINE_DEVICE_WEIGHT_SOURCE_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/neuron/group_weights.h"
#include "engine/outline/model_outline.h"
#include "engine/weights/unit.h"

namespace hearth {

// Where the weights of a model's units come from, by their numbers in the outline.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual absl::StatusOr<GroupWeights> Neurons(uint32_t layer, uint32_t group) = 0;
  virtual absl::StatusOr<UnitWeights> Heads(uint32_t layer, uint32_t group) = 0;
  virtual absl::StatusOr<UnitWeights> Output(uint32_t run) = 0;
  // What the layer's units were read from will not be needed again.
  virtual void ReleaseLayer(uint32_t layer) = 0;
};

// From the model's file, which is read where it lies.
class FileSource : public WeightSource {
 public:
  FileSource(std::shared_ptr<const GgufFile> file, std::shared_ptr<const ModelOutline> outline);

  absl::StatusOr<GroupWeights> Neurons(uint32_t layer, uint32_t group) override;
  absl::StatusOr<UnitWeights> Heads(uint32_t layer, uint32_t group) override;
  absl::StatusOr<UnitWeights> Output(uint32_t run) override;
  void ReleaseLayer(uint32_t layer) override;

 private:
  const std::shared_ptr<const GgufFile> file_;
  const std::shared_ptr<const ModelOutline> outline_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_WEIGHT_SOURCE_H_
