#ifndef HEARTH_ENGINE_NEURON_FIRING_COUNTER_H_
#define HEARTH_ENGINE_NEURON_FIRING_COUNTER_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/types/span.h"
#include "engine/base/mutex.h"

namespace hearth {

// How often neurons have fired, of the rows that were looked at.
struct FiringShares {
  uint64_t rows = 0;
  std::vector<float> shares;  // by group: of its neurons, mean over the rows
};

// Counts, while a layer is computed, how many neurons of each group fire, for one row of every
// kRequestsPerLook requests, which costs next to nothing. What was seen long ago fades: after kFade rows all
// counts are halved. Thread-safe.
class FiringCounter {
 public:
  static constexpr uint64_t kRequestsPerLook = 8;
  static constexpr uint64_t kFade = 4096;

  // group_ends[g]: where group g ends among the neurons; rising, none is empty.
  explicit FiringCounter(std::vector<uint32_t> group_ends);

  // A request has been computed; `ids`: the neurons that fire for one of its rows, rising.
  void Note(absl::Span<const uint32_t> ids);
  FiringShares shares() const;

 private:
  const std::vector<uint32_t> group_ends_;
  mutable Mutex mutex_;
  uint64_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<uint64_t> fired_ ABSL_GUARDED_BY(mutex_);  // by group
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_FIRING_COUNTER_H_
