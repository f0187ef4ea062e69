// Runs every model of the reference pack and every fixture on two hosts, each a daemon of its own, and
// compares what they generate, token by token with its log probabilities, with what one device of one process
// computes (which conformance_run compares with the reference): the same bits. With GPUs, whose order of sums
// in float32 is another, within --tolerance. Exits with 1 when a model fails.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "engine/base/output_file.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"
#include "engine/sample/sampler.h"
#include "tests/cluster/daemon_process.h"
#include "tests/conformance/model_runner.h"
#include "tests/conformance/reference.h"
#include "tests/support/conformance_pack.h"
#include "tests/support/with_vocabulary.h"

namespace hearth {
namespace {

constexpr uint32_t kTopLogprobs = 5;

struct Flags {
  std::string pack = ConformancePack().string();
  std::string fixtures = "tests/engine/model/fixtures";
  std::string filter;
  Arithmetic arithmetic = Arithmetic::kFast;
  std::string sparsity = "auto";
  size_t every = 1;
  uint32_t tokens = 8;
  double tolerance = 0;  // of log probabilities
  std::vector<std::string> coordinator_devices = {"cpu,memory=1GiB,threads=1"};
  std::vector<std::string> worker_devices = {"cpu,memory=1GiB,threads=1"};
};

struct Step {
  int32_t token;
  float logprob;
  std::vector<TokenLogprob> top;
};

// What a model had on the worker.
struct Shared {
  bool neurons = false, heads = false, output = false;
};

struct Verdict {
  std::string skipped;  // why a daemon does not take the model
  std::string failure;  // empty: the same
  std::string sparsity;
  Shared shared;
  double difference = 0;  // the largest of log probabilities
};

class Hosts {
 public:
  explicit Hosts(const Flags& flags) : flags_(flags) {}

  Client& client() { return client_; }
  // The model's file, or a copy of it that has what a daemon wants: the fixtures have no vocabulary.
  absl::StatusOr<std::string> WithAVocabulary(const ReferenceModel& reference) const {
    HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(reference.file.string()));
    if (file->metadata().Has("tokenizer.ggml.model"))
      return std::filesystem::absolute(reference.file).string();
    HEARTH_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, WithVocabulary(*file));
    const std::string path = absl::StrCat(folder_.path(), "/", reference.name, ".gguf");
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    HEARTH_RETURN_IF_ERROR(WriteFile(path, text, Replace::kRegularFile));
    return path;
  }
  // The worker's part of the active plan.
  absl::StatusOr<Shared> WorkersPart(const std::string& model) {
    HEARTH_ASSIGN_OR_RETURN(const v1::PlanStatus plan, client_.GetPlan(model));
    Shared shared;
    for (const v1::DeviceShare& share : plan.shares()) {
      if (share.host() != "worker") continue;
      for (const uint64_t neurons : share.neurons()) shared.neurons |= neurons > 0;
      shared.heads |= share.head_groups() > 0;
      shared.output |= share.output_runs() > 0;
    }
    return shared;
  }

 private:
  std::vector<std::string> CoordinatorArguments() const {
    return WithDevices(
        flags_.coordinator_devices,
        {"--use-every-host", "--context", "512", "--slots", "1", "--kv-type", "f32", "--sparsity",
         flags_.sparsity, "--arithmetic", flags_.arithmetic == Arithmetic::kFast ? "fast" : "float32"});
  }
  static std::vector<std::string> WithDevices(const std::vector<std::string>& devices,
                                              std::vector<std::string> arguments) {
    for (const std::string& device : devices) arguments.insert(arguments.end(), {"--device", device});
    return arguments;
  }

  const Flags& flags_;
  TemporaryFolder folder_;
  DaemonProcess coordinator_{folder_.path(), "coordinator", CoordinatorArguments()};
  DaemonProcess worker_{folder_.path(), "worker",
                        WithDevices(flags_.worker_devices, {"--join", coordinator_.address()})};
  Client client_{coordinator_.address()};
};

