#include "placement/exchange.h"

#include <algorithm>
#include <optional>

namespace hearth::placement {
namespace {

// Section times that are worked out before the search gives up: some ten milliseconds.
constexpr int64_t kMaxEvaluations = 1000000;
// Smaller gains are rounding.
constexpr double kMinGainUs = 1e-6;

class Exchange {
 public:
  Exchange(const Cluster& cluster, const Model& model, const std::function<bool(size_t, uint32_t)>& may_take,
           Assignment& assignment, std::vector<uint64_t>& free_bytes)
      : model_(model), may_take_(may_take), assignment_(assignment), free_bytes_(free_bytes) {
    const std::vector<DeviceRef> devices = ListDevices(cluster);
    device_count_ = static_cast<uint32_t>(devices.size());
    for (size_t i = 0; i < model.sections.size(); ++i) {
      SectionState& state = sections_.emplace_back();
      state.overhead_us.resize(device_count_);
      state.work_us.assign(device_count_, 0);
      state.groups.assign(device_count_, 0);
      state.group_us.resize(device_count_);
      // The others' traffic is what it was before the exchange.
      const std::vector<bool> remotes = RemoteHosts(cluster, devices, assignment[i]);
      for (uint32_t d = 0; d < device_count_; ++d) {
        const Device& device = cluster.hosts[devices[d].host].devices[devices[d].device];
        const double link_us = LinkUs(cluster, devices[d].host, model.sections[i], remotes);
        state.overhead_us[d] = device.dispatch_us + link_us;
        for (const Group& group : model.sections[i].groups)
          state.group_us[d].push_back(GroupUs(device, group, LinkBytesPerSecond(cluster, devices[d].host)));
      }
      for (size_t g = 0; g < assignment[i].size(); ++g) Add(state, g, assignment[i][g]);
    }
  }

  void Run() {
    bool found = true;
    while (found && evaluations_ < kMaxEvaluations) {
      found = false;
      for (size_t i = 0; i < sections_.size(); ++i) {
        for (size_t g = 0; g < assignment_[i].size(); ++g) found |= TryGroup(i, g);
      }
    }
  }

 private:
  struct SectionState {
    std::vector<double> overhead_us;            // (devices)
    std::vector<double> work_us;                // (devices)
    std::vector<size_t> groups;                 // (devices)
    std::vector<std::vector<double>> group_us;  // (devices, groups)
  };

  // A step: group `group` of section `section` goes to `device`.
  struct Move {
    size_t section;
    size_t group;
    uint32_t device;
  };

  uint64_t BytesOf(size_t section, size_t group) const {
    return model_.sections[section].groups[group].memory_bytes();
  }

  static void Add(SectionState& state, size_t g, uint32_t d) {
    state.work_us[d] += state.group_us[d][g];
    ++state.groups[d];
  }

  static void Remove(SectionState& state, size_t g, uint32_t d) {
    // An empty device has no work, not what rounding has left of it.
    state.work_us[d] = --state.groups[d] == 0 ? 0 : state.work_us[d] - state.group_us[d][g];
  }

  double TimeOf(const SectionState& state) {
    ++evaluations_;
    double us = 0;
    for (uint32_t d = 0; d < device_count_; ++d) {
      if (state.groups[d] > 0) us = std::max(us, state.overhead_us[d] + state.work_us[d]);
    }
    return us;
  }

  // What a move saves in its section; negative where it costs.
  double Gain(const Move& move) {
    SectionState& state = sections_[move.section];
    const uint32_t from = assignment_[move.section][move.group];
    const double work_from = state.work_us[from], work_to = state.work_us[move.device];
    const double before_us = TimeOf(state);
    Remove(state, move.group, from);
    Add(state, move.group, move.device);
    const double after_us = TimeOf(state);
    ++state.groups[from];
    --state.groups[move.device];
    state.work_us[from] = work_from;
    state.work_us[move.device] = work_to;
    return before_us - after_us;
  }

  void Apply(const Move& move) {
    uint32_t& place = assignment_[move.section][move.group];
    Remove(sections_[move.section], move.group, place);
    Add(sections_[move.section], move.group, move.device);
    free_bytes_[place] += BytesOf(move.section, move.group);
    free_bytes_[move.device] -= BytesOf(move.section, move.group);
    place = move.device;
  }

  bool TryGroup(size_t section, size_t group) {
    for (uint32_t d = 0; d < device_count_ && evaluations_ < kMaxEvaluations; ++d) {
      if (d == assignment_[section][group] || !may_take_(section, d)) continue;
      const Move move{section, group, d};
      const double gain_us = Gain(move);
      if (gain_us < kMinGainUs) continue;
      if (BytesOf(section, group) <= free_bytes_[d]) {
        Apply(move);
        return true;
      }
      if (const std::optional<Move> way = MakeWay(move, gain_us)) {
        ApplyBoth(*way, move);
        return true;
      }
    }
    return false;
  }

  // `way` leaves move.device, and may go where `move` comes from.
  void ApplyBoth(const Move& way, const Move& move) {
    const uint32_t from = assignment_[move.section][move.group];
    const uint64_t bytes = BytesOf(move.section, move.group);
    free_bytes_[from] += bytes;
    Apply(way);
    free_bytes_[from] -= bytes;
    Apply(move);
  }

  // The cheapest move of a group of another section off move.device that makes enough room there, if it costs
  // less than `gain_us`.
  std::optional<Move> MakeWay(const Move& move, double gain_us) {
    std::optional<Move> best;
    double best_us = gain_us - kMinGainUs;
    const uint64_t needed = BytesOf(move.section, move.group) - free_bytes_[move.device];
    const uint32_t from = assignment_[move.section][move.group];
    for (size_t i = 0; i < sections_.size(); ++i) {
      for (size_t g = 0; i != move.section && g < assignment_[i].size(); ++g) {
        if (assignment_[i][g] != move.device || BytesOf(i, g) < needed) continue;
        for (uint32_t d = 0; d < device_count_; ++d) {
          const uint64_t room = free_bytes_[d] + (d == from ? BytesOf(move.section, move.group) : 0);
          if (d == move.device || BytesOf(i, g) > room || !may_take_(i, d)) continue;
          const double cost_us = -Gain({i, g, d});
          if (cost_us >= best_us) continue;
          best_us = cost_us;
          best = Move{i, g, d};
        }
      }
      if (evaluations_ >= kMaxEvaluations) break;
    }
    return best;
  }

  const Model& model_;
  const std::function<bool(size_t, uint32_t)>& may_take_;
  Assignment& assignment_;
  std::vector<uint64_t>& free_bytes_;
  uint32_t device_count_ = 0;
  std::vector<SectionState> sections_;
  int64_t evaluations_ = 0;
};

}  // namespace

void ImproveByExchange(const Cluster& cluster, const Model& model,
                       const std::function<bool(size_t section, uint32_t device)>& may_take,
                       Assignment& assignment, std::vector<uint64_t>& free_bytes) {
  Exchange(cluster, model, may_take, assignment, free_bytes).Run();
}

}  // namespace hearth::placement
