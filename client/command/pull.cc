#include "client/library/pull.h"

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/command/commands.h"
#include "client/command/interrupt.h"
#include "client/library/bytes_text.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/command_line/program.h"
#include "engine/command_line/progress.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBetweenShown{200};

// "1.2 GiB of 4.0 GiB  85.0 MiB/s, 34s", of the file that is being fetched.
class PullLine {
 public:
  void Show(const PullProgress& progress) {
    const DownloadProgress& download = progress.download;
    const Clock::time_point now = Clock::now();
    if (!line_.on_terminal() || now < next_) return;
    next_ = now + kBetweenShown;
    if (progress.file != file_ || download.done_bytes < first_bytes_) {
      file_ = progress.file;
      first_bytes_ = download.done_bytes;
      begun_ = now;
    }
    const double seconds = std::chrono::duration<double>(now - begun_).count();
    std::string text = download.bytes == 0
                           ? "connecting"
                           : absl::StrCat(BytesText(download.done_bytes), " of ", BytesText(download.bytes));
    if (seconds > 1 && download.done_bytes > first_bytes_) {
      const double rate = static_cast<double>(download.done_bytes - first_bytes_) / seconds;
      const double left = static_cast<double>(download.bytes - download.done_bytes) / rate;
      absl::StrAppend(&text, "  ", BytesText(static_cast<uint64_t>(rate)), "/s, ",
                      FormatDuration(absl::Seconds(std::ceil(left))));
    }
    if (progress.files > 1) absl::StrAppend(&text, "  file ", progress.file, " of ", progress.files);
    if (!download.doing.empty()) absl::StrAppend(&text, "  ", AbslView(download.doing));
    line_.Show(download.done_bytes, download.bytes, text);
  }

 private:
  ProgressLine line_;
  size_t file_ = 0;
  uint64_t first_bytes_ = 0;  // that were there when it began
  Clock::time_point begun_;
  Clock::time_point next_;
};

std::string PulledJson(const std::vector<Downloaded>& files) {
  nlohmann::ordered_json json = {{"path", files.front().path}, {"files", nlohmann::ordered_json::array()}};
  for (const Downloaded& file : files) {
    json["files"].push_back(
        {{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}, {"checked", file.checked}});
  }
  return json.dump() + "\n";
}

// The folder that is not named is made where it is not there yet.
absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot make ", folder, ": ", error.message(), "; choose another folder with --to"));
}

}  // namespace

absl::Status RunPull(const PullOptions& options, bool make_folder, bool json) {
  struct stat info;
  if (make_folder) {
    if (absl::Status made = MakeFolder(options.folder); !made.ok()) return made;
  } else if (stat(options.folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat("--to: ", options.folder, " is no folder; make it first"));
  }
  std::atomic<bool> stop = false;
  absl::StatusOr<std::vector<Downloaded>> files = absl::UnknownError("");
  {
    const Interrupt::Handler interrupt([&stop] { stop = true; });
    auto line = std::make_unique<PullLine>();
    files = Pull(options, stop, [&](const PullProgress& progress) { line->Show(progress); });
  }
  if (absl::IsCancelled(files.status()) && !files.status().message().empty()) {
    std::fprintf(stderr, "%s\n", Printable(files.status().message(), kMaxPathBytes).c_str());
  }
  if (!files.ok()) return files.status();
  return Print(json ? PulledJson(*files) : files->front().path + "\n");
}

}  // namespace hearth
