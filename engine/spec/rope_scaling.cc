#include "engine/spec/rope_scaling.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// "rerope:window=256,interval=4" as a name and its values.
struct ScalingText {
  std::string name;
  std::vector<std::pair<std::string, double>> values;

  double Get(std::string_view key) const {
    for (const auto& [name, value] : values) {
      if (name == key) return value;
    }
    return 0;
  }
};

absl::Status NotUnderstood(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "rope scaling \"", AbslView(text),
      "\" is not understood; use none, linear:factor=F, yarn:factor=F or rerope:window=W[,interval=K]"));
}

absl::StatusOr<ScalingText> ParseScaling(std::string_view text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(AbslView(text), absl::MaxSplits(':', 1));
  ScalingText scaling{parts.first, {}};
  for (absl::string_view item : absl::StrSplit(parts.second, ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(item, absl::MaxSplits('=', 1));
    double value = 0;
    const bool known = pair.first == "factor" || pair.first == "window" || pair.first == "interval";
    if (!known || !absl::SimpleAtod(pair.second, &value) || !(value >= 1 && value <= 1e9))
      return NotUnderstood(text);
    scaling.values.emplace_back(pair.first, value);
  }
  return scaling;
}

// YaRN keeps the softmax as sharp as it was trained: scores grow with the logarithm of the factor.
float YarnMagnitude(float factor, float multiplier) {
  return factor <= 1 ? 1 : 0.1f * multiplier * std::log(factor) + 1;
}

// The converter stores 0.1 times the multiplier of DeepSeek V2.
float LogMultiplier(const ArchitectureMetadata& metadata) {
  const float stored = metadata.FloatOr("rope.scaling.yarn_log_multiplier", 0);
  return metadata.architecture() == "deepseek2" ? stored / 0.1f : stored;
}

void SetYarn(const ArchitectureMetadata& metadata, float factor, RopeSpec& rope) {
  rope.yarn = true;
  rope.frequency_scale = 1 / factor;
  rope.yarn_mix = metadata.FloatOr("rope.scaling.yarn_ext_factor", 1);
  rope.yarn_beta_fast = metadata.FloatOr("rope.scaling.yarn_beta_fast", 32);
  rope.yarn_beta_slow = metadata.FloatOr("rope.scaling.yarn_beta_slow", 1);
  const float multiplier = LogMultiplier(metadata);
  if (multiplier == 0) {
    rope.magnitude *= YarnMagnitude(factor, 1);
  } else if (metadata.architecture() != "deepseek2" || multiplier == 1) {
    rope.magnitude *= YarnMagnitude(factor, 1) / YarnMagnitude(factor, multiplier);
  }
}

absl::Status ApplyOverride(const ArchitectureMetadata& metadata, std::string_view text, RopeSpec& rope) {
  HEARTH_ASSIGN_OR_RETURN(const ScalingText scaling, ParseScaling(text));
  const float factor = static_cast<float>(scaling.Get("factor"));
  const bool has_factor = factor > 0;
  const bool has_window = scaling.Get("window") > 0;
  if (scaling.name == "none" && scaling.values.empty()) return absl::OkStatus();
  if (scaling.name == "linear" && has_factor && !has_window) {
    rope.frequency_scale = 1 / factor;
    return absl::OkStatus();
  }
  if (scaling.name == "yarn" && has_factor && !has_window) {
    SetYarn(metadata, factor, rope);
    return absl::OkStatus();
  }
  if (scaling.name == "rerope" && has_window && !has_factor) {
    rope.rectified_window = static_cast<uint32_t>(scaling.Get("window"));
    rope.rectified_interval = static_cast<uint32_t>(scaling.Get("interval"));
    return absl::OkStatus();
  }
  return NotUnderstood(text);
}

}  // namespace

absl::Status ReadRopeScaling(const ArchitectureMetadata& metadata, std::string_view override,
                             RopeSpec& rope) {
  const float magnitude = metadata.FloatOr("rope.scaling.attn_factor", 1);
  rope.magnitude = magnitude == 0 ? 1 : magnitude;
  if (!override.empty()) return ApplyOverride(metadata, override, rope);
  const std::string type = metadata.StringOr("rope.scaling.type", "linear");
  float factor = metadata.FloatOr("rope.scaling.factor", metadata.FloatOr("rope.scale_linear", 1));
  if (factor == 0) factor = 1;
  if (!(factor > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rope.scaling.factor is ", factor, "; it must be positive"));
  }
  if (type == "yarn") {
    SetYarn(metadata, factor, rope);
  } else if (type == "linear" || type == "longrope") {
    rope.frequency_scale = 1 / factor;
  } else if (type != "none") {
    return absl::UnimplementedError(
        absl::StrCat("rope.scaling.type \"", Printable(type),
                     "\" is not supported; supported are none, linear, yarn, longrope"));
  }
  return absl::OkStatus();
}

void RemoveRopeScaling(RopeSpec& rope) {
  rope.yarn = false;
  rope.frequency_scale = 1;
  rope.magnitude = 1;
}

float YarnAttentionFactor(const ArchitectureMetadata& metadata, const RopeSpec& rope) {
  if (!rope.yarn) return 1;
  const float factor =
      rope.magnitude * (1 + 0.1f * LogMultiplier(metadata) * std::log(1 / rope.frequency_scale));
  return factor * factor;
}

}  // namespace hearth
