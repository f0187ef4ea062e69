#ifndef HEARTH_ENGINE_COMMAND_LINE_PROGRAM_H_
#define HEARTH_ENGINE_COMMAND_LINE_PROGRAM_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hearth {

// How Hearth's programs begin, print and end. An error is one line on stderr, "PROGRAM: what is wrong and
// what to do", and an exit code; stdout gets results alone.

inline constexpr int kFailureExit = 1;        // what was asked for could not be done
inline constexpr int kUsageExit = 2;          // the command line itself is wrong
inline constexpr int kInterruptedExit = 130;  // by Ctrl-C, as shells report it

// The first thing in main: standard streams that are closed are filled, so that no file or socket takes their
// place, and writing past a limit of the file's size becomes an error instead of a signal.
void BeginProgram();

// Reads the arguments. An exit code where there is nothing more to do: --help and --version were printed, or
// the arguments are wrong and a line says so.
std::optional<int> ParseArguments(CLI::App& app, int argc, const char* const* argv);

// Writes `text` to standard output at once. An error says why it cannot be written: end the command with it.
absl::Status Print(std::string_view text);

// All of standard input; an error where it cannot be read.
absl::StatusOr<std::string> ReadStandardInput();
// The next line of standard input without its line feed; nullopt at the end.
absl::StatusOr<std::optional<std::string>> ReadStandardInputLine();

// The exit code for `status`. What is not OK becomes a line on stderr; CANCELLED is Ctrl-C.
int EndProgram(std::string_view program, const absl::Status& status, int failure_exit = kFailureExit);

}  // namespace hearth

#endif  // HEARTH_ENGINE_COMMAND_LINE_PROGRAM_H_
