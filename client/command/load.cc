#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/proto_json.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

int TerminalColumns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

// Shows progress on stderr: a bar that moves on a terminal, else a line whenever something else is being
// done.
class Progress {
 public:
  void Show(const v1::ModelStatus& model) {
    if (terminal_) {
      std::fprintf(stderr, "\r\x1b[K%s", ProgressBar(model, TerminalColumns()).c_str());
      std::fflush(stderr);
    } else if (model.detail() != last_detail_) {
      std::fprintf(stderr, "%s\n", ModelLine(model).c_str());
      last_detail_ = model.detail();
    }
  }
  void End() {
    if (terminal_) std::fprintf(stderr, "\r\x1b[K");
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::string last_detail_;
};

}  // namespace

absl::Status RunLoad(Client& client, const v1::LoadModelRequest& request, bool json) {
  Progress progress;
  absl::Status printed;
  const auto loaded = client.LoadModel(request, [&](const v1::ModelStatus& model) {
    if (!json) progress.Show(model);
    if (json && printed.ok()) printed = Print(ToJsonLine(model) + "\n");
  });
  if (!json) progress.End();
  if (!loaded.ok()) return loaded.status();
  return json ? printed : Print(ModelLine(*loaded) + "\n");
}

absl::Status RunUnload(Client& client, const std::string& name, bool json) {
  absl::Status status = client.UnloadModel(name);
  return status.ok() && json ? Print("{}\n") : status;
}

}  // namespace hearth
