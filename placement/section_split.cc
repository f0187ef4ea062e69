#include "placement/section_split.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "placement/plan_time.h"

namespace hearth::placement {
namespace {

constexpr int kBisections = 22;  // to a millionth of the range
constexpr size_t kNobody = std::numeric_limits<size_t>::max();

// One section's splitting: who[group] is an index into participants.
class Splitter {
 public:
  Splitter(const Section& section, absl::Span<const Participant> participants)
      : section_(section), participants_(participants), hottest_first_(section.groups.size()) {
    for (const Participant& p : participants) {
      std::vector<double>& us = group_us_.emplace_back();
      for (const Group& group : section.groups) us.push_back(GroupUs(*p.figures, group, p.link_bytes_per_s));
    }
    std::iota(hottest_first_.begin(), hottest_first_.end(), size_t{0});
    std::stable_sort(hottest_first_.begin(), hottest_first_.end(),
                     [&](size_t a, size_t b) { return Heat(a) > Heat(b); });
  }

  std::optional<std::vector<size_t>> Run() {
    double low = 0;
    double high = AllOnOneUs();
    std::optional<std::vector<size_t>> best = Fill(high);
    if (!best) return PackByMemory();
    for (int i = 0; i < kBisections; ++i) {
      const double middle = low + (high - low) / 2;
      if (auto who = Fill(middle)) {
        best = std::move(who);
        high = middle;
      } else {
        low = middle;
      }
    }
    return best;
  }

  // Moves single groups away from the slowest participant, or exchanges two, as long as that makes the
  // section faster.
  void Improve(std::vector<size_t>& who) {
    Load load = Measure(who);
    for (size_t step = 0; step < 2 * section_.groups.size(); ++step) {
      if (!ImproveOnce(who, load)) return;
    }
  }

 private:
  struct Load {
    std::vector<double> work_us;
    std::vector<uint64_t> bytes;
    std::vector<size_t> groups;
  };

  double Heat(size_t g) const {
    const Group& group = section_.groups[g];
    return group.memory_bytes() == 0 ? 0 : group.expected_bytes() / static_cast<double>(group.memory_bytes());
  }

  // Long enough for any distribution: the slowest participant doing everything.
  double AllOnOneUs() const {
    double us = 0;
    for (size_t p = 0; p < participants_.size(); ++p) {
      us = std::max(
          us, participants_[p].overhead_us + std::accumulate(group_us_[p].begin(), group_us_[p].end(), 0.0));
    }
    // Sums of the same numbers in another order may differ in the last bits.
    return us * (1 + 1e-9) + 1e-9;
  }

  // Participants in the order in which they are served within time `limit_us`: most work per byte of memory
  // first.
  std::vector<size_t> ServingOrder(double limit_us) const {
    std::vector<size_t> order;
    for (size_t p = 0; p < participants_.size(); ++p) {
      if (participants_[p].overhead_us < limit_us && participants_[p].memory_bytes > 0) order.push_back(p);
    }
    const auto intensity = [&](size_t p) {
      return (limit_us - participants_[p].overhead_us) * participants_[p].figures->read_bytes_per_s /
             static_cast<double>(participants_[p].memory_bytes);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return intensity(a) > intensity(b); });
    return order;
  }

  // Deals the groups out so that nobody needs longer than `limit_us`.
  std::optional<std::vector<size_t>> Fill(double limit_us) const {
    std::vector<size_t> who(section_.groups.size(), kNobody);
    size_t left = who.size();
    for (size_t p : ServingOrder(limit_us)) {
      double room_us = limit_us - participants_[p].overhead_us;
      uint64_t room_bytes = participants_[p].memory_bytes;
      for (size_t g : hottest_first_) {
        const uint64_t bytes = section_.groups[g].memory_bytes();
        if (who[g] != kNobody || group_us_[p][g] > room_us || bytes > room_bytes) continue;
        room_us -= group_us_[p][g];
        room_bytes -= bytes;
        who[g] = p;
        --left;
      }
    }
    if (left > 0) return std::nullopt;
    return who;
  }

