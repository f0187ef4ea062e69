#ifndef HEARTH_ENGINE_TOOLS_PROFILE_PICTURE_H_
#define HEARTH_ENGINE_TOOLS_PROFILE_PICTURE_H_

#include <string>
#include <string_view>
#include <vector>

#include "engine/tools/firing_order.h"

namespace hearth {

// An SVG picture of a profile: a curve per layer of how often its neurons fire, most frequent first, with a
// mark where 80 % of the layer's firings are reached. Layers without figures are left out. `title` is any
// text.
std::string ProfilePicture(std::string_view title, const std::vector<FiringOrder>& layers);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_PROFILE_PICTURE_H_
