#include <cstdio>
#include <string>

#include "client/command/answer.h"
#include "client/command/commands.h"
#include "client/command/display.h"

namespace hearth {
namespace {

// What the tokens of a model that leaves neurons out were computed of, as a line; empty where all were
// computed or that cannot be told: the text is there either way.
std::string SkippedText(Client& client, const std::string& name) {
  const absl::StatusOr<v1::ListModelsResponse> models = client.ListModels();
  if (!models.ok()) return "";
  for (const v1::ModelStatus& model : models->models()) {
    if (model.name() != name && (!name.empty() || models->models_size() > 1)) continue;
    if (const std::string line = SparsityLine(model); model.sparsity() != "dense" && !line.empty()) {
      return line + "\n";
    }
  }
  return "";
}

}  // namespace

absl::Status RunGenerate(Client& client, const GenerateOptions& options) {
  std::string text;
  const auto stream =
      client.StartGenerate(options.request, options.timeout.value_or(absl::InfiniteDuration()));
  const auto finished = ShowAnswer(*stream, options.json ? AnswerStyle::kJson : AnswerStyle::kText, text);
  if (finished.ok()) {
    std::fprintf(stderr, "%s\n%s", SummaryText(*finished).c_str(),
                 SkippedText(client, options.request.model()).c_str());
  }
  return finished.status();
}

}  // namespace hearth