  // Where memory is so tight that dealing by heat strands a group: largest group first, to whoever has most
  // room.
  std::optional<std::vector<size_t>> PackByMemory() const {
    std::vector<size_t> order(section_.groups.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return section_.groups[a].memory_bytes() > section_.groups[b].memory_bytes();
    });
    std::vector<uint64_t> room;
    for (const Participant& p : participants_) room.push_back(p.memory_bytes);
    std::vector<size_t> who(section_.groups.size(), kNobody);
    for (size_t g : order) {
      const auto widest = std::max_element(room.begin(), room.end());
      if (widest == room.end() || *widest < section_.groups[g].memory_bytes()) return std::nullopt;
      *widest -= section_.groups[g].memory_bytes();
      who[g] = static_cast<size_t>(widest - room.begin());
    }
    return who;
  }

  Load Measure(const std::vector<size_t>& who) const {
    Load load{std::vector<double>(participants_.size()), std::vector<uint64_t>(participants_.size()),
              std::vector<size_t>(participants_.size())};
    for (size_t g = 0; g < who.size(); ++g) {
      load.work_us[who[g]] += group_us_[who[g]][g];
      load.bytes[who[g]] += section_.groups[g].memory_bytes();
      ++load.groups[who[g]];
    }
    return load;
  }

  double TimeOf(const Load& load, size_t p) const {
    return load.groups[p] == 0 ? 0 : participants_[p].overhead_us + load.work_us[p];
  }

  bool ImproveOnce(std::vector<size_t>& who, Load& load) const {
    size_t slowest = 0;
    for (size_t p = 1; p < participants_.size(); ++p) {
      if (TimeOf(load, p) > TimeOf(load, slowest)) slowest = p;
    }
    const double before = TimeOf(load, slowest);
    for (size_t g = 0; g < who.size(); ++g) {
      if (who[g] != slowest) continue;
      for (size_t p = 0; p < participants_.size(); ++p) {
        if (p != slowest && (TryMove(g, p, before, who, load) || TryExchange(g, p, before, who, load)))
          return true;
      }
    }
    return false;
  }

  // A change counts only if it is clearly faster, so that rounding cannot make two states chase each other.
  static bool IsFaster(double us, double before_us) { return us < before_us * (1 - 1e-9); }

  bool TryMove(size_t g, size_t p, double before_us, std::vector<size_t>& who, Load& load) const {
    const uint64_t bytes = section_.groups[g].memory_bytes();
    const double after_us = participants_[p].overhead_us + load.work_us[p] + group_us_[p][g];
    if (group_us_[who[g]][g] <= 0 || bytes > participants_[p].memory_bytes - load.bytes[p] ||
        !IsFaster(after_us, before_us)) {
      return false;
    }
    who[g] = p;
    load = Measure(who);
    return true;
  }

  bool TryExchange(size_t g, size_t p, double before_us, std::vector<size_t>& who, Load& load) const {
    const size_t slowest = who[g];
    for (size_t h = 0; h < who.size(); ++h) {
      if (who[h] != p || section_.groups[g].memory_bytes() > participants_[p].memory_bytes - load.bytes[p] +
                                                                 section_.groups[h].memory_bytes()) {
        continue;
      }
      if (section_.groups[h].memory_bytes() >
          participants_[slowest].memory_bytes - load.bytes[slowest] + section_.groups[g].memory_bytes()) {
        continue;
      }
      const double there = participants_[p].overhead_us + load.work_us[p] + group_us_[p][g] - group_us_[p][h];
      const double here = before_us + group_us_[slowest][h] - group_us_[slowest][g];
      if (!IsFaster(std::max(there, here), before_us)) continue;
      std::swap(who[g], who[h]);
      load = Measure(who);
      return true;
    }
    return false;
  }

  const Section& section_;
  absl::Span<const Participant> participants_;
  std::vector<size_t> hottest_first_;
  std::vector<std::vector<double>> group_us_;  // (participants, groups)
};

}  // namespace

std::optional<std::vector<uint32_t>> SplitSection(const Section& section,
                                                  absl::Span<const Participant> participants) {
  if (section.groups.empty()) return std::vector<uint32_t>();
  Splitter splitter(section, participants);
  std::optional<std::vector<size_t>> who = splitter.Run();
  if (!who) return std::nullopt;
  splitter.Improve(*who);
  std::vector<uint32_t> placed;
  for (size_t p : *who) placed.push_back(participants[p].device);
  return placed;
}

}  // namespace hearth::placement
