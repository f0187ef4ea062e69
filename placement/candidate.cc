#include "placement/candidate.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "placement/exchange.h"
#include "placement/memory_budget.h"
#include "placement/section_split.h"

namespace hearth::placement {
namespace {

// How often sections are split again with the memory that is left over, and memory is exchanged between
// sections.
constexpr int kImprovements = 2;

double ExpectedBytes(const Section& section) {
  double bytes = 0;
  for (const Group& group : section.groups) bytes += group.expected_bytes();
  return bytes;
}

uint64_t SectionBytes(const Section& section) {
  uint64_t bytes = 0;
  for (const Group& group : section.groups) bytes += group.memory_bytes();
  return bytes;
}

uint64_t LargestGroup(const Section& section) {
  uint64_t bytes = 0;
  for (const Group& group : section.groups) bytes = std::max(bytes, group.memory_bytes());
  return bytes;
}

}  // namespace

struct CandidateMaker::State {
  Assignment assignment;
  std::vector<uint64_t> free_bytes;  // per device
  // Bytes of the sections that are yet to be placed and in which a device may take part.
  std::vector<uint64_t> waiting_bytes;
};

CandidateMaker::CandidateMaker(const Cluster& cluster, const Model& model, std::vector<uint64_t> memory_bytes)
    : cluster_(cluster),
      model_(model),
      devices_(ListDevices(cluster)),
      memory_bytes_(std::move(memory_bytes)),
      busiest_first_(model.sections.size()) {
  for (const Section& section : model.sections) section_bytes_.push_back(SectionBytes(section));
  std::iota(busiest_first_.begin(), busiest_first_.end(), size_t{0});
  std::stable_sort(busiest_first_.begin(), busiest_first_.end(), [&](size_t a, size_t b) {
    return ExpectedBytes(model.sections[a]) > ExpectedBytes(model.sections[b]);
  });
}

bool CandidateMaker::MayTake(size_t section, uint32_t device, const std::vector<bool>& hosts) const {
  const uint32_t host = devices_[device].host;
  return MayHold(cluster_, devices_[device], model_.sections[section]) &&
         (host == cluster_.leader || hosts[host]);
}

std::optional<Assignment> CandidateMaker::Make(const std::vector<bool>& hosts) const {
  State state{Assignment(model_.sections.size()), memory_bytes_, std::vector<uint64_t>(devices_.size(), 0)};
  for (size_t i = 0; i < busiest_first_.size(); ++i) {
    for (uint32_t d = 0; d < devices_.size(); ++d) {
      if (MayTake(busiest_first_[i], d, hosts)) state.waiting_bytes[d] += section_bytes_[busiest_first_[i]];
    }
  }
  for (size_t i = busiest_first_.size(); i-- > 0;) {
    if (!PlaceSection(busiest_first_[i], hosts, state)) return std::nullopt;
  }
  return std::move(state.assignment);
}

void CandidateMaker::Improve(const std::vector<bool>& hosts, Assignment& assignment) const {
  State state{std::move(assignment), memory_bytes_, {}};
  for (size_t i = 0; i < model_.sections.size(); ++i) {
    for (size_t g = 0; g < state.assignment[i].size(); ++g) {
      state.free_bytes[state.assignment[i][g]] -= model_.sections[i].groups[g].memory_bytes();
    }
  }
  const std::function<bool(size_t, uint32_t)> may_take = [&](size_t section, uint32_t device) {
    return MayTake(section, device, hosts);
  };
  for (int pass = 0; pass < kImprovements; ++pass) {
    for (size_t section : busiest_first_) SplitAgain(section, hosts, state);
    ImproveByExchange(cluster_, model_, may_take, state.assignment, state.free_bytes);
  }
  assignment = std::move(state.assignment);
}

// Each device offers a section its proportional part of what it has left, so that every section finds room on
// the fast devices; where these parts together are too small for the section they grow.
std::vector<uint64_t> CandidateMaker::Quotas(size_t section, const std::vector<uint32_t>& takers,
                                             const State& state) const {
  std::vector<uint64_t> quotas;
  uint64_t offered = 0;
  for (uint32_t d : takers) {
    const double part = state.waiting_bytes[d] == 0 ? 1.0
                                                    : static_cast<double>(section_bytes_[section]) /
                                                          static_cast<double>(state.waiting_bytes[d]);
    const auto quota = static_cast<uint64_t>(static_cast<double>(state.free_bytes[d]) * std::min(part, 1.0));
    quotas.push_back(std::min(quota, state.free_bytes[d]));
    offered += quotas.back();
  }
  // One group per device is lost to rounding at most.
  const uint64_t wanted = section_bytes_[section] + takers.size() * LargestGroup(model_.sections[section]);
  while (offered < wanted) {
    size_t roomiest = 0;
    for (size_t i = 1; i < takers.size(); ++i) {
      if (state.free_bytes[takers[i]] - quotas[i] > state.free_bytes[takers[roomiest]] - quotas[roomiest])
        roomiest = i;
    }
    const uint64_t more = std::min(wanted - offered, state.free_bytes[takers[roomiest]] - quotas[roomiest]);
    if (more == 0) break;
    quotas[roomiest] += more;
    offered += more;
  }
  return quotas;
}

std::optional<std::vector<uint32_t>> CandidateMaker::Split(size_t section,
                                                           const std::vector<uint32_t>& takers,
                                                           const std::vector<uint64_t>& memory_bytes) const {
  std::vector<Participant> participants;
  // As if every host that may take part did.
  const std::vector<bool> remotes = RemoteHosts(cluster_, devices_, takers);
  for (size_t i = 0; i < takers.size(); ++i) {
    const DeviceRef ref = devices_[takers[i]];
    const double link_us = LinkUs(cluster_, ref.host, model_.sections[section], remotes);
    const Device& device = cluster_.hosts[ref.host].devices[ref.device];
    participants.push_back({takers[i], &device, link_us + device.dispatch_us, memory_bytes[i],
                            LinkBytesPerSecond(cluster_, ref.host)});
  }
  return SplitSection(model_.sections[section], participants);
}

bool CandidateMaker::PlaceSection(size_t section, const std::vector<bool>& hosts, State& state) const {
  std::vector<uint32_t> takers;
  std::vector<uint64_t> all_free;
  for (uint32_t d = 0; d < devices_.size(); ++d) {
    if (!MayTake(section, d, hosts)) continue;
    takers.push_back(d);
    all_free.push_back(state.free_bytes[d]);
  }
  std::optional<std::vector<uint32_t>> placed = Split(section, takers, Quotas(section, takers, state));
  if (!placed) placed = Split(section, takers, all_free);
  if (!placed) return false;
  for (size_t g = 0; g < placed->size(); ++g) {
    state.free_bytes[(*placed)[g]] -= model_.sections[section].groups[g].memory_bytes();
  }
  for (uint32_t d : takers) state.waiting_bytes[d] -= section_bytes_[section];
  state.assignment[section] = *std::move(placed);
  return true;
}

void CandidateMaker::SplitAgain(size_t section, const std::vector<bool>& hosts, State& state) const {
  const std::vector<Group>& groups = model_.sections[section].groups;
  std::vector<uint32_t>& now = state.assignment[section];
  std::vector<uint64_t> free_bytes = state.free_bytes;
  for (size_t g = 0; g < groups.size(); ++g) free_bytes[now[g]] += groups[g].memory_bytes();
  std::vector<uint32_t> takers;
  std::vector<uint64_t> offered;
  for (uint32_t d = 0; d < devices_.size(); ++d) {
    if (!MayTake(section, d, hosts)) continue;
    takers.push_back(d);
    offered.push_back(free_bytes[d]);
  }
  const auto again = Split(section, takers, offered);
  if (!again) return;
  const double now_us = ExpectedSectionTime(cluster_, devices_, model_.sections[section], now).total_us;
  const double again_us = ExpectedSectionTime(cluster_, devices_, model_.sections[section], *again).total_us;
  if (!(again_us < now_us * (1 - 1e-9))) return;
  now = *again;
  for (size_t g = 0; g < groups.size(); ++g) free_bytes[now[g]] -= groups[g].memory_bytes();
  state.free_bytes = std::move(free_bytes);
}

}  // namespace hearth::placement
