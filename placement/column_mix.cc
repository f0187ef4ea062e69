#include "placement/column_mix.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hearth::placement {
namespace {

constexpr int kRounds = 24;           // of prices
constexpr double kGain = 1e-4;        // of the time, that a round must bring to go on
constexpr double kWholeCount = 1e-6;  // a count this near to a whole number is one

bool IsSubset(const std::vector<bool>& a, const std::vector<bool>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] && !b[i]) return false;
  }
  return true;
}

}  // namespace

ColumnMix::ColumnMix(const Cluster& cluster, const Model& model, std::vector<uint64_t> memory_bytes)
    : cluster_(cluster),
      model_(model),
      devices_(ListDevices(cluster)),
      memory_bytes_(std::move(memory_bytes)),
      kinds_(KindsOf(model)),
      program_(kinds_.counts, memory_bytes_) {
  for (const size_t first : kinds_.first) splitters_.emplace_back(cluster_, devices_, model_.sections[first]);
}

// False where it is known already.
bool ColumnMix::Add(size_t kind, std::vector<uint32_t> placed) {
  const Section& section = model_.sections[kinds_.first[kind]];
  SectionSplit split = ExpectedSplit(cluster_, devices_, section, placed);
  if (!program_.Add(kind, split)) return false;
  std::vector<bool> remotes = RemoteHosts(cluster_, devices_, placed);
  ways_.push_back({kind, std::move(placed), std::move(split), std::move(remotes)});
  return true;
}

void ColumnMix::Generate(const std::vector<bool>& hosts) {
  std::vector<double> prices(devices_.size(), 0);
  double before_us = std::numeric_limits<double>::infinity();
  int idle = 0;
  for (int round = 0; round < kRounds && idle < 2; ++round) {
    bool any_new = false;
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      std::optional<std::vector<uint32_t>> placed = splitters_[kind].Split(hosts, prices, memory_bytes_);
      if (placed) any_new |= Add(kind, *std::move(placed));
    }
    const double us = program_.Solve();
    if (!any_new && round > 0) return;
    idle = us < before_us * (1 - kGain) ? 0 : idle + 1;
    before_us = us;
    prices = program_.Prices();
  }
}

std::optional<Assignment> ColumnMix::Make(const std::vector<bool>& hosts) {
  for (size_t i = 0; i < ways_.size(); ++i) program_.Allow(i, IsSubset(ways_[i].remotes, hosts));
  Generate(hosts);
  return Round(hosts);
}

std::optional<Assignment> ColumnMix::Round(const std::vector<bool>& hosts) const {
  const std::vector<double> prices = program_.Prices();
  std::vector<uint64_t> free_bytes = memory_bytes_;
  std::vector<std::vector<const std::vector<uint32_t>*>> chosen(kinds_.size());
  const auto take = [&](const Way& way) {
    for (size_t d = 0; d < devices_.size(); ++d) {
      if (way.split.bytes[d] > static_cast<double>(free_bytes[d])) return false;
    }
    for (size_t d = 0; d < devices_.size(); ++d) free_bytes[d] -= static_cast<uint64_t>(way.split.bytes[d]);
    chosen[way.kind].push_back(&way.placed);
    return true;
  };
  std::vector<std::pair<double, size_t>> fractions;
  for (size_t i = 0; i < ways_.size(); ++i) {
    const double count = program_.Count(i);
    const double whole = std::floor(count + kWholeCount);
    for (int n = 0; n < whole && take(ways_[i]); ++n) {
    }
    if (count - whole > kWholeCount) fractions.emplace_back(count - whole, i);
  }
  std::stable_sort(fractions.begin(), fractions.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto is_full = [&](size_t kind) {
    return chosen[kind].size() >= static_cast<size_t>(kinds_.counts[kind]);
  };
  for (const auto& [fraction, i] : fractions) {
    if (!is_full(ways_[i].kind)) take(ways_[i]);
  }

  Assignment assignment(model_.sections.size());
  std::vector<size_t> next(kinds_.size(), 0);
  for (size_t s = 0; s < assignment.size(); ++s) {
    const size_t kind = kinds_.of_section[s];
    if (next[kind] < chosen[kind].size()) {
      assignment[s] = *chosen[kind][next[kind]++];
      continue;
    }
    std::optional<std::vector<uint32_t>> placed = splitters_[kind].Split(hosts, prices, free_bytes);
    if (!placed) return std::nullopt;
    for (size_t g = 0; g < placed->size(); ++g)
      free_bytes[(*placed)[g]] -= model_.sections[s].groups[g].memory_bytes();
    assignment[s] = *std::move(placed);
  }
  return assignment;
}

}  // namespace hearth::placement
