#include "engine/tools/profile_picture.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr int kWidth = 720, kHeight = 420;
constexpr int kLeft = 64, kRight = 560, kTop = 48, kBottom = 360;
constexpr size_t kPointsPerCurve = 200;
constexpr int kTicks = 5;         // per axis, 0 and 100 % included: one every 25 %
constexpr int kLegendLines = 16;  // of more layers every second, third, ... is named

double X(double share) { return kLeft + share * (kRight - kLeft); }
double Y(double share) { return kBottom - share * (kBottom - kTop); }

// From blue, the first layer, to red, the last one.
std::string Color(size_t layer, size_t layers) {
  const size_t last = std::max<size_t>(layers - 1, 1);
  return absl::StrFormat("hsl(%d,70%%,45%%)", 220 + static_cast<int>(140 * layer / last));
}

std::string Text(double x, double y, const char* anchor, std::string_view text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         absl::StrReplaceAll(AbslView(text), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}}));
}

std::string Axes() {
  std::string svg;
  for (int i = 0; i < kTicks; ++i) {
    const double share = static_cast<double>(i) / (kTicks - 1);
    const std::string label = absl::StrFormat("%.0f %%", 100 * share);
    absl::StrAppendFormat(&svg, "<path class=\"grid\" d=\"M%.1f %d V%d M%d %.1f H%d\"/>\n", X(share), kTop,
                          kBottom, kLeft, Y(share), kRight);
    svg += Text(X(share), kBottom + 18, "middle", label) + Text(kLeft - 8, Y(share) + 4, "end", label);
  }
  svg += Text((kLeft + kRight) / 2.0, kBottom + 40, "middle", "neurons of the layer, most frequent first");
  svg += Text(8, kTop - 12, "start", "tokens for which a neuron fires");
  return svg;
}

std::string Curve(const FiringOrder& order, const std::string& color) {
  const size_t count = order.shares.size(), points = std::min(count, kPointsPerCurve);
  std::string path;
  for (size_t p = 0; p < points; ++p) {
    const size_t i = points == 1 ? 0 : p * (count - 1) / (points - 1);
    const double place = count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
    absl::StrAppendFormat(&path, "%c%.1f %.1f", p == 0 ? 'M' : 'L', X(place), Y(order.shares[i]));
  }
  return absl::StrCat("<path class=\"curve\" stroke=\"", color, "\" d=\"", path, "\"/>\n");
}

std::string Mark(const FiringOrder& order, const std::string& color) {
  if (order.hot == 0) return "";
  return absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", X(order.hot_share()),
                         Y(order.shares[order.hot - 1]), color);
}

}  // namespace

std::string ProfilePicture(std::string_view title, const std::vector<FiringOrder>& layers) {
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n"
      "<style>.grid{stroke:#ddd}.curve{fill:none;stroke-width:1.5}</style>\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += Text(kWidth / 2.0, 20, "middle", Printable(AbslView(title))) + Axes();
  const size_t step = (layers.size() + kLegendLines - 1) / kLegendLines;
  double legend = kTop + 8;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].shares.empty()) continue;
    const std::string color = Color(i, layers.size());
    svg += Curve(layers[i], color) + Mark(layers[i], color);
    if (i % step != 0) continue;
    absl::StrAppendFormat(&svg, "<rect x=\"%d\" y=\"%.1f\" width=\"14\" height=\"3\" fill=\"%s\"/>\n",
                          kRight + 16, legend - 5, color);
    svg += Text(kRight + 36, legend, "start",
                absl::StrFormat("layer %d: mean %.0f %%", i, 100 * layers[i].mean));
    legend += 16;
  }
  svg += Text(kRight + 16, kBottom, "start", "● 80 % of the firings");
  return svg + "</svg>\n";
}

}  // namespace hearth