absl::StatusOr<std::vector<Step>> Generate(Client& client, const std::string& model,
                                           const std::vector<int32_t>& prompt, uint32_t tokens) {
  v1::GenerateRequest request;
  request.set_model(model);
  for (const int32_t token : prompt) request.mutable_tokens()->add_ids(token);
  request.set_max_tokens(tokens);
  request.set_ignore_eos(true);
  request.set_logprobs(kTopLogprobs);
  request.mutable_sampling()->set_temperature(0);
  std::vector<Step> steps;
  const auto finished = client.Generate(request, [&](const v1::GenerateResponse& event) {
    for (const v1::TokenLogprobs& logprobs : event.delta().logprobs()) {
      Step& step = steps.emplace_back(Step{logprobs.chosen().token(), logprobs.chosen().logprob(), {}});
      for (const v1::TokenLogprob& top : logprobs.top()) step.top.push_back({top.token(), top.logprob()});
    }
  });
  if (!finished.ok()) return finished.status();
  return steps;
}

// The same tokens by one device of this process, and what it would choose: `steps` are right when these are
// the same.
absl::StatusOr<std::vector<Step>> Expected(ModelRunner& runner, const std::vector<int32_t>& prompt,
                                           const std::vector<Step>& steps) {
  std::vector<int32_t> all = prompt;
  for (const Step& step : steps) all.push_back(step.token);
  HEARTH_ASSIGN_OR_RETURN(const std::vector<float> logits, runner.Evaluate(all, prompt.size()));
  const size_t vocabulary = runner.model().spec().n_vocab;
  std::vector<Step> expected;
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto row = absl::MakeConstSpan(logits).subspan((prompt.size() + i - 1) * vocabulary, vocabulary);
    const auto best = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    expected.push_back({best, LogprobOf(row, best), TopLogprobs(row, kTopLogprobs)});
  }
  return expected;
}

// The largest difference of log probabilities; infinity where tokens differ.
double Difference(const std::vector<Step>& a, const std::vector<Step>& b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].token != b[i].token || a[i].top.size() != b[i].top.size()) return INFINITY;
    most = std::max(most, std::fabs(static_cast<double>(a[i].logprob) - b[i].logprob));
    for (size_t t = 0; t < a[i].top.size(); ++t) {
      const TokenLogprob &x = a[i].top[t], &y = b[i].top[t];
      most = std::max(most, std::fabs(static_cast<double>(x.logprob) - y.logprob));
    }
  }
  return most;
}

SparsityMode ModeCalled(const std::string& name) {
  for (const SparsityMode mode : {SparsityMode::kExact, SparsityMode::kPredicted}) {
    if (name == SparsityModeName(mode)) return mode;
  }
  return SparsityMode::kDense;
}

absl::StatusOr<Verdict> RunModel(const ReferenceModel& reference, const Flags& flags, Hosts& hosts,
                                 ThreadPool& pool) {
  Verdict verdict;
  v1::LoadModelRequest load;
  HEARTH_ASSIGN_OR_RETURN(const std::string path, hosts.WithAVocabulary(reference));
  load.set_path(path);
  load.set_name(reference.name);
  const auto loaded = hosts.client().LoadModel(load, [](const v1::ModelStatus&) {});
  if (!loaded.ok()) {
    verdict.skipped = std::string(loaded.status().message());
    (void)hosts.client().UnloadModel(reference.name);
    return verdict;
  }
  verdict.sparsity = loaded->sparsity();
  const std::vector<int32_t>& prompt = reference.prompts[0].tokens;
  RunOptions run;
  run.arithmetic = flags.arithmetic;
  run.sparsity = ModeCalled(loaded->sparsity());
  run.context_length = static_cast<uint32_t>(loaded->context_length());
  const uint32_t tokens =
      std::min<uint32_t>(flags.tokens, run.context_length - static_cast<uint32_t>(prompt.size()));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Step> steps,
                          Generate(hosts.client(), reference.name, prompt, tokens));
  HEARTH_ASSIGN_OR_RETURN(ModelRunner runner, ModelRunner::Open(reference.file.string(), run, pool));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Step> expected, Expected(runner, prompt, steps));
  if (steps.size() != tokens) verdict.failure = "too few tokens";
  HEARTH_ASSIGN_OR_RETURN(verdict.shared, hosts.WorkersPart(reference.name));
  HEARTH_RETURN_IF_ERROR(hosts.client().UnloadModel(reference.name));
  verdict.difference = Difference(steps, expected);
  if (!(verdict.difference <= flags.tolerance)) verdict.failure = "not what one device computes";
  return verdict;
}

