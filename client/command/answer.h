#ifndef HEARTH_CLIENT_COMMAND_ANSWER_H_
#define HEARTH_CLIENT_COMMAND_ANSWER_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/hearth_client.h"

namespace hearth {

// How an answer is shown on standard output.
enum class AnswerStyle {
  kText,    // as it is
  kDimmed,  // reasoning (between <think> and </think>) in a terminal's dim letters, without these marks
  kJson,    // the events, one per line
};

// Shows a generation while it runs; `text` gets all of it, reasoning and its marks included. Ctrl-C cancels
// it (CANCELLED), and so does standard output that cannot be written.
absl::StatusOr<v1::Finished> ShowAnswer(GenerationStream& stream, AnswerStyle style, std::string& text);

// Turns text that comes in pieces into what a terminal shows with dimmed reasoning. Holds back what may be
// the beginning of a mark. Not thread-safe.
class ReasoningDimmer {
 public:
  // What can be shown now; everything that is left at the end.
  std::string Push(std::string_view piece);
  std::string Flush();

 private:
  bool reasoning_ = false;
  std::string pending_;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_ANSWER_H_
