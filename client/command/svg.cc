#include "client/command/svg.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(Printable(text), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

}  // namespace

std::string SvgBegin(int width, int height) {
  return absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      width, height);
}

std::string SvgText(double x, double y, absl::string_view anchor, absl::string_view text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         Escaped(text));
}

std::string SvgBox(double x, double y, double width, double height, absl::string_view color, double opacity,
                   absl::string_view text) {
  std::string box = absl::StrFormat("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"",
                                    x, y, width, height, color);
  if (opacity < 1) absl::StrAppendFormat(&box, " fill-opacity=\"%.2f\"", opacity);
  return text.empty() ? absl::StrCat(box, "/>\n")
                      : absl::StrCat(box, "><title>", Escaped(text), "</title></rect>\n");
}

std::string SvgColor(int index, int count) {
  return absl::StrFormat("hsl(%d,65%%,42%%)", 210 + 360 * index / std::max(count, 1));
}

}  // namespace hearth
