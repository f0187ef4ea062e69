#include "placement/section_problem.h"

#include <CbcHeuristic.hpp>
#include <CbcModel.hpp>
#include <CglMixedIntegerRounding2.hpp>
#include <CglProbing.hpp>
#include <CoinModel.hpp>
#include <OsiClpSolverInterface.hpp>
#include <algorithm>
#include <cmath>
#include <limits>

#include "placement/memory_budget.h"
#include "placement/plan_time.h"

namespace hearth::placement {
namespace {

// Of an optimum, that a search may leave open, and by which rounding may be off.
constexpr double kOpen = 1e-5;
constexpr double kInfinity = std::numeric_limits<double>::max();

bool SameFigures(const Group& a, const Group& b) {
  return a.always_bytes == b.always_bytes && a.firing_bytes == b.firing_bytes && a.frequency == b.frequency &&
         a.operations_per_byte == b.operations_per_byte && a.cache_bytes == b.cache_bytes &&
         a.returned_bytes == b.returned_bytes && a.cache_read_bytes == b.cache_read_bytes;
}

// Rows of a mixed-integer program, term by term.
class Rows {
 public:
  explicit Rows(CoinModel& model) : model_(model) {}

  Rows& Add(int column, double factor) {
    columns_.push_back(column);
    factors_.push_back(factor);
    return *this;
  }
  // low <= sum of what was added <= high.
  void Close(double low, double high) {
    model_.addRow(static_cast<int>(columns_.size()), columns_.data(), factors_.data(),
                  low == -kInfinity ? -COIN_DBL_MAX : low, high == kInfinity ? COIN_DBL_MAX : high);
    columns_.clear();
    factors_.clear();
  }

