#ifndef HEARTH_ENGINE_DEVICE_GPU_OUTPUT_H_
#define HEARTH_ENGINE_DEVICE_GPU_OUTPUT_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/device/gpu_weights.h"
#include "engine/device/local_device.h"
#include "engine/outline/output_rows.h"

namespace hearth {

// Rows of the output head on a GPU.
class GpuOutput : public UnitPiece {
 public:
  GpuOutput(std::vector<uint32_t> runs, std::vector<RowSegment> segments, GpuLinear rows)
      : UnitPiece(std::move(runs)), segments_(std::move(segments)), rows_(std::move(rows)) {}

  uint64_t weight_bytes() const override { return rows_.bytes(); }
  const GpuLinear& rows() const { return rows_; }
  const std::vector<RowSegment>& segments() const { return segments_; }

 private:
  const std::vector<RowSegment> segments_;
  const GpuLinear rows_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_OUTPUT_H_
