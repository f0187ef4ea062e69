#ifndef HEARTH_PLACEMENT_PRICED_SPLIT_H_
#define HEARTH_PLACEMENT_PRICED_SPLIT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/model.h"

namespace hearth::placement {

// Splits one section over devices whose memory has a price: heuristically, in microseconds, where
// section_problem.h does it to optimality.
//
// For a set of hosts and a time T each device has room for (T - overhead) of work. Devices are served either
// cheapest memory first, with the coldest groups (so that what is expensive is left for what needs it), or
// those that can do most work per byte of their memory first, with the hottest groups; the cheapest of some
// times is improved by moving single groups. Hosts are added to the leader's as long as that pays.
class PricedSplit {
 public:
  // All borrowed.
  PricedSplit(const Cluster& cluster, absl::Span<const DeviceRef> devices, const Section& section);

  // The device of each group, of the leader's and those of `hosts`; nullopt when nothing is found that fits
  // `memory_bytes` (per device). `us_per_byte`: what memory of each device costs.
  std::optional<std::vector<uint32_t>> Split(const std::vector<bool>& hosts,
                                             absl::Span<const double> us_per_byte,
                                             absl::Span<const uint64_t> memory_bytes) const;

 private:
  struct Offer;  // of the devices
  struct Way;
  std::optional<Way> Search(std::vector<bool> remotes, const std::vector<bool>& hosts, bool add,
                            const Offer& offer) const;
  std::optional<Way> With(const std::vector<bool>& remotes, const Offer& offer, int times) const;
  std::optional<Way> Fill(double limit_us, bool cheapest_first, const std::vector<double>& overhead_us,
                          const Offer& offer) const;
  void Improve(Way& way, const Offer& offer) const;
  void Measure(Way& way, const Offer& offer) const;

  const Cluster& cluster_;
  absl::Span<const DeviceRef> devices_;
  const Section& section_;
  std::vector<uint32_t> allowed_;              // devices
  std::vector<double> speed_;                  // (devices) bytes per microsecond
  std::vector<std::vector<double>> group_us_;  // (devices, groups); empty where it may not hold any
  std::vector<size_t> hottest_first_;          // groups
};

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_PRICED_SPLIT_H_
