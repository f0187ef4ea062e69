// Runs every model of the reference pack, and every fixture of the project's own, and prints a table: how far
// its logits are from the reference's, and whether its greedy continuations are the same. Where there is no
// pack the fixtures run alone. Exits with 1 when a model fails, 77 (skipped) without the instruction set
// asked for.
//
// Which tolerance applies: models whose activations stay float32 (float32 arithmetic, or unquantised weights)
// are held to f32_activations; with fast arithmetic, quantised weights meet activations in 8-bit blocks:
// rounded_activations. Continuations must be those of the high precision run. Rounded activations decide a
// race between two logits that are closer than rounding moves them either way, so there only the clear races
// count (IsClearRace).
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/types.h"
#include "hwy/targets.h"
#include "tests/conformance/model_runner.h"
#include "tests/conformance/reference.h"
#include "tests/support/conformance_pack.h"

namespace hearth {
namespace {

constexpr int kSkipped = 77;

struct Options {
  LocalDeviceCounts devices;
  int threads = 0;
  uint32_t chunk = 512;
  Arithmetic arithmetic = Arithmetic::kFloat32;
};

struct Verdict {
  LogitDifference difference;
  bool rounded = false;
  size_t continuations = 0;
  size_t same_continuations = 0;
  std::string failure;  // empty: passed
};

bool HasQuantisedWeights(const GgufFile& file) {
  for (const GgufTensor& tensor : file.tensors()) {
    if (GetTypeInfo(tensor.type).block_values > 1) return true;
  }
  return false;
}

std::string CheckTolerance(const LogitDifference& difference, const ReferenceTolerance& tolerance) {
  if (!(difference.max_abs <= tolerance.max_abs)) return "max abs";
  if (tolerance.rms > 0 && !(difference.rms <= tolerance.rms)) return "rms";
  if (tolerance.kl_mean > 0 && !(difference.kl_mean <= tolerance.kl_mean)) return "KL";
  return "";
}

// Whether rounding leaves the reference its choices: high precision makes the same ones, none of them
// narrowly. The pack promises 0.05 for models/; one value on a rounding border moves logits by more than
// that.
bool IsClearRace(const ReferencePrompt& prompt) {
  constexpr double kClearGap = 0.05;
  return prompt.greedy == prompt.greedy_hp && prompt.min_gap >= kClearGap;
}

absl::StatusOr<Verdict> RunModel(const ReferenceModel& reference, const Options& options, ThreadPool& pool) {
  RunOptions run;
  run.devices = options.devices;
  run.chunk = options.chunk;
  run.arithmetic = options.arithmetic;
  run.context_length = reference.context_length;
  run.rope_scaling = reference.rope_scaling;
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(reference.file.string()));
  if (file->is_powerinfer()) run.sparsity = SparsityMode::kPredicted;
  HEARTH_ASSIGN_OR_RETURN(ModelRunner runner, ModelRunner::Open(reference.file.string(), run, pool));

  Verdict verdict;
  verdict.rounded = options.arithmetic == Arithmetic::kFast && HasQuantisedWeights(*file);
  HEARTH_ASSIGN_OR_RETURN(const std::vector<float> logits, runner.Evaluate(reference.prompts[0].tokens));
  if (logits.size() != reference.logits.values.size())
    return absl::InternalError("the vocabularies differ in size");
  verdict.difference = CompareLogits(reference.logits, logits);
  verdict.failure = CheckTolerance(
      verdict.difference, verdict.rounded ? reference.rounded_activations : reference.f32_activations);
  for (const ReferencePrompt& prompt : reference.prompts) {
    if (prompt.greedy.empty() || (verdict.rounded && !IsClearRace(prompt))) continue;
    HEARTH_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                            runner.Continue(prompt.tokens, prompt.greedy.size()));
    ++verdict.continuations;
    if (tokens == prompt.greedy_hp) {
      ++verdict.same_continuations;
    } else if (verdict.failure.empty()) {
      verdict.failure = "continuation";
    }
  }
  return verdict;
}

