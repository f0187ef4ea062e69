#include "daemon/ready_text.h"

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"

namespace hearth {

std::string ReadyText(const std::string& address, const std::string& http,
                      const std::vector<ModelInfo>& models) {
  std::string text = absl::StrCat("hearthd ready on ", address, "\n");
  if (!http.empty()) absl::StrAppend(&text, http, "\n");
  for (const ModelInfo& model : models) {
    const std::string name = Printable(model.name);
    if (model.state == ModelState::kFailed) {
      absl::StrAppend(&text, "model ", name, " cannot be used: ", Printable(model.detail), "\n");
    } else if (model.state != ModelState::kReady) {
      absl::StrAppend(&text, "model ", name, " is still being loaded: `hearth models` shows how far it is\n");
    }
  }
  return text;
}

std::string StatusText(const std::string& address, const std::vector<ModelInfo>& models) {
  const std::string count = models.empty() ? "no" : absl::StrCat(models.size());
  return absl::StrCat("ready on ", address, ", ", count, models.size() == 1 ? " model" : " models");
}

std::string WorkerStatusText(const std::string& address) {
  return absl::StrCat("ready on ", address, ", a worker");
}

}  // namespace hearth
