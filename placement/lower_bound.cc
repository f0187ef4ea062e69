#include "placement/lower_bound.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "placement/column_program.h"
#include "placement/memory_budget.h"
#include "placement/plan_time.h"
#include "placement/section_kinds.h"
#include "placement/section_problem.h"

namespace hearth::placement {

absl::StatusOr<LowerBound> ProveLowerBound(const Cluster& cluster, const Model& token_model, const Plan& plan,
                                           const ProofLimits& limits) {
  absl::Status status = ValidateCluster(cluster);
  if (status.ok()) status = ValidateModel(token_model);
  if (!status.ok()) return status;
  const Model model = ForObjective(token_model, plan.objective);
  const absl::StatusOr<std::vector<uint64_t>> memory = GroupMemory(cluster, model);
  if (!memory.ok()) return memory.status();
  const std::vector<DeviceRef> devices = ListDevices(cluster);

  const SectionKinds kinds = KindsOf(model);
  std::vector<SectionProblem> problems;
  for (const size_t first : kinds.first)
    problems.emplace_back(cluster, devices, model.sections[first], *memory);
  ColumnProgram master(kinds.counts, *memory);
  for (size_t i = 0; i < kinds.of_section.size(); ++i) {
    const size_t kind = kinds.of_section[i];
    master.Add(kind, ExpectedSplit(cluster, devices, model.sections[i], plan.assignment[i]));
  }

  LowerBound bound;
  double sections_us = 0;                         // the highest bound so far
  std::vector<double> prices(devices.size(), 0);  // first: as if memory were no matter
  for (uint32_t round = 0; round < limits.rounds; ++round) {
    double lowest_us = 0;
    for (size_t d = 0; d < devices.size(); ++d) lowest_us -= prices[d] * static_cast<double>((*memory)[d]);
    bool any_new = false;
    for (size_t kind = 0; kind < problems.size(); ++kind) {
      const SectionProblem::Solution solution = problems[kind].Solve(prices, limits.nodes_per_problem);
      lowest_us += kinds.counts[kind] * solution.lowest_us;
      any_new |= solution.best && master.Add(kind, *solution.best);
      ++bound.problems;
      bound.unfinished += solution.finished ? 0 : 1;
    }
    sections_us = std::max(sections_us, lowest_us);
    const double reached_us = master.Solve();
    if (!any_new || sections_us >= reached_us * (1 - limits.gap)) break;
    prices = master.Prices();
  }
  bound.total_us = plan.step_time.leader_us + sections_us;
  return bound;
}

}  // namespace hearth::placement