 private:
  CoinModel& model_;
  std::vector<int> columns_;
  std::vector<double> factors_;
};

}  // namespace

// Numbers of the program's columns; -1: there is none.
struct SectionProblem::Columns {
  int time = 0;
  std::vector<int> host;                // takes part
  std::vector<int> device;              // takes part
  std::vector<std::vector<int>> count;  // (classes, devices): groups on it
};

SectionProblem::SectionProblem(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                               const Section& section, absl::Span<const uint64_t> memory_bytes)
    : cluster_(cluster), devices_(devices), section_(section), memory_bytes_(memory_bytes) {
  for (const Group& group : section.groups) {
    const auto same = std::find_if(classes_.begin(), classes_.end(),
                                   [&](const GroupClass& c) { return SameFigures(c.figures, group); });
    if (same == classes_.end()) {
      classes_.push_back({group, 1});
    } else {
      ++same->count;
    }
  }
}

SectionProblem::Solution SectionProblem::Solve(absl::Span<const double> us_per_byte, int max_nodes) const {
  const size_t hosts = cluster_.hosts.size();
  Columns columns{0, std::vector<int>(hosts, -1), std::vector<int>(devices_.size(), -1),
                  std::vector<std::vector<int>>(classes_.size(), std::vector<int>(devices_.size(), -1))};
  CoinModel program;
  const auto column = [&](double high, double cost, bool whole) {
    program.addColumn(0, nullptr, nullptr, 0, high, cost, nullptr, whole);
    return program.numberColumns() - 1;
  };
  columns.time = column(COIN_DBL_MAX, 1, false);
  for (uint32_t d = 0; d < devices_.size(); ++d) {
    if (!MayHold(cluster_, devices_[d], section_)) continue;
    columns.device[d] = column(1, 0, true);
    int& host = columns.host[devices_[d].host];
    if (devices_[d].host != cluster_.leader && host < 0) host = column(1, 0, true);
    for (size_t c = 0; c < classes_.size(); ++c) {
      const auto bytes = static_cast<double>(classes_[c].figures.memory_bytes());
      const double fit =
          bytes == 0 ? classes_[c].count : std::floor(static_cast<double>(memory_bytes_[d]) / bytes);
      columns.count[c][d] = column(std::min<double>(fit, classes_[c].count), us_per_byte[d] * bytes, true);
    }
  }

  Rows rows(program);
  for (size_t c = 0; c < classes_.size(); ++c) {
    for (const int count : columns.count[c]) {
      if (count >= 0) rows.Add(count, 1);
    }
    rows.Close(classes_[c].count, classes_[c].count);
  }
  // What each other host adds to the time of one: its bytes pass the leader's network card as well.
  const auto others_us = [&](uint32_t host) {
    std::vector<bool> remotes(hosts, false);
    const double alone_us = LinkUs(cluster_, host, section_, remotes);
    for (size_t h = 0; h < hosts; ++h) {
      if (h == host || h == cluster_.leader) continue;
      remotes[h] = true;
      return LinkUs(cluster_, host, section_, remotes) - alone_us;
    }
    return 0.0;
  };
  for (uint32_t d = 0; d < devices_.size(); ++d) {
    if (columns.device[d] < 0) continue;
    const uint32_t h = devices_[d].host;
    const Device& device = cluster_.hosts[h].devices[devices_[d].device];
    const bool remote = h != cluster_.leader;
    for (size_t c = 0; c < classes_.size(); ++c) {
      rows.Add(columns.count[c][d], 1).Add(columns.device[d], -classes_[c].count);
      rows.Close(-kInfinity, 0);
    }
    for (size_t c = 0; c < classes_.size(); ++c)
      rows.Add(columns.count[c][d], static_cast<double>(classes_[c].figures.memory_bytes()));
    rows.Close(-kInfinity, static_cast<double>(memory_bytes_[d]));
    if (remote) rows.Add(columns.device[d], 1).Add(columns.host[h], -1).Close(-kInfinity, 0);
    // time >= work + dispatch + link, if it takes part.
    const double other_us = remote ? others_us(h) : 0;
    double others_at_most_us = 0;
    rows.Add(columns.time, -1);
    for (size_t c = 0; c < classes_.size(); ++c) {
      rows.Add(columns.count[c][d], GroupUs(device, classes_[c].figures, LinkBytesPerSecond(cluster_, h)));
    }
    for (size_t other = 0; remote && other < hosts; ++other) {
      if (other == h || columns.host[other] < 0) continue;
      rows.Add(columns.host[other], other_us);
      others_at_most_us += other_us;
    }
    rows.Add(columns.device[d], device.dispatch_us + LinkUs(cluster_, h, section_) + others_at_most_us);
    rows.Close(-kInfinity, others_at_most_us);
  }
  // Of hosts that are alike the first ones take part.
  for (uint32_t h = 0; h + 1 < hosts; ++h) {
    if (columns.host[h] < 0 || columns.host[h + 1] < 0 ||
        !AreTwins(cluster_, devices_, h, h + 1, memory_bytes_, us_per_byte))
      continue;
    rows.Add(columns.host[h], 1).Add(columns.host[h + 1], -1).Close(0, kInfinity);
  }

  OsiClpSolverInterface solver;
  solver.messageHandler()->setLogLevel(0);
  solver.loadFromCoinModel(program);
  CbcModel search(solver);
  search.setLogLevel(0);
  search.setNumberThreads(0);
  search.setMaximumNodes(max_nodes);
  search.setAllowableFractionGap(kOpen);
  CglProbing probing;
  CglMixedIntegerRounding2 rounding_cuts;
  search.addCutGenerator(&probing, -1, "probing");
  search.addCutGenerator(&rounding_cuts, -1, "rounding");
  CbcRounding rounding(search);
  search.addHeuristic(&rounding);
  search.initialSolve();
  search.branchAndBound();

  Solution solution;
  solution.finished = search.isProvenOptimal();
  solution.lowest_us =
      (solution.finished ? search.getObjValue() : search.getBestPossibleObjValue()) * (1 - 2 * kOpen);
  const double* values = search.bestSolution();
  if (values == nullptr) return solution;
  std::vector<uint32_t> placed(section_.groups.size());
  std::vector<std::vector<int>> left(classes_.size());
  for (size_t c = 0; c < classes_.size(); ++c) {
    for (const int count : columns.count[c])
      left[c].push_back(count < 0 ? 0 : static_cast<int>(std::lround(values[count])));
  }
  for (size_t g = 0; g < placed.size(); ++g) {
    const auto c = static_cast<size_t>(
        std::find_if(classes_.begin(), classes_.end(),
                     [&](const GroupClass& k) { return SameFigures(k.figures, section_.groups[g]); }) -
        classes_.begin());
    const auto place = std::find_if(left[c].begin(), left[c].end(), [](int n) { return n > 0; });
    if (place == left[c].end()) return solution;
    --*place;
    placed[g] = static_cast<uint32_t>(place - left[c].begin());
  }
  solution.best = ExpectedSplit(cluster_, devices_, section_, placed);
  return solution;
}

}  // namespace hearth::placement
