#include "client/command/plan_picture.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command/display.h"
#include "client/command/svg.h"
#include "client/library/bytes_text.h"

namespace hearth {
namespace {

constexpr int kWidth = 860, kLeft = 64, kRight = 560, kTop = 64;
constexpr int kTallestBar = 18, kLowestBar = 5, kUsualHeight = 480;
constexpr int kNamedLayers = 16;  // of more every second, third, ... is named
constexpr int kLegendLine = 16, kLegendLines = 3;
constexpr double kPalest = 0.15;

// A device's part of one layer.
struct Part {
  int device = 0;
  uint64_t neurons = 0;
  double firing = 1;  // share of its neurons that was computed
};

std::vector<Part> PartsOf(const v1::PlanStatus& plan, uint32_t layer) {
  std::vector<Part> parts;
  for (int i = 0; i < plan.shares_size(); ++i) {
    const v1::DeviceShare& share = plan.shares(i);
    const auto at = [layer](const auto& values) {
      return layer < static_cast<uint32_t>(values.size()) ? values[static_cast<int>(layer)] : 0;
    };
    Part part{i, at(share.neurons())};
    if (part.neurons == 0) continue;
    const auto computed = static_cast<double>(at(share.neurons_computed()));
    const auto offered = static_cast<double>(at(share.neurons_offered()));
    if (offered > 0) part.firing = std::min(computed / offered, 1.0);
    parts.push_back(part);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.firing > b.firing; });
  return parts;
}

std::string Bar(const v1::PlanStatus& plan, const std::vector<Part>& parts, double y, double height) {
  uint64_t neurons = 0;
  for (const Part& part : parts) neurons += part.neurons;
  std::string svg;
  double x = kLeft;
  for (const Part& part : parts) {
    const double width = (kRight - kLeft) * static_cast<double>(part.neurons) / static_cast<double>(neurons);
    svg += SvgBox(x, y, width, height, SvgColor(part.device, plan.shares_size()),
                  kPalest + (1 - kPalest) * part.firing);
    x += width;
  }
  return svg;
}

std::string LegendOf(const v1::PlanStatus& plan, int device, double y) {
  const v1::DeviceShare& share = plan.shares(device);
  uint64_t neurons = 0;
  for (const uint64_t of_layer : share.neurons()) neurons += of_layer;
  const double x = kRight + 20;
  return absl::StrCat(SvgBox(x, y - 10, 12, 12, SvgColor(device, plan.shares_size()), 1),
                      SvgText(x + 18, y, "start", absl::StrCat(share.host(), "/", share.device())),
                      SvgText(x + 18, y + kLegendLine, "start",
                              absl::StrCat(BytesText(share.weight_bytes()), ", ", neurons, " neurons, ",
                                           share.head_groups(), " head groups")));
}

}  // namespace

std::string PlanPicture(const v1::PlanStatus& plan) {
  const int layers = static_cast<int>(std::min<uint32_t>(plan.layers(), 1 << 16));
  const int bar = std::clamp(kUsualHeight / std::max(layers, 1), kLowestBar, kTallestBar);
  const int step = (layers + kNamedLayers - 1) / kNamedLayers;
  const int legend_height = plan.shares_size() * kLegendLine * kLegendLines;
  const int height = kTop + std::max(layers * bar, legend_height) + 32;
  std::string svg = SvgBegin(kWidth, height);
  std::string title = absl::StrFormat("Plan %d of %s: %.2f ms per token expected", plan.epoch(), plan.model(),
                                      plan.expected_token_ms());
  if (plan.measured_token_ms() > 0) {
    absl::StrAppendFormat(&title, ", %.2f ms measured", plan.measured_token_ms());
  }
  if (IsForOtherThanLatency(plan)) absl::StrAppend(&title, "; ", ObjectiveText(plan));
  svg += SvgText(kLeft, 24, "start", title);
  svg += SvgText(kLeft, kTop - 12, "start", "neurons of each layer, those that fire most on the left");
  for (int layer = 0; layer < layers; ++layer) {
    const double y = kTop + layer * bar;
    svg += Bar(plan, PartsOf(plan, static_cast<uint32_t>(layer)), y, bar - 1);
    if (layer % step == 0) svg += SvgText(kLeft - 8, y + bar - 2, "end", absl::StrCat("layer ", layer));
  }
  for (int i = 0; i < plan.shares_size(); ++i)
    svg += LegendOf(plan, i, kTop + 10 + i * kLegendLine * kLegendLines);
  return svg + kSvgEnd;
}

}  // namespace hearth
