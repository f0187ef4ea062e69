#ifndef HEARTH_ENGINE_DEVICE_WEIGHT_SOURCE_H_
#define HEARTH_ENGINE_DEVICE_WEIGHT_SOURCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/neuron/group_weights.h"
#include "engine/outline/model_outline.h"
#include "engine/outline/unit_id.h"
#include "engine/weights/unit.h"

namespace hearth {

// Where the weights of a model's units come from, by their numbers in the outline.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // The weights of a unit that the outline has (CHECK).
  virtual absl::StatusOr<GroupWeights> Neurons(uint32_t layer, uint32_t group) = 0;
  // The same of neurons that stay where they are, to be read, and checked, one by one.
  virtual absl::StatusOr<GroupWeights> NeuronsInPlace(uint32_t layer, uint32_t group) {
    return Neurons(layer, group);
  }
  // The packed file that they are in; null where they are anywhere else.
  virtual const GgufFile* packed_file() const { return nullptr; }
  virtual absl::StatusOr<UnitWeights> Unit(const UnitId& unit) = 0;  // other than neurons
  // Whether it has every unit of the model, asked for or not.
  virtual bool has_everything() const { return false; }
  // What the layer's units were read from will not be needed again.
  virtual void ReleaseLayer(uint32_t layer) = 0;
};

// From the model's file, which is read where it lies.
class FileSource : public WeightSource {
 public:
  FileSource(std::shared_ptr<const GgufFile> file, std::shared_ptr<const ModelOutline> outline);

  absl::StatusOr<GroupWeights> Neurons(uint32_t layer, uint32_t group) override;
  absl::StatusOr<GroupWeights> NeuronsInPlace(uint32_t layer, uint32_t group) override;
  const GgufFile* packed_file() const override { return file_->is_packed() ? file_.get() : nullptr; }
  absl::StatusOr<UnitWeights> Unit(const UnitId& unit) override;
  bool has_everything() const override { return true; }
  void ReleaseLayer(uint32_t layer) override;

  // A unit's weights as they travel (CHECK: there is one). DATA_LOSS when the file was changed since it was
  // opened.
  absl::StatusOr<std::vector<uint8_t>> Bundle(const UnitId& unit);
  absl::Status CheckUnchanged() const { return file_->CheckUnchanged(); }

 private:
  const std::shared_ptr<const GgufFile> file_;
  const std::shared_ptr<const ModelOutline> outline_;
};

// From bundles, wherever they come from. INVALID_ARGUMENT for a bundle that is not of its unit's size.
class BundleWeights : public WeightSource {
 public:
  using Reader = std::function<absl::StatusOr<std::vector<uint8_t>>(const UnitId& unit)>;
  BundleWeights(std::shared_ptr<const ModelOutline> outline, Reader read);

  absl::StatusOr<GroupWeights> Neurons(uint32_t layer, uint32_t group) override;
  absl::StatusOr<UnitWeights> Unit(const UnitId& unit) override;
  void ReleaseLayer(uint32_t layer) override {}

 private:
  const std::shared_ptr<const ModelOutline> outline_;
  const Reader read_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_WEIGHT_SOURCE_H_
