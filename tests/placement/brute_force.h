#ifndef HEARTH_TESTS_PLACEMENT_BRUTE_FORCE_H_
#define HEARTH_TESTS_PLACEMENT_BRUTE_FORCE_H_

#include <limits>
#include <optional>
#include <random>
#include <vector>

#include "placement/plan_time.h"
#include "tests/placement/examples.h"

namespace hearth::placement {

// The smallest time of all assignments within memory; nullopt when none is.
class BruteForce {
 public:
  BruteForce(const Cluster& cluster, const Model& model)
      : cluster_(cluster), model_(model), devices_(ListDevices(cluster)), assignment_(model.sections.size()) {
    for (const DeviceRef& ref : devices_)
      room_.push_back(cluster.hosts[ref.host].devices[ref.device].memory_bytes);
  }

  std::optional<double> BestUs() {
    PlaceFrom(0, 0);
    if (best_us_ == std::numeric_limits<double>::infinity()) return std::nullopt;
    return best_us_;
  }

 private:
  void PlaceFrom(size_t section, double us) {
    if (us >= best_us_) return;
    if (section == model_.sections.size()) {
      best_us_ = us;
      return;
    }
    std::vector<uint32_t>& placed = assignment_[section];
    const std::vector<Group>& groups = model_.sections[section].groups;
    if (placed.size() == groups.size()) {
      PlaceFrom(section + 1,
                us + ExpectedSectionTime(cluster_, devices_, model_.sections[section], placed).total_us);
      return;
    }
    const uint64_t bytes = groups[placed.size()].memory_bytes();
    for (uint32_t d = 0; d < devices_.size(); ++d) {
      if (bytes > room_[d]) continue;
      room_[d] -= bytes;
      placed.push_back(d);
      PlaceFrom(section, us);
      placed.pop_back();
      room_[d] += bytes;
    }
  }

  const Cluster& cluster_;
  const Model& model_;
  std::vector<DeviceRef> devices_;
  std::vector<uint64_t> room_;
  Assignment assignment_;
  double best_us_ = std::numeric_limits<double>::infinity();
};

struct Case {
  Cluster cluster;
  Model model;
};

// Two sections of five groups on three devices: 3^10 assignments. Budgets between far too small and ample.
inline Case RandomCase(std::mt19937& random) {
  const auto draw = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  Case c;
  for (int section = 0; section < 2; ++section) {
    Section& l = c.model.sections.emplace_back(Section{{}, 100, 200});
    for (int g = 0; g < 5; ++g) {
      l.groups.push_back({16, static_cast<uint64_t>(draw(0, 2000)), static_cast<uint64_t>(draw(1000, 9000)),
                          draw(0, 1) * draw(0, 1), 2});
    }
  }
  const double all = static_cast<double>(GroupBytes(c.model));
  const auto memory = [&](double low, double high) { return static_cast<uint64_t>(all * draw(low, high)); };
  c.cluster.hosts = {
      LeaderHost("a", {Cpu("cpu", memory(0.3, 1.2)), Gpu("gpu", memory(0.1, 0.6), draw(2, 10))}),
      RemoteHost("b", {Cpu("cpu", memory(0.2, 1.2), draw(0.5, 3))}, draw(0, 8))};
  return c;
}

}  // namespace hearth::placement

#endif  // HEARTH_TESTS_PLACEMENT_BRUTE_FORCE_H_
