#include <cstdio>
#include <memory>
#include <string>

#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/proto_json.h"
#include "engine/command_line/program.h"
#include "engine/command_line/progress.h"

namespace hearth {
namespace {

// Shows progress on stderr: a bar that moves on a terminal, else a line whenever something else is being
// done.
class Progress {
 public:
  void Show(const v1::ModelStatus& model) {
    if (line_.on_terminal()) {
      line_.Show(model.bytes_done(), model.bytes_total(), LoadingText(model));
    } else if (model.detail() != last_detail_) {
      std::fprintf(stderr, "%s\n", ModelLine(model).c_str());
      last_detail_ = model.detail();
    }
  }

 private:
  ProgressLine line_;
  std::string last_detail_;
};

}  // namespace

absl::Status RunLoad(Client& client, const v1::LoadModelRequest& request, bool json) {
  absl::Status printed;
  auto progress = std::make_unique<Progress>();
  const auto loaded = client.LoadModel(request, [&](const v1::ModelStatus& model) {
    if (!json) progress->Show(model);
    if (json && printed.ok()) printed = Print(ToJsonLine(model) + "\n");
  });
  progress.reset();
  if (!loaded.ok()) return loaded.status();
  return json ? printed : Print(ModelLine(*loaded) + "\n");
}

absl::Status RunUnload(Client& client, const std::string& name, bool json) {
  absl::Status status = client.UnloadModel(name);
  return status.ok() && json ? Print("{}\n") : status;
}

}  // namespace hearth
