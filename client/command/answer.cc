#include "client/command/answer.h"

#include <algorithm>
#include <utility>

#include "client/command/interrupt.h"
#include "client/command/proto_json.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";
constexpr std::string_view kDim = "\x1b[2m", kPlain = "\x1b[22m";

// How many bytes at the end of `text` may be the beginning of `mark`.
size_t BeginningAtEnd(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::string ReasoningDimmer::Push(std::string_view piece) {
  pending_ += piece;
  std::string shown;
  for (;;) {
    const std::string_view mark = reasoning_ ? kClose : kOpen;
    const size_t found = pending_.find(mark);
    if (found == std::string::npos) break;
    shown += pending_.substr(0, found);
    shown += reasoning_ ? kPlain : kDim;
    pending_.erase(0, found + mark.size());
    reasoning_ = !reasoning_;
  }
  const size_t held = BeginningAtEnd(pending_, reasoning_ ? kClose : kOpen);
  shown += pending_.substr(0, pending_.size() - held);
  pending_.erase(0, pending_.size() - held);
  return shown;
}

std::string ReasoningDimmer::Flush() {
  std::string shown = std::move(pending_);
  pending_.clear();
  if (std::exchange(reasoning_, false)) shown += kPlain;
  return shown;
}

absl::StatusOr<v1::Finished> ShowAnswer(GenerationStream& stream, AnswerStyle style, std::string& text) {
  const Interrupt::Handler on_interrupt([&] { stream.Cancel(); });
  v1::Finished finished;
  ReasoningDimmer dimmer;
  absl::Status printed;
  while (const auto event = stream.Next()) {
    const std::string& delta = event->delta().text();
    printed = Print(style == AnswerStyle::kJson     ? ToJsonLine(*event) + "\n"
                    : style == AnswerStyle::kDimmed ? dimmer.Push(delta)
                                                    : delta);
    if (!printed.ok()) return printed;
    text += delta;
    if (event->has_finished()) finished = event->finished();
  }
  const absl::Status status = stream.Finish();
  // An error before the first character leaves nothing on standard output.
  const bool ends_line =
      style != AnswerStyle::kJson && (status.ok() || !text.empty()) && !text.ends_with('\n');
  printed = Print(dimmer.Flush() + (ends_line ? "\n" : ""));
  if (!status.ok()) return status;
  if (!printed.ok()) return printed;
  return finished;
}

}  // namespace hearth
