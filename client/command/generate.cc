#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/interrupt.h"
#include "client/command/proto_json.h"

namespace hearth {
namespace {

void PrintNow(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Shows a generation while it runs; `text` gets all of it.
absl::StatusOr<v1::Finished> Show(Client& client, const v1::GenerateRequest& request, absl::Duration timeout,
                                  bool json, std::string& text) {
  const auto stream = client.StartGenerate(request, timeout);
  const Interrupt::Handler on_interrupt([&] { stream->Cancel(); });
  v1::Finished finished;
  while (const auto event = stream->Next()) {
    if (json) PrintNow(ToJsonLine(*event) + "\n");
    if (!json) PrintNow(event->delta().text());
    text += event->delta().text();
    if (event->has_finished()) finished = event->finished();
  }
  if (!json && !text.ends_with('\n')) PrintNow("\n");
  if (absl::Status status = stream->Finish(); !status.ok()) return status;
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
  std::string line;
  for (;;) {
    if (terminal) std::fprintf(stderr, "> ");
    if (!std::getline(std::cin, line)) return absl::OkStatus();
    if (line.empty()) continue;
    if (line == "/clear") {
      transcript.Clear();
      continue;
    }
    const size_t before = transcript.text().size();
    transcript.User(line);
    request.set_text(transcript.text());
    std::string answer;
    const auto finished = Show(client, request, absl::InfiniteDuration(), options.json, answer);
    if (!finished.ok() && !absl::IsCancelled(finished.status())) {
      transcript.RestoreTo(before);
      if (!terminal || !absl::IsOutOfRange(finished.status())) return finished.status();
      std::fprintf(stderr, "The conversation has become too long for the model; begin anew with /clear.\n");
      continue;
    }
    transcript.Assistant(answer);
    if (finished.ok()) std::fprintf(stderr, "%s\n", SummaryText(*finished).c_str());
  }
}

}  // namespace hearth
