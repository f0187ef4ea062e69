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
  if (times_.size() > kSamples) times_.pop_front();
  ++samples_;
  ForgetBefore(samples_ - times_.size());
  for (const prometheus::MetricFamily& family : families) {
    if (std::find(kShown.begin(), kShown.end(), family.name) == kShown.end()) continue;
    const bool counts = family.type == prometheus::MetricType::Counter;
    for (const prometheus::ClientMetric& metric : family.metric) {
      Add(family.name, metric, counts ? metric.counter.value : metric.gauge.value);
    }
  }
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
    series.first = samples_ - 1;
    found = series_.emplace(std::move(key), std::move(series)).first;
  }
  Series& series = found->second;
  series.values.resize(samples_ - series.first, kNone);
  series.values.back() = value;
}

void History::ForgetBefore(uint64_t sample) {
  for (auto& [key, series] : series_) {
    for (; series.first < sample && !series.values.empty(); ++series.first) series.values.pop_front();
  }
  std::erase_if(series_, [](const auto& entry) {
    const std::deque<double>& values = entry.second.values;
    return std::all_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
  });
}

json History::Last(size_t samples) const {
  const size_t count = std::min(samples, times_.size());
  json list = json::array();
  for (const auto& [key, series] : series_) {
    json values = json::array();
    for (uint64_t sample = samples_ - count; sample < samples_; ++sample) {
      const bool told = sample >= series.first && sample - series.first < series.values.size();
      const double value = told ? series.values[sample - series.first] : kNone;
      values.push_back(std::isfinite(value) ? json(value) : json());
    }
    list.push_back({{"name", series.name}, {"labels", series.labels}, {"values", std::move(values)}});
  }
  return {{"times", std::vector<int64_t>(times_.end() - static_cast<std::ptrdiff_t>(count), times_.end())},
          {"series", std::move(list)}};
}

}  // namespace hearth
