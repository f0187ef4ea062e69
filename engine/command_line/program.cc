#include "engine/command_line/program.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/base/absl_view.h"
#include "engine/base/file_descriptor.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr size_t kMaxMessageBytes = 4096;
constexpr char kCannotRead[] = "cannot read standard input";

// Takes the place of a closed stream. Standard output is opened for reading, so that what is printed fails.
void FillIfClosed(int fd, int flags) {
  if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) return;
  const int filler = open("/dev/null", flags);
  if (filler < 0 || filler == fd) return;
  dup2(filler, fd);
  close(filler);
}

// CLI11 says of a word that is no command only that a command is missing, or that the word is not expected.
std::string UsageMessage(const CLI::App& app, const CLI::ParseError& error) {
  const bool wants_command = app.get_require_subcommand_min() > 0 && app.get_subcommands().empty();
  for (const std::string& word : app.remaining()) {
    if (wants_command && !word.starts_with('-')) return absl::StrCat("unknown command ", word);
  }
  return error.what();
}

}  // namespace

void BeginProgram() {
  FillIfClosed(STDIN_FILENO, O_RDONLY);
  FillIfClosed(STDOUT_FILENO, O_RDONLY);
  FillIfClosed(STDERR_FILENO, O_WRONLY);
  std::signal(SIGXFSZ, SIG_IGN);
}

std::optional<int> ParseArguments(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::CallForVersion& version) {
    return EndProgram(app.get_name(), Print(absl::StrCat(version.what(), "\n")));
  } catch (const CLI::Success&) {
    return EndProgram(app.get_name(), Print(app.help()));
  } catch (const CLI::ParseError& error) {
    const std::string message = UsageMessage(app, error);
    return EndProgram(app.get_name(),
                      absl::InvalidArgumentError(absl::StrCat(message, "; see ", app.get_name(), " --help")),
                      kUsageExit);
  }
}

absl::Status Print(std::string_view text) {
  if (WriteAll(STDOUT_FILENO, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}))
    return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot write to standard output");
}

absl::StatusOr<std::string> ReadStandardInput() {
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, kCannotRead);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

absl::StatusOr<std::optional<std::string>> ReadStandardInputLine() {
  std::string line;
  if (std::getline(std::cin, line)) return line;
  if (std::ferror(stdin) != 0) return absl::ErrnoToStatus(errno, kCannotRead);
  return std::nullopt;
}

int EndProgram(std::string_view program, const absl::Status& status, int failure_exit) {
  if (status.ok()) return 0;
  const bool cancelled = absl::IsCancelled(status);
  const std::string message = cancelled ? "cancelled" : absl::StrReplaceAll(status.message(), {{"\n", " "}});
  std::fprintf(stderr, "%s: %s\n", std::string(program).c_str(),
               Printable(message, kMaxMessageBytes).c_str());
  return cancelled ? kInterruptedExit : failure_exit;
}

}  // namespace hearth
