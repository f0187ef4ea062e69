// The command hearth-model. DESIGN.md's table of commands is its contract.

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>

#include "daemon/model_tool/command.h"

namespace {

// Errors of usage and of input are told apart by the exit code.
constexpr int kInputError = 1;
constexpr int kUsageError = 2;

int Fail(int code, std::string message) {
  for (char& c : message) c = c == '\n' ? ' ' : c;
  std::cerr << "hearth-model: " << message << std::endl;
  return code;
}

bool IsCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == name) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Everything about a model file without a daemon.", "hearth-model");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  hearth::model_tool::Job job;
  hearth::model_tool::AddInspect(app, job);
  hearth::model_tool::AddTokenize(app, job);
  hearth::model_tool::AddLogits(app, job);
  hearth::model_tool::AddGenerate(app, job);
  hearth::model_tool::AddPerplexity(app, job);
  hearth::model_tool::AddBench(app, job);
  hearth::model_tool::AddQuantize(app, job);
  hearth::model_tool::AddPlan(app, job);
  if (argc > 1 && argv[1][0] != '-' && !IsCommand(app, argv[1])) {
    return Fail(kUsageError, std::string("unknown command ") + argv[1] + "; see hearth-model --help");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return Fail(kUsageError, std::string(error.what()) + "; see hearth-model --help");
  }
  try {
    const absl::Status status = job();
    if (!status.ok()) return Fail(kInputError, std::string(status.message()));
  } catch (const std::bad_alloc&) {
    return Fail(kInputError, "out of memory; use a shorter context or a smaller model");
  }
  std::cout.flush();
  if (!std::cout) return Fail(kInputError, "the output cannot be written");
  return 0;
}
