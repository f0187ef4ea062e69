#include "engine/tools/firing_order.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace hearth {

FiringOrder OrderByFiring(std::vector<float> shares) {
  FiringOrder order{.shares = std::move(shares)};
  if (order.shares.empty()) return order;
  std::sort(order.shares.begin(), order.shares.end(), std::greater<>());
  const double sum = std::accumulate(order.shares.begin(), order.shares.end(), 0.0);
  order.mean = sum / static_cast<double>(order.shares.size());
  for (double reached = 0; order.hot < order.shares.size() && reached < kHotFirings * sum; ++order.hot) {
    reached += order.shares[order.hot];
  }
  return order;
}

}  // namespace hearth
