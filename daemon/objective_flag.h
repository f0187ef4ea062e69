#ifndef HEARTH_DAEMON_OBJECTIVE_FLAG_H_
#define HEARTH_DAEMON_OBJECTIVE_FLAG_H_

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/command_line/flags.h"
#include "placement/objective.h"

namespace hearth {

// Adds --objective, which sets `target`.
inline CLI::Option* AddObjective(CLI::App& app, placement::Objective& target) {
  return AddParsed(
             app, "--objective", "OBJECTIVE",
             [&target](const std::string& text) {
               const absl::StatusOr<placement::Objective> objective = placement::ParseObjective(text);
               if (objective.ok()) target = *objective;
               return objective.status();
             },
             "What plans are to make fast: latency (of one stream), throughput:N (of N streams together) or "
             "prompt:N (reading prompts, N tokens at a time; prompt: 512)")
      ->default_str(placement::ObjectiveText(target));
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_OBJECTIVE_FLAG_H_
