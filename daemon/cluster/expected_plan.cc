#include "daemon/cluster/expected_plan.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/planning/model_description.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_device.h"
#include "engine/outline/default_sparsity.h"
#include "engine/outline/model_outline.h"

namespace hearth {
namespace {

absl::StatusOr<ModelOutline> OutlineOf(const GgufFile& file, const ModelFigures& figures,
                                       const NodeOptions& options) {
  ModelOptions model{.arithmetic = options.arithmetic,
                     .context_length = std::min(figures.context, kUsualContext)};
  HEARTH_ASSIGN_OR_RETURN(const SparsityChoice sparsity, DefaultSparsity(file, model));
  model.sparsity = options.sparsity.value_or(sparsity.mode);
  return OutlineModel(file, model);
}

}  // namespace

absl::StatusOr<ExpectedPlan> ExpectPlan(const ModelFigures& figures, const ClusterModelContext& context) {
  const NodeOptions& options = context.options;
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, FileOfFigures(figures));
  const absl::StatusOr<ModelOutline> outline = OutlineOf(*file, figures, options);
  if (!outline.ok()) {
    return absl::Status(outline.status().code(),
                        absl::StrCat("these figures of ", figures.architecture,
                                     " tell of no model that Hearth computes: ", outline.status().message()));
  }
  const DecoderOptions decoder{.sequences = 1,
                               .context_length = outline->options.context_length,
                               .max_rows = options.max_rows,
                               .kv_type = options.kv_type};
  PlanWish wish;  // of no model that there is
  HEARTH_ASSIGN_OR_RETURN(wish.description, DescribeModel(*outline, decoder));
  const PlanKeeper keeper(options.name, options.use_every_host || options.stages > 1);
  const auto gpu_budget = [&](uint64_t bytes) { return GpuDevice::WeightBudget(bytes, *outline, decoder); };
  wish.hosts = keeper.Participants(context.own_capacity(),
                                   keeper.UsableHosts(context.roster->hosts(), absl::Now()), gpu_budget);
  if (!outline->spec.causal) wish.objective = {placement::ObjectiveKind::kPrompt, decoder.context_length};

  absl::StatusOr<ClusterPlan> plan = context.memory->Try(wish, Room::kLeft);
  const bool others_give_way = absl::IsResourceExhausted(plan.status());
  if (others_give_way) plan = context.memory->Try(wish, Room::kMade);
  HEARTH_RETURN_IF_ERROR(plan.status());
  ExpectedPlan expected{.weight_bytes = TensorBytes(*file),
                        .context_length = decoder.context_length,
                        .others_give_way = others_give_way};
  const placement::Expectation step{wish.objective, plan->plan.step_time.total_us};
  expected.tokens_per_second = step.tokens_per_second();
  for (size_t host = 0; host < plan->cluster.hosts.size(); ++host) {
    if (host == 0 || plan->Uses(host)) expected.hosts.push_back(plan->cluster.hosts[host].name);
  }
  return expected;
}

}  // namespace hearth