void PrintRow(const std::string& name, const Verdict& verdict) {
  const LogitDifference& d = verdict.difference;
  std::printf("%-28s %9.2e %9.2e %9.2e %6.1f %% %4zu/%zu  %-7s %s\n", name.c_str(), d.max_abs, d.rms,
              d.kl_mean, 100 * d.argmax_agreement, verdict.same_continuations, verdict.continuations,
              verdict.rounded ? "rounded" : "f32",
              verdict.failure.empty() ? "ok" : ("FAILED: " + verdict.failure).c_str());
}

// The number of models that fail.
int RunModels(const std::vector<absl::StatusOr<ReferenceModel>>& models, const Options& options) {
  ThreadPool pool(options.threads);
  int failures = 0;
  std::printf("%-28s %9s %9s %9s %8s %6s  %-7s %s\n", "model", "max abs", "rms", "KL", "argmax", "greedy",
              "limit", "verdict");
  for (const absl::StatusOr<ReferenceModel>& model : models) {
    const absl::StatusOr<Verdict> verdict =
        model.ok() ? RunModel(*model, options, pool) : absl::StatusOr<Verdict>(model.status());
    if (verdict.ok()) PrintRow(model->name, *verdict);
    if (!verdict.ok())
      std::printf("%-28s FAILED: %s\n", model.ok() ? model->name.c_str() : "",
                  verdict.status().ToString().c_str());
    failures += verdict.ok() && verdict->failure.empty() ? 0 : 1;
  }
  std::printf("%zu of %zu models pass\n", models.size() - static_cast<size_t>(failures), models.size());
  return models.empty() ? 1 : failures;
}

// Lets the kernels use one instruction set alone, by Highway's name for it. False if this machine lacks it.
bool UseOnly(const std::string& name) {
  for (int64_t targets = hwy::SupportedTargets() & HWY_TARGETS; targets != 0; targets &= targets - 1) {
    const int64_t target = targets & -targets;
    if (name != hwy::TargetName(target)) continue;
    hwy::SetSupportedTargetsForTest(target);
    return true;
  }
  return false;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  hearth::Options options;
  std::string pack = hearth::ConformancePack().string();
  std::string fixtures = "tests/engine/model/fixtures";
  std::string filter;
  size_t every = 1;
  CLI::App app("Compares Hearth with reference logits, model by model");
  app.add_option("--pack", pack, "folder of the pack");
  app.add_option("--fixtures", fixtures, "folder of the project's own small models");
  app.add_option("--filter", filter, "only models with this in their name");
  app.add_option("--every", every, "of the pack every so-manieth of them alone")->check(CLI::PositiveNumber);
  app.add_option("--devices", options.devices.cpus, "CPUs that share the model")->check(CLI::PositiveNumber);
  app.add_option("--gpus", options.devices.gpus, "GPUs that share it with them, emulated ones unless --cuda");
  app.add_flag_callback(
      "--cuda", [&] { options.devices.gpu_kind = hearth::gpu::GpuKind::kCuda; },
      "CUDA's first device, for all of them");
  app.add_flag("--gpus-alone", options.devices.gpus_alone, "leave CPUs what GPUs cannot compute");
  app.add_option("--threads", options.threads, "threads; 0: as many as there are cores");
  app.add_option("--chunk", options.chunk, "prompt tokens evaluated at once")->check(CLI::Range(1, 512));
  app.add_option("--arithmetic", options.arithmetic, "float32 or fast")
      ->transform(CLI::CheckedTransformer(std::map<std::string, hearth::Arithmetic>{
          {"float32", hearth::Arithmetic::kFloat32}, {"fast", hearth::Arithmetic::kFast}}));
  std::string target;
  app.add_option("--target", target, "use this instruction set alone: AVX3_DL, AVX3, AVX2, SSE4, SCALAR");
  CLI11_PARSE(app, argc, argv);
  if (!target.empty() && !hearth::UseOnly(target)) {
    std::printf("skipped: this machine does not have the instruction set %s\n", target.c_str());
    return hearth::kSkipped;
  }
  return hearth::RunModels(hearth::ReadModels(pack, fixtures, filter, every), options) == 0 ? 0 : 1;
}
