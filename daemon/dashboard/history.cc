#include "daemon/dashboard/history.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// What charts are drawn of.
constexpr std::array<absl::string_view, 10> kShown = {
    "hearth_generated_tokens_total",
    "hearth_prompt_tokens_total",
    "hearth_requests_waiting",
    "hearth_requests_running",
    "hearth_kv_positions",
    "hearth_share_wait_seconds_total",
    "hearth_link_round_trip_seconds",
    "hearth_link_bytes_per_second",
    "hearth_plan_expected_token_seconds",
    "hearth_plan_measured_token_seconds",
};

}  // namespace

void History::Add(int64_t unix_ms, const std::vector<prometheus::MetricFamily>& families) {
  times_.push_back(unix_ms);
  for (auto& [key, series] : series_) series.values.push_back(kNone);
  for (const prometheus::MetricFamily& family : families) {
    if (std::find(kShown.begin(), kShown.end(), family.name) == kShown.end()) continue;
    const bool counts = family.type == prometheus::MetricType::Counter;
    for (const prometheus::ClientMetric& metric : family.metric) {
      Add(family.name, metric, counts ? metric.counter.value : metric.gauge.value);
    }
  }
  if (times_.size() > kSamples) {
    times_.pop_front();
    for (auto& [key, series] : series_) series.values.pop_front();
  }
  ForgetSilent();
}

void History::Add(const std::string& name, const prometheus::ClientMetric& metric, double value) {
  std::string key = name;
  for (const auto& label : metric.label) absl::StrAppend(&key, "\n", label.name, "=", label.value);
  auto found = series_.find(key);
  if (found == series_.end()) {
    if (series_.size() >= kSeries) return;
    Series series;
    series.name = name;
    for (const auto& label : metric.label) series.labels[label.name] = label.value;
    series.values.assign(times_.size(), kNone);
    found = series_.emplace(std::move(key), std::move(series)).first;
  }
  found->second.values.back() = value;
}

void History::ForgetSilent() {
  std::erase_if(series_, [](const auto& entry) {
    const std::deque<double>& values = entry.second.values;
    return std::all_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
  });
}

json History::Last(size_t samples) const {
  const auto skipped = static_cast<std::ptrdiff_t>(times_.size() - std::min(samples, times_.size()));
  json list = json::array();
  for (const auto& [key, series] : series_) {
    json values = json::array();
    for (auto value = series.values.begin() + skipped; value != series.values.end(); ++value) {
      values.push_back(std::isfinite(*value) ? json(*value) : json());
    }
    list.push_back({{"name", series.name}, {"labels", series.labels}, {"values", std::move(values)}});
  }
  return {{"times", std::vector<int64_t>(times_.begin() + skipped, times_.end())},
          {"series", std::move(list)}};
}

}  // namespace hearth
