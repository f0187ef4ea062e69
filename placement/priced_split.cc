#include "placement/priced_split.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "placement/memory_budget.h"
#include "placement/plan_time.h"

namespace hearth::placement {
namespace {

constexpr int kHalvings = 16;
// Times that are tried between the shortest and the longest: for each set of hosts, and for the best one.
constexpr int kTimes = 14;
constexpr int kFineTimes = 160;
constexpr uint32_t kUnplaced = std::numeric_limits<uint32_t>::max();

double Heat(const Group& group) {
  return group.memory_bytes() == 0 ? 0 : group.expected_bytes() / static_cast<double>(group.memory_bytes());
}

}  // namespace

struct PricedSplit::Offer {
  absl::Span<const double> us_per_byte;
  absl::Span<const uint64_t> memory_bytes;
};

struct PricedSplit::Way {
  std::vector<uint32_t> placed;
  std::vector<bool> remotes;        // (hosts) that may have some
  std::vector<double> overhead_us;  // (devices) infinite where a device takes no part
  double cost_us = 0;               // time and price
};

PricedSplit::PricedSplit(const Cluster& cluster, absl::Span<const DeviceRef> devices, const Section& section)
    : cluster_(cluster),
      devices_(devices),
      section_(section),
      speed_(devices.size(), 0),
      group_us_(devices.size()),
      hottest_first_(section.groups.size()) {
  for (uint32_t d = 0; d < devices.size(); ++d) {
    if (!MayHold(cluster, devices[d], section)) continue;
    const Device& device = cluster.hosts[devices[d].host].devices[devices[d].device];
    allowed_.push_back(d);
    speed_[d] = device.read_bytes_per_s / 1e6;
    for (const Group& group : section.groups)
      group_us_[d].push_back(GroupUs(device, group, LinkBytesPerSecond(cluster, devices[d].host)));
  }
  std::iota(hottest_first_.begin(), hottest_first_.end(), size_t{0});
  std::stable_sort(hottest_first_.begin(), hottest_first_.end(),
                   [&](size_t a, size_t b) { return Heat(section.groups[a]) > Heat(section.groups[b]); });
}

std::optional<std::vector<uint32_t>> PricedSplit::Split(const std::vector<bool>& hosts,
                                                        absl::Span<const double> us_per_byte,
                                                        absl::Span<const uint64_t> memory_bytes) const {
  const Offer offer{us_per_byte, memory_bytes};
  std::optional<Way> best = Search(std::vector<bool>(hosts.size(), false), hosts, true, offer);
  std::optional<Way> fewer = Search(hosts, hosts, false, offer);
  if (fewer && (!best || fewer->cost_us < best->cost_us * (1 - 1e-9))) best = std::move(fewer);
  if (!best) return std::nullopt;
  std::optional<Way> finer = With(best->remotes, offer, kFineTimes);
  if (finer && finer->cost_us < best->cost_us) best = std::move(finer);
  Improve(*best, offer);
  return std::move(best->placed);
}

// Adds hosts to `remotes`, or takes them away, one by one as long as that makes the split cheaper or
// possible.
std::optional<PricedSplit::Way> PricedSplit::Search(std::vector<bool> remotes, const std::vector<bool>& hosts,
                                                    bool add, const Offer& offer) const {
  remotes[cluster_.leader] = false;
  std::optional<Way> best = With(remotes, offer, kTimes);
  for (;;) {
    std::optional<Way> next;
    size_t changed = hosts.size();
    std::vector<uint32_t> tried;
    for (uint32_t h = 0; h < hosts.size(); ++h) {
      if (h == cluster_.leader || !hosts[h] || remotes[h] == add) continue;
      if (std::any_of(tried.begin(), tried.end(), [&](uint32_t t) {
            return AreTwins(cluster_, devices_, t, h, offer.memory_bytes, offer.us_per_byte);
          }))
        continue;
      tried.push_back(h);
      remotes[h] = add;
      std::optional<Way> way = With(remotes, offer, kTimes);
      remotes[h] = !add;
      if (!way || (next && way->cost_us >= next->cost_us * (1 - 1e-9))) continue;
      next = std::move(way);
      changed = h;
    }
    // Where nothing fits yet and one more is not enough, it is one of them at least.
    if (!next && !best && add && !tried.empty()) changed = tried.front();
    if (changed == hosts.size() || (best && next && next->cost_us >= best->cost_us * (1 - 1e-9))) return best;
    if (next) best = std::move(next);
    remotes[changed] = add;
  }
}

std::optional<PricedSplit::Way> PricedSplit::With(const std::vector<bool>& remotes, const Offer& offer,
                                                  int times) const {
  std::vector<double> overhead_us(devices_.size(), std::numeric_limits<double>::infinity());
  double longest_us = 0;
  bool prices = false;
  for (const uint32_t d : allowed_) {
    const uint32_t h = devices_[d].host;
    if (h != cluster_.leader && !remotes[h]) continue;
    overhead_us[d] =
        cluster_.hosts[h].devices[devices_[d].device].dispatch_us + LinkUs(cluster_, h, section_, remotes);
    longest_us =
        std::max(longest_us, overhead_us[d] + std::accumulate(group_us_[d].begin(), group_us_[d].end(), 0.0));
    prices |= offer.us_per_byte[d] > 0;
  }
  longest_us = longest_us * (1 + 1e-9) + 1e-9;
  std::optional<Way> best;
  const auto consider = [&](double limit_us) {
    bool any = false;
    for (const bool cheapest_first : {false, true}) {
      std::optional<Way> way = Fill(limit_us, cheapest_first, overhead_us, offer);
      if (way) way->remotes = remotes;
      any |= way.has_value();
      if (way && (!best || way->cost_us < best->cost_us * (1 - 1e-9))) best = std::move(way);
    }
    return any;
  };
  if (!consider(longest_us)) return std::nullopt;
  double low = 0, high = longest_us;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = low + (high - low) / 2;
    (consider(middle) ? high : low) = middle;
  }
  if (!prices) return best;  // the shortest time it is
  const double factor = std::pow(longest_us / high, 1.0 / times);
  double limit_us = high;
  for (int i = 1; i < times; ++i) consider(limit_us *= factor);
  return best;
}

