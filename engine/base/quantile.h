#ifndef HEARTH_ENGINE_BASE_QUANTILE_H_
#define HEARTH_ENGINE_BASE_QUANTILE_H_

#include <algorithm>
#include <cstddef>

#include "absl/types/span.h"
#include "engine/base/check.h"

namespace hearth {

// Of measured times: the value below which so large a share (from 0 up to 1) of them lies; 0.5: the median.
// Reorders the values, of which there is one at least (CHECK).
inline double Quantile(absl::Span<double> values, double share) {
  HEARTH_CHECK(!values.empty() && share >= 0 && share < 1);
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(values.size()) * share);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

inline double Median(absl::Span<double> values) { return Quantile(values, 0.5); }

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_QUANTILE_H_
