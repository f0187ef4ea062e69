#ifndef HEARTH_PLACEMENT_EXPLAIN_H_
#define HEARTH_PLACEMENT_EXPLAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/objective.h"
#include "placement/plan.h"

namespace hearth::placement {

// What the search has found out besides the plan, for the reasons in its explanation: of steps of the
// objective's kind.
struct Comparisons {
  // Time of the leader's host alone; nullopt when the model does not fit it.
  std::optional<double> alone_us;
  // The same if its first device had all the memory it wants.
  double alone_with_memory_us = 0;
  // Memory that groups may take on the leader's host.
  uint64_t leader_host_bytes = 0;
  // use_every_host only: time of the plan that would have been made without it.
  std::optional<double> unforced_us;
  // Per remote host without a share: time if it helped as well as it can or, where that is no help
  // at all, held the coldest group of each section; nullopt for the others and where it has no memory for
  // that.
  std::vector<std::optional<double>> with_host_us;
  double margin = 0;  // PlanOptions
};

// The plan in sentences: the expected time and its parts, what each device holds, for each host why it takes
// part or gets nothing, with the figures, and what other objectives may expect of it. `model` is as steps of
// its objective see it. `plan.explanation` is not read.
std::vector<std::string> Explain(const Cluster& cluster, const Model& model, const Plan& plan,
                                 const Comparisons& comparisons);

// "token", "round" (of one token for each stream) or "chunk" (of a prompt): what times are of.
std::string NameOfStep(const Objective& objective);
// What the plan is for and how long that is expected to take; without a full stop.
std::string StepSentence(const Plan& plan);
// What is expected of steps of the other kinds.
std::string OtherStepsSentence(const Plan& plan);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_EXPLAIN_H_
