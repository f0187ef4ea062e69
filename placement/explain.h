#ifndef HEARTH_PLACEMENT_EXPLAIN_H_
#define HEARTH_PLACEMENT_EXPLAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/plan.h"

namespace hearth::placement {

// What the search has found out besides the plan, for the reasons in its explanation.
struct Comparisons {
  // Time per token of the leader's host alone; nullopt when the model does not fit it.
  std::optional<double> alone_us;
  // The same if its first device had all the memory it wants.
  double alone_with_memory_us = 0;
  // Memory that groups may take on the leader's host.
  uint64_t leader_host_bytes = 0;
  // use_every_host only: time per token of the plan that would have been made without it.
  std::optional<double> unforced_us;
  // Per remote host without a share: time per token if it helped as well as it can or, where that is no help
  // at all, held the coldest group of each section; nullopt for the others and where it has no memory for
  // that.
  std::vector<std::optional<double>> with_host_us;
  double margin = 0;  // PlanOptions
};

// The plan in sentences: the expected time and its parts, what each device holds, and for each host why it
// takes part or gets nothing, with the figures. `plan.explanation` is not read.
std::vector<std::string> Explain(const Cluster& cluster, const Model& model, const Plan& plan,
                                 const Comparisons& comparisons);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_EXPLAIN_H_
