#include "engine/neuron/firing_counter.h"

#include <algorithm>
#include <utility>

namespace hearth {

FiringCounter::FiringCounter(std::vector<uint32_t> group_ends)
    : group_ends_(std::move(group_ends)), fired_(group_ends_.size()) {}

void FiringCounter::Note(absl::Span<const uint32_t> ids) {
  MutexLock lock(&mutex_);
  if (requests_++ % kRequestsPerLook != 0) return;
  auto from = ids.begin();
  for (size_t g = 0; g < group_ends_.size(); ++g) {
    const auto end = std::lower_bound(from, ids.end(), group_ends_[g]);
    fired_[g] += static_cast<uint64_t>(end - from);
    from = end;
  }
  if (++rows_ < kFade) return;
  rows_ /= 2;
  for (uint64_t& fired : fired_) fired /= 2;
}

FiringShares FiringCounter::shares() const {
  MutexLock lock(&mutex_);
  FiringShares seen{rows_, std::vector<float>(fired_.size())};
  uint32_t begin = 0;
  for (size_t g = 0; g < fired_.size() && rows_ > 0; ++g) {
    const double neurons = group_ends_[g] - begin;
    seen.shares[g] =
        static_cast<float>(static_cast<double>(fired_[g]) / (neurons * static_cast<double>(rows_)));
    begin = group_ends_[g];
  }
  return seen;
}

}  // namespace hearth
