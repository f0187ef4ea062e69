#ifndef HEARTH_ENGINE_KERNEL_DOWN_KERNEL_H_
#define HEARTH_ENGINE_KERNEL_DOWN_KERNEL_H_

// The kernel behind down_rows.h; not for other folders.

#include <cstddef>
#include <cstdint>

#include "engine/kernel/down_rows.h"
#include "engine/kernel/turned_rows.h"

namespace hearth {

// Neurons that share a scale in a turned matrix of codes.
inline constexpr uint32_t kDownUnit = TurnedRows::kUnit;

struct DownTask {
  const FiringNeurons& firing;
  uint32_t group_begin;
  size_t begin, end;  // columns
  float* buffer;
  int64_t* sums;
};

struct DownKernel {
  // See DownRows::Accumulate.
  static void Run(const DownRows& down, const DownTask& task);
  // How the sums over neurons are made.
  enum class Order {
    kChain,   // one after another
    kPieces,  // sums of 256 neighbouring neurons, added up
    kSpans,   // integer sums of those of 256 neighbouring neurons that fire, scaled and added up
    kUnits,   // integer sums of 32 neighbouring neurons, which share a scale, scaled and added up
  };
  static Order OrderOf(const DownRows& down);
  static TensorType TypeOf(const DownRows& down) { return down.type_; }
  static const uint8_t* RowOf(const DownRows& down, uint32_t id) {
    return down.places_ != nullptr ? down.places_[id] + down.offset_
                                   : down.rows_.data() + id * down.row_bytes_;
  }
  // Of the unit that the neuron belongs to, (n_embd).
  static const uint8_t* ScalesOf(const DownRows& down, uint32_t id) {
    return down.scales_.data() + id / kDownUnit * down.n_embd_ * sizeof(uint16_t);
  }
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_DOWN_KERNEL_H_
