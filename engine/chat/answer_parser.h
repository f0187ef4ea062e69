#ifndef HEARTH_ENGINE_CHAT_ANSWER_PARSER_H_
#define HEARTH_ENGINE_CHAT_ANSWER_PARSER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/chat/tool_calls.h"

namespace hearth {

// What an answer says so far, beyond what it said before.
struct AnswerPieces {
  std::string text;
  std::string reasoning;
  std::vector<ToolCall> calls;

  bool empty() const { return text.empty() && reasoning.empty() && calls.empty(); }
};

struct AnswerSyntax {
  std::vector<std::string> tools;    // names of the functions that may be called; none: calls are text
  bool begins_in_reasoning = false;  // the prompt ended within it
  // Of the marks that frame messages (harmony's, Command-R's) those that the vocabulary has as tokens:
  // elsewhere they are what somebody writes about. Not given: all.
  std::optional<std::vector<std::string>> frames = {};
};

// Takes the answer of a chat model apart: reasoning (<think>, [THINK], Command-R's, the analysis of harmony),
// calls of tools (Hermes and Qwen, Llama, Mistral, Granite, Phi, Command-R, DeepSeek, harmony; an answer that
// is nothing but the JSON of a call) and what is said. The result does not depend on where the pieces of the
// text are cut. What looks like a call and is none stays text, as it was written. Not thread-safe.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerSyntax syntax);

  // The texts that set reasoning and, with `tools`, calls apart from what is said. Where they are control
  // tokens of a vocabulary they are to be written out as these texts.
  static std::vector<std::string_view> Markers(bool tools);

  // What is certain now; the rest is held back.
  AnswerPieces Push(std::string_view text);
  // What is still held back at the end.
  AnswerPieces Finish();

 private:
  struct Opener;
  static const std::vector<Opener>& Openers();
  enum class Mode { kStart, kText, kReasoning, kCalls, kHeader, kJson };

  // One step on; false when more text is needed.
  bool Advance(AnswerPieces& pieces);
  bool AdvanceStart();
  bool AdvanceText(AnswerPieces& pieces);
  bool AdvanceSection(AnswerPieces& pieces);
  void Open(const Opener& opener);
  void CloseSection(size_t at, AnswerPieces& pieces);
  void Close(std::string_view body, bool ended, AnswerPieces& pieces);
  void CloseHeader(std::string_view header);
  bool OpensAt(const Opener& opener, size_t at) const;
  void Say(std::string_view text, AnswerPieces& pieces);

  const AnswerSyntax syntax_;
  Mode mode_ = Mode::kStart;
  std::string held_;
  std::string blanks_;         // said at the end only if more is said
  std::string opening_, end_;  // of the section
  std::string called_;         // by harmony's header
  bool said_ = false;          // anything but blanks
  bool trim_ = false;          // blanks that come next separate sections
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_CHAT_ANSWER_PARSER_H_
