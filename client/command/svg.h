#ifndef HEARTH_CLIENT_COMMAND_SVG_H_
#define HEARTH_CLIENT_COMMAND_SVG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace hearth {

// Pieces of SVG pictures on white, in pixels. What others wrote stays text in them.
std::string SvgBegin(int width, int height);
inline constexpr char kSvgEnd[] = "</svg>\n";
// `anchor`: "start", "middle" or "end".
std::string SvgText(double x, double y, absl::string_view anchor, absl::string_view text);
// A box with a text for who points at it, or none.
std::string SvgBox(double x, double y, double width, double height, absl::string_view color, double opacity,
                   absl::string_view text = "");
// One of so many that are told apart.
std::string SvgColor(int index, int count);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_SVG_H_
