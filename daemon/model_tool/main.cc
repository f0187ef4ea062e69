// The command hearth-model. DESIGN.md's table of commands is its contract.

#include <CLI/CLI.hpp>
#include <new>
#include <optional>

#include "daemon/model_tool/command.h"
#include "engine/command_line/program.h"

namespace hearth::model_tool {
namespace {

constexpr char kName[] = "hearth-model";

absl::Status RunJob(const Job& job) {
  try {
    return job();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory; use a shorter context or a smaller model");
  }
}

int Main(int argc, char** argv) {
  BeginProgram();
  CLI::App app("Everything about a model file without a daemon.", kName);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("hearth-model " HEARTH_VERSION));
  Job job;
  AddInspect(app, job);
  AddTokenize(app, job);
  AddLogits(app, job);
  AddGenerate(app, job);
  AddPerplexity(app, job);
  AddEmbed(app, job);
  AddBench(app, job);
  AddProfile(app, job);
  AddQuantize(app, job);
  AddPack(app, job);
  AddPlan(app, job);
  AddRender(app, job);
  if (const std::optional<int> exit_code = ParseArguments(app, argc, argv)) return *exit_code;
  return EndProgram(kName, RunJob(job));
}

}  // namespace
}  // namespace hearth::model_tool

int main(int argc, char** argv) { return hearth::model_tool::Main(argc, argv); }
