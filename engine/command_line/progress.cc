#include "engine/command_line/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

int TerminalColumns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

}  // namespace

std::string ProgressBar(uint64_t done, uint64_t total, std::string_view text, int columns) {
  constexpr int kWidth = 30;
  const double part =
      total == 0 ? 0 : static_cast<double>(std::min(done, total)) / static_cast<double>(total);
  const int filled = static_cast<int>(part * kWidth);
  std::string bar = absl::StrCat("[", std::string(filled, '#'), std::string(kWidth - filled, '.'), "]",
                                 absl::StrFormat(" %3.0f %%", 100 * part));
  if (!text.empty()) absl::StrAppend(&bar, "  ", AbslView(text));
  const auto width = static_cast<size_t>(std::max(columns, 0));
  return Printable(bar, width).substr(0, width);
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
  if (shown_) std::fprintf(stderr, "\r\x1b[K");
}

void ProgressLine::Show(uint64_t done, uint64_t total, std::string_view text) {
  if (!terminal_) return;
  shown_ = true;
  std::fprintf(stderr, "\r\x1b[K%s", ProgressBar(done, total, text, TerminalColumns()).c_str());
  std::fflush(stderr);
}

}  // namespace hearth