void PrintRow(const std::string& name, const absl::StatusOr<Verdict>& verdict) {
  if (!verdict.ok()) {
    std::printf("%-28s FAILED: %s\n", name.c_str(), verdict.status().ToString().c_str());
  } else if (!verdict->skipped.empty()) {
    std::printf("%-28s left out: %s\n", name.c_str(), verdict->skipped.c_str());
  } else {
    std::printf("%-28s %-10s %-8s %-6s %-7s %9.2e  %s\n", name.c_str(), verdict->sparsity.c_str(),
                verdict->shared.neurons ? "yes" : "-", verdict->shared.heads ? "yes" : "-",
                verdict->shared.output ? "yes" : "-", verdict->difference,
                verdict->failure.empty() ? "ok" : ("FAILED: " + verdict->failure).c_str());
  }
}

// The number of models that fail.
int RunModels(const Flags& flags) {
  ThreadPool pool(1);
  Hosts hosts(flags);
  if (!AwaitCluster(hosts.client(), [](const auto& status) {
        return status.hosts_size() == 2 && status.hosts(1).state() == v1::HOST_STATE_ALIVE;
      })) {
    std::printf("the second host does not join\n");
    return 1;
  }
  const std::vector<absl::StatusOr<ReferenceModel>> models =
      ReadModels(flags.pack, flags.fixtures, flags.filter, flags.every);
  int failures = 0, left_out = 0;
  std::printf("%-28s %-10s %-8s %-6s %-7s %9s  %s\n", "model", "sparsity", "neurons", "heads", "output",
              "differs", "the worker has which of them, and the verdict");
  for (const absl::StatusOr<ReferenceModel>& model : models) {
    const absl::StatusOr<Verdict> verdict =
        model.ok() ? RunModel(*model, flags, hosts, pool) : absl::StatusOr<Verdict>(model.status());
    PrintRow(model.ok() ? model->name : "", verdict);
    std::fflush(stdout);
    failures += verdict.ok() && verdict->failure.empty() ? 0 : 1;
    left_out += verdict.ok() && !verdict->skipped.empty() ? 1 : 0;
  }
  std::printf("%zu models: %d left out, %d failed\n", models.size(), left_out, failures);
  return models.size() == static_cast<size_t>(left_out) ? 1 : failures;
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Compares what two hosts generate with one process, model by model");
  app.add_option("--pack", flags.pack, "folder of the pack");
  app.add_option("--fixtures", flags.fixtures, "folder of the project's own small models");
  app.add_option("--filter", flags.filter, "only models with this in their name");
  app.add_option("--every", flags.every, "of the pack every so-manieth of them alone")
      ->check(CLI::PositiveNumber);
  app.add_option("--sparsity", flags.sparsity, "as hearthd's");
  app.add_option("--tokens", flags.tokens, "tokens generated for each model")->check(CLI::PositiveNumber);
  app.add_option("--tolerance", flags.tolerance, "of log probabilities; 0: the same bits");
  app.add_option("--coordinator-device", flags.coordinator_devices, "as hearthd's --device");
  app.add_option("--worker-device", flags.worker_devices, "as hearthd's --device");
  app.add_option("--arithmetic", flags.arithmetic, "float32 or fast")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Arithmetic>{{"float32", Arithmetic::kFloat32}, {"fast", Arithmetic::kFast}}));
  CLI11_PARSE(app, argc, argv);
  return RunModels(flags) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc, argv); }
