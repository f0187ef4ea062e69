#ifndef HEARTH_DAEMON_DASHBOARD_HISTORY_H_
#define HEARTH_DAEMON_DASHBOARD_HISTORY_H_

#include <prometheus/metric_family.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hearth {

// How the figures that /metrics tells have gone lately: those of its gauges and counters that charts show.
// Not thread-safe.
class History {
 public:
  static constexpr size_t kSamples = 600;  // older ones are forgotten
  static constexpr size_t kSeries = 512;   // what comes beyond is left out

  void Add(int64_t unix_ms, const std::vector<prometheus::MetricFamily>& families);

  // {"times": [ms since 1970], "series": [{"name", "labels": {}, "values": [number or null]}]}, the last
  // `samples` of them.
  nlohmann::json Last(size_t samples = kSamples) const;

 private:
  struct Series {
    std::string name;
    std::map<std::string, std::string> labels;
    uint64_t first = 0;         // the sample that values begin with
    std::deque<double> values;  // up to the last that was told; not a number: there was none
  };

  void Add(const std::string& name, const prometheus::ClientMetric& metric, double value);
  void ForgetBefore(uint64_t sample);

  uint64_t samples_ = 0;  // so many have been added: the last one's number is one less
  std::deque<int64_t> times_;
  std::map<std::string, Series> series_;  // by name and labels
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_HISTORY_H_
