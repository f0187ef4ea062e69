#ifndef HEARTH_DAEMON_MODEL_TOOL_COMMAND_H_
#define HEARTH_DAEMON_MODEL_TOOL_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>

#include "absl/status/status.h"

// hearth-model: everything about a model file without a daemon. Each command is one file with one function
// below, which adds the command to the command line; when it is chosen, its work becomes `job`.
namespace hearth::model_tool {

// Writes its result to stdout; an error becomes one line on stderr and a non-zero exit code.
using Job = std::function<absl::Status()>;

// Each adds its command to the program; when it is chosen `job` becomes its work.
void AddInspect(CLI::App& app, Job& job);
void AddTokenize(CLI::App& app, Job& job);
void AddLogits(CLI::App& app, Job& job);
void AddGenerate(CLI::App& app, Job& job);
void AddPerplexity(CLI::App& app, Job& job);
void AddEmbed(CLI::App& app, Job& job);
void AddBench(CLI::App& app, Job& job);
void AddProfile(CLI::App& app, Job& job);
void AddQuantize(CLI::App& app, Job& job);
void AddPack(CLI::App& app, Job& job);
void AddPlan(CLI::App& app, Job& job);
void AddRender(CLI::App& app, Job& job);

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_COMMAND_H_
