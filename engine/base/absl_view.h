#ifndef HEARTH_ENGINE_BASE_ABSL_VIEW_H_
#define HEARTH_ENGINE_BASE_ABSL_VIEW_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace hearth {

// The same characters as Abseil's view: where Abseil was built for an older C++ its string_view is a class of
// its own, which its functions (StrCat, StrSplit, ...) and hash maps do not make from std::string_view.
inline absl::string_view AbslView(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_ABSL_VIEW_H_