std::optional<PricedSplit::Way> PricedSplit::Fill(double limit_us, bool cheapest_first,
                                                  const std::vector<double>& overhead_us,
                                                  const Offer& offer) const {
  std::vector<uint32_t> order;
  for (const uint32_t d : allowed_) {
    if (overhead_us[d] < limit_us && offer.memory_bytes[d] > 0) order.push_back(d);
  }
  const auto intensity = [&](uint32_t d) {
    return (limit_us - overhead_us[d]) * speed_[d] / static_cast<double>(offer.memory_bytes[d]);
  };
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (cheapest_first && offer.us_per_byte[a] != offer.us_per_byte[b])
      return offer.us_per_byte[a] < offer.us_per_byte[b];
    return intensity(a) > intensity(b);
  });
  Way way{std::vector<uint32_t>(section_.groups.size(), kUnplaced), {}, overhead_us, 0};
  size_t left = way.placed.size();
  for (const uint32_t d : order) {
    double room_us = limit_us - overhead_us[d];
    uint64_t room_bytes = offer.memory_bytes[d];
    for (size_t i = 0; i < hottest_first_.size() && left > 0; ++i) {
      const size_t g = hottest_first_[cheapest_first ? hottest_first_.size() - 1 - i : i];
      const uint64_t bytes = section_.groups[g].memory_bytes();
      if (way.placed[g] != kUnplaced || group_us_[d][g] > room_us || bytes > room_bytes) continue;
      room_us -= group_us_[d][g];
      room_bytes -= bytes;
      way.placed[g] = d;
      --left;
    }
  }
  if (left > 0) return std::nullopt;
  Measure(way, offer);
  return way;
}

void PricedSplit::Measure(Way& way, const Offer& offer) const {
  std::vector<double> us(devices_.size(), 0);
  double time_us = 0, price_us = 0;
  for (size_t g = 0; g < way.placed.size(); ++g) {
    const uint32_t d = way.placed[g];
    if (us[d] == 0) us[d] = way.overhead_us[d];
    us[d] += group_us_[d][g];
    time_us = std::max(time_us, us[d]);
    price_us += offer.us_per_byte[d] * static_cast<double>(section_.groups[g].memory_bytes());
  }
  way.cost_us = time_us + price_us;
}

void PricedSplit::Improve(Way& way, const Offer& offer) const {
  std::vector<double> work_us(devices_.size(), 0);
  std::vector<uint64_t> bytes(devices_.size(), 0);
  std::vector<size_t> groups(devices_.size(), 0);
  for (size_t g = 0; g < way.placed.size(); ++g) {
    work_us[way.placed[g]] += group_us_[way.placed[g]][g];
    bytes[way.placed[g]] += section_.groups[g].memory_bytes();
    ++groups[way.placed[g]];
  }
  const auto time_us = [&] {
    double us = 0;
    for (const uint32_t d : allowed_) {
      if (groups[d] > 0) us = std::max(us, way.overhead_us[d] + work_us[d]);
    }
    return us;
  };
  const auto move = [&](size_t g, uint32_t from, uint32_t to) {
    const uint64_t size = section_.groups[g].memory_bytes();
    work_us[from] = --groups[from] == 0 ? 0 : work_us[from] - group_us_[from][g];
    bytes[from] -= size;
    work_us[to] += group_us_[to][g];
    bytes[to] += size;
    ++groups[to];
    way.placed[g] = to;
  };
  for (size_t step = 0; step < 2 * way.placed.size(); ++step) {
    double best_gain_us = 1e-6;
    std::pair<size_t, uint32_t> best{way.placed.size(), 0};
    const double before_us = time_us();
    for (size_t g = 0; g < way.placed.size(); ++g) {
      // Groups with the same figures on the same device move alike.
      const uint32_t from = way.placed[g];
      if (g > 0 && way.placed[g - 1] == from && group_us_[from][g] == group_us_[from][g - 1] &&
          section_.groups[g].memory_bytes() == section_.groups[g - 1].memory_bytes()) {
        continue;
      }
      const uint64_t size = section_.groups[g].memory_bytes();
      for (const uint32_t d : allowed_) {
        if (d == from || std::isinf(way.overhead_us[d]) || size > offer.memory_bytes[d] - bytes[d]) continue;
        const double price_us = (offer.us_per_byte[d] - offer.us_per_byte[from]) * static_cast<double>(size);
        const double from_us = work_us[from], to_us = work_us[d];
        move(g, from, d);
        const double gain_us = before_us - time_us() - price_us;
        move(g, d, from);
        work_us[from] = from_us;
        work_us[d] = to_us;
        if (gain_us > best_gain_us) {
          best_gain_us = gain_us;
          best = {g, d};
        }
      }
    }
    if (best.first == way.placed.size()) break;
    move(best.first, way.placed[best.first], best.second);
  }
  Measure(way, offer);
}

}  // namespace hearth::placement
