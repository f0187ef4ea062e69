#include "placement/plan.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/session.h"
#include "daemon/objective_flag.h"
#include "daemon/planning/cluster_file.h"
#include "daemon/planning/model_description.h"
#include "daemon/planning/plan_output.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/flags.h"
#include "engine/command_line/program.h"
#include "engine/model/decoder.h"
#include "engine/model/model.h"
#include "engine/neuron/profile_file.h"
#include "placement/explain.h"
#include "placement/lower_bound.h"
#include "placement/objective.h"
#include "placement/units.h"

namespace hearth::model_tool {
namespace {

struct PlanFlags {
  std::string cluster_path;
  std::string model_path;
  std::string profile_path;
  std::vector<AdapterSource> adapters;
  std::string sparsity;
  std::string kv_type = "f16";
  uint32_t context = 0;    // 0: what the model was trained for, at most kUsualContext
  uint32_t sequences = 0;  // 0: as many as the objective has streams
  placement::Objective objective;
  bool use_every_host = false;
  uint32_t stages = 1;
  bool keep_attention = false;
  bool prove = false;
  bool json = false;
};

std::string ProofSentence(const placement::LowerBound& bound, const placement::Plan& plan) {
  std::string sentence =
      absl::StrFormat("No plan takes less than %s per %s: this one is within %.1f %% of the best there is",
                      placement::FormatTime(bound.total_us), placement::NameOfStep(plan.objective),
                      100 * (plan.step_time.total_us / bound.total_us - 1));
  if (bound.unfinished > 0) {
    absl::StrAppendFormat(&sentence, "; %d of %d searches were given up, so the best may be nearer",
                          bound.unfinished, bound.problems);
  }
  return sentence + ".";
}

absl::StatusOr<uint32_t> SequencesFor(const PlanFlags& flags) {
  const bool together = flags.objective.kind == placement::ObjectiveKind::kThroughput;
  const uint32_t streams = together ? flags.objective.rows : 1;
  if (flags.sequences == 0 || flags.sequences >= streams) return std::max(flags.sequences, streams);
  return absl::InvalidArgumentError(absl::StrFormat("--objective %s takes --sequences %d or more",
                                                    placement::ObjectiveText(flags.objective), streams));
}

absl::Status MakeAndPrintPlan(const PlanFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t sequences, SequencesFor(flags));
  HEARTH_ASSIGN_OR_RETURN(const placement::Cluster cluster, ReadClusterFile(flags.cluster_path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.model_path));
  ModelOptions options;
  HEARTH_ASSIGN_OR_RETURN(options.profile, FindProfile(flags.profile_path, *file));
  HEARTH_ASSIGN_OR_RETURN(options.adapter, OpenAdapters(flags.adapters, *file));
  HEARTH_ASSIGN_OR_RETURN(options.sparsity, ChooseSparsity(flags.sparsity, *file, options));
  HEARTH_ASSIGN_OR_RETURN(options.context_length, ChooseContext(flags.context, kUsualContext, *file));
  HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(*file, options));

  ModelFlags kv_flags;
  kv_flags.kv_type = flags.kv_type;
  HEARTH_ASSIGN_OR_RETURN(const placement::Model model,
                          DescribeModel(outline, {.sequences = sequences,
                                                  .context_length = options.context_length,
                                                  .kv_type = kv_flags.kv()}));
  HEARTH_ASSIGN_OR_RETURN(placement::Plan plan,
                          placement::MakePlan(cluster, model,
                                              {.objective = flags.objective,
                                               .use_every_host = flags.use_every_host,
                                               .stages = flags.stages,
                                               .keep_attention = flags.keep_attention}));
  std::optional<double> lower_bound_us;
  if (flags.prove) {
    HEARTH_ASSIGN_OR_RETURN(const placement::LowerBound bound,
                            placement::ProveLowerBound(cluster, model, plan));
    lower_bound_us = bound.total_us;
    plan.explanation.push_back(ProofSentence(bound, plan));
  }
  return Print(flags.json ? PlanToJson(cluster, plan, lower_bound_us) + "\n" : PlanToText(cluster, plan));
}

}  // namespace

void AddPlan(CLI::App& app, Job& job) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = app.add_subcommand("plan", "plans a model for a described cluster, without machines");
  command->footer(std::string(ClusterFileHelp()));
  command->add_option("--cluster", flags->cluster_path, "the description of the cluster, see below")
      ->required();
  command->add_option("--model", flags->model_path, "the model file")->required();
  AddProfileFlag(*command, flags->profile_path);
  AddLoraFlag(*command, flags->adapters);
  command->add_option("--sparsity", flags->sparsity, "as for logits")
      ->check(CLI::IsMember({"dense", "exact", "predicted"}));
  command->add_option("--kv-type", flags->kv_type, "type of cached keys and values")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
      ->capture_default_str();
  AddContextFlag(*command, flags->context, "positions per sequence");
  AddWholeNumber(*command, "--sequences", flags->sequences,
                 "sequences that can be in flight; default: as many as the objective has streams", 1u, 65536u,
                 /*show_default=*/false);
  AddObjective(*command, flags->objective);
  command->add_flag("--use-every-host", flags->use_every_host,
                    "give every host a share even if that is slower");
  AddWholeNumber(*command, "--stages", flags->stages,
                 "hosts that lead consecutive layers each, in place of sharing every layer", 1u, 256u);
  command->add_flag(
      "--keep-attention", flags->keep_attention,
      "give other hosts neurons only: attention, its cache and the output head stay with the leader");
  command->add_flag("--prove", flags->prove,
                    "prove how much faster a plan could be at most; may take minutes");
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &job] { job = [flags] { return MakeAndPrintPlan(*flags); }; });
}

}  // namespace hearth::model_tool
