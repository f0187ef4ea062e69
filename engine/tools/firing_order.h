#ifndef HEARTH_ENGINE_TOOLS_FIRING_ORDER_H_
#define HEARTH_ENGINE_TOOLS_FIRING_ORDER_H_

#include <cstddef>
#include <vector>

namespace hearth {

// The neurons (experts) of one layer by how often they fire.
struct FiringOrder {
  std::vector<float> shares;  // of tokens for which each fires, falling
  double mean = 0;            // of the shares
  size_t hot = 0;             // so many of the first make up 80 % of all firings

  double hot_share() const {
    return shares.empty() ? 0 : static_cast<double>(hot) / static_cast<double>(shares.size());
  }
};

inline constexpr double kHotFirings = 0.8;

FiringOrder OrderByFiring(std::vector<float> shares);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_FIRING_ORDER_H_
