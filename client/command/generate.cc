#include <cstdio>
#include <string>

#include "client/command/answer.h"
#include "client/command/commands.h"
#include "client/command/display.h"

namespace hearth {

absl::Status RunGenerate(Client& client, const GenerateOptions& options) {
  std::string text;
  const auto stream =
      client.StartGenerate(options.request, options.timeout.value_or(absl::InfiniteDuration()));
  const auto finished = ShowAnswer(*stream, options.json ? AnswerStyle::kJson : AnswerStyle::kText, text);
  if (finished.ok()) std::fprintf(stderr, "%s\n", SummaryText(*finished).c_str());
  return finished.status();
}

}  // namespace hearth
