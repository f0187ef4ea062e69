#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/command/answer.h"
#include "client/command/chat_history.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/interrupt.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

constexpr char kHelp[] =
    "/system TEXT  tell the model who it is; without TEXT: no longer\n"
    "/reset        begin the conversation anew\n"
    "/save FILE    write the conversation as JSON\n"
    "/help         this\n"
    "Ctrl-C stops an answer, and at the prompt, twice, the chat; Ctrl-D ends it.\n";

// A message to the person, beside the conversation.
void Note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

// The next line that is typed. At a terminal one Ctrl-C warns, the second ends the command.
absl::StatusOr<std::optional<std::string>> ReadLine(bool terminal) {
  if (!terminal) return ReadStandardInputLine();
  const Interrupt::Handler on_interrupt(
      [] { std::fprintf(stderr, "\nCtrl-C again, or Ctrl-D, ends the chat\n> "); });
  std::fprintf(stderr, "> ");
  return ReadStandardInputLine();
}

// The next line that says something; nullopt at the end.
absl::StatusOr<std::optional<std::string>> ReadTurn(bool terminal) {
  for (;;) {
    auto line = ReadLine(terminal);
    if (!line.ok() || !line->has_value()) return line;
    if ((*line)->empty()) continue;
    if (IsUtf8(**line)) return line;
    Note("not answered: the line is not valid UTF-8");
  }
}

// Says why a turn was left out of the conversation.
void NoteNotAnswered(const absl::Status& status) {
  Note(absl::StrCat("not answered: ", Printable(status.message()),
                    absl::IsOutOfRange(status) ? "; or begin the conversation anew with /reset" : ""));
}

// A conversation with a model.
class ChatSession {
 public:
  ChatSession(Client& client, const ChatOptions& options)
      : client_(client),
        terminal_(isatty(STDIN_FILENO) != 0),
        style_(options.json                 ? AnswerStyle::kJson
               : isatty(STDOUT_FILENO) != 0 ? AnswerStyle::kDimmed
                                            : AnswerStyle::kText),
        request_(options.request) {
    history_.SetSystem(options.system);
  }

  absl::Status Run() {
    if (terminal_) Note("/help lists commands; Ctrl-C stops an answer, Ctrl-D ends the chat");
    for (;;) {
      const auto line = ReadTurn(terminal_);
      if (!line.ok() || !line->has_value()) return line.status();
      if (absl::Status status = Take(ParseChatLine(**line)); !status.ok()) return status;
    }
  }

 private:
  absl::Status Take(const ChatLine& line) {
    switch (line.kind) {
      case ChatLine::Kind::kText:
        return Answer(line.argument);
      case ChatLine::Kind::kSystem:
        history_.SetSystem(line.argument);
        break;
      case ChatLine::Kind::kReset:
        history_.Reset();
        break;
      case ChatLine::Kind::kSave:
        Save(line.argument);
        break;
      case ChatLine::Kind::kHelp:
        std::fputs(kHelp, stderr);
        break;
      case ChatLine::Kind::kUnknown:
        Note(absl::StrCat("unknown command ", Printable(line.argument), "; /help lists those there are"));
        break;
    }
    return absl::OkStatus();
  }

  void Save(const std::string& path) {
    const absl::Status status = path.empty() ? absl::InvalidArgumentError("/save needs the name of a file")
                                             : WriteFile(path, history_.ToJsonText(), Replace::kNever);
    Note(status.ok() ? absl::StrCat("saved ", Printable(path)) : Printable(status.message()));
  }

  // What can be said differently is left out of the conversation, which goes on; other errors end it.
  bool GoesOnAfter(const absl::Status& status) const {
    return absl::IsOutOfRange(status) ||
           (terminal_ && (absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status)));
  }

  absl::Status Answer(const std::string& text) {
    const size_t before = history_.size();
    history_.Add("user", text);
    history_.CopyTo(&request_);
    std::string answer;
    const auto finished = ShowAnswer(*client_.StartChat(request_), style_, answer);
    if (GoesOnAfter(finished.status())) {
      history_.Truncate(before);
      NoteNotAnswered(finished.status());
      return absl::OkStatus();
    }
    if (!finished.ok() && !absl::IsCancelled(finished.status())) return finished.status();
    history_.Add("assistant", answer);
    if (finished.ok()) Note(SummaryText(*finished));
    return absl::OkStatus();
  }

  Client& client_;
  const bool terminal_;
  const AnswerStyle style_;
  v1::ChatRequest request_;
  ChatHistory history_;
};

// With --raw: the model goes on from what was typed and what it wrote, one after the other.
absl::Status RunRawChat(Client& client, const ChatOptions& options) {
  const bool terminal = isatty(STDIN_FILENO) != 0;
  v1::GenerateRequest request = options.raw_request;
  std::string transcript;
  for (;;) {
    const auto line = ReadTurn(terminal);
    if (!line.ok() || !line->has_value()) return line.status();
    if (ParseChatLine(**line).kind == ChatLine::Kind::kReset) {
      transcript.clear();
      continue;
    }
    request.set_text(transcript + **line);
    std::string answer;
    const auto finished = ShowAnswer(*client.StartGenerate(request),
                                     options.json ? AnswerStyle::kJson : AnswerStyle::kText, answer);
    if (absl::IsOutOfRange(finished.status())) {
      NoteNotAnswered(finished.status());
      continue;
    }
    if (!finished.ok() && !absl::IsCancelled(finished.status())) return finished.status();
    transcript = absl::StrCat(request.text(), answer);
    if (finished.ok()) Note(SummaryText(*finished));
  }
}

}  // namespace

absl::Status RunChat(Client& client, const ChatOptions& options) {
  return options.raw ? RunRawChat(client, options) : ChatSession(client, options).Run();
}

}  // namespace hearth
