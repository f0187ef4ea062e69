#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/interrupt.h"
#include "client/command/proto_json.h"
#include "engine/command_line/program.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

// Shows a generation while it runs; `text` gets all of it. Ends it where nothing more can be shown.
absl::StatusOr<v1::Finished> Show(Client& client, const v1::GenerateRequest& request, absl::Duration timeout,
                                  bool json, std::string& text) {
  const auto stream = client.StartGenerate(request, timeout);
  const Interrupt::Handler on_interrupt([&] { stream->Cancel(); });
  v1::Finished finished;
  absl::Status printed;
  while (const auto event = stream->Next()) {
    printed = Print(json ? ToJsonLine(*event) + "\n" : event->delta().text());
    if (!printed.ok()) return printed;
    text += event->delta().text();
    if (event->has_finished()) finished = event->finished();
  }
  const absl::Status status = stream->Finish();
  // An error before the first character leaves nothing on standard output.
  const bool ends_line = !json && (status.ok() || !text.empty()) && !text.ends_with('\n');
  if (ends_line) printed = Print("\n");
  if (!status.ok()) return status;
  if (!printed.ok()) return printed;
  return finished;
}

// The conversation so far, as the next prompt.
class Transcript {
 public:
  explicit Transcript(bool raw) : raw_(raw) {}

  void User(const std::string& line) { raw_ ? absl::StrAppend(&text_, line) : AddTurn(line); }
  void Assistant(const std::string& answer) { absl::StrAppend(&text_, answer, raw_ ? "" : "\n"); }
  void Clear() { text_.clear(); }
  const std::string& text() const { return text_; }
  void RestoreTo(size_t length) { text_.resize(length); }

 private:
  void AddTurn(const std::string& line) { absl::StrAppend(&text_, "User: ", line, "\nAssistant:"); }

  const bool raw_;
  std::string text_;
};

// One line of the user and its answer. What cannot be asked, such as what the context has no room for, is
// left out of the conversation, which goes on.
absl::Status TakeTurn(Client& client, bool json, const std::string& line, v1::GenerateRequest& request,
                      Transcript& transcript) {
  if (!IsUtf8(line)) {
    std::fprintf(stderr, "not answered: the line is not valid UTF-8\n");
    return absl::OkStatus();
  }
  const size_t before = transcript.text().size();
  transcript.User(line);
  request.set_text(transcript.text());
  std::string answer;
  const auto finished = Show(client, request, absl::InfiniteDuration(), json, answer);
  if (absl::IsOutOfRange(finished.status())) {
    transcript.RestoreTo(before);
    std::fprintf(stderr, "not answered: %s; or begin the conversation anew with /clear\n",
                 Printable(finished.status().message()).c_str());
    return absl::OkStatus();
  }
  if (!finished.ok() && !absl::IsCancelled(finished.status())) return finished.status();
  transcript.Assistant(answer);
  if (finished.ok()) std::fprintf(stderr, "%s\n", SummaryText(*finished).c_str());
  return absl::OkStatus();
}

}  // namespace

absl::Status RunGenerate(Client& client, const GenerateOptions& options) {
  std::string text;
  const auto finished =
      Show(client, options.request, options.timeout.value_or(absl::InfiniteDuration()), options.json, text);
  if (finished.ok()) std::fprintf(stderr, "%s\n", SummaryText(*finished).c_str());
  return finished.status();
}

absl::Status RunChat(Client& client, const ChatOptions& options) {
  const bool terminal = isatty(STDIN_FILENO) != 0;
  Transcript transcript(options.raw);
  v1::GenerateRequest request = options.request;
  if (!options.raw) request.add_stop("\nUser:");
  if (terminal) std::fprintf(stderr, "/clear begins anew, Ctrl-D ends, Ctrl-C stops an answer\n");
  for (;;) {
    if (terminal) std::fprintf(stderr, "> ");
    const auto line = ReadStandardInputLine();
    if (!line.ok() || !line->has_value()) return line.status();
    if ((*line)->empty()) continue;
    if (**line == "/clear") {
      transcript.Clear();
      continue;
    }
    if (absl::Status status = TakeTurn(client, options.json, **line, request, transcript); !status.ok())
      return status;
  }
}

}  // namespace hearth
