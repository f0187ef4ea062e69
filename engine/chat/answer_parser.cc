#include "engine/chat/answer_parser.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kJsonBlock = "```json";
// Marks within sections, beside those that open and end them.
constexpr std::string_view kInnerMarks[] = {"[ARGS]",         "[CALL_ID]",          "<|constrain|>",
                                            "<|call|>",       "<|/tool_call|>",     "<｜tool▁call▁begin｜>",
                                            "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"};

bool IsBlank(std::string_view text) { return text.find_first_not_of(kBlanks) == std::string_view::npos; }

// How many bytes at the end of `text` may be the beginning of `mark`.
size_t Beginning(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(mark.size() - 1, text.size()); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

// Where `mark` begins in calls as models write them: not in a string of their JSON.
size_t FindBehindJson(std::string_view text, std::string_view mark) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (text.substr(i).starts_with(mark)) {
      return i;
    } else if (c == '"') {
      in_string = depth > 0;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return std::string_view::npos;
}

}  // namespace

struct AnswerParser::Opener {
  std::string_view mark;
  Mode mode;             // of what follows; kText: the mark itself says nothing
  std::string_view end;  // of that; empty: the end of the answer
};

const std::vector<AnswerParser::Opener>& AnswerParser::Openers() {
  static const auto& openers = *new std::vector<Opener>{
      {"<think>", Mode::kReasoning, "</think>"},
      {"[THINK]", Mode::kReasoning, "[/THINK]"},
      {"<|START_THINKING|>", Mode::kReasoning, "<|END_THINKING|>"},
      {"<|START_RESPONSE|>", Mode::kText, ""},
      {"<|END_RESPONSE|>", Mode::kText, ""},
      {"<|channel|>", Mode::kHeader, kMessage},
      {"<|start|>", Mode::kHeader, kMessage},
      {"<|end|>", Mode::kText, ""},
      {"<tool_call>", Mode::kCalls, "</tool_call>"},
      {"[TOOL_CALLS]", Mode::kCalls, ""},
      {"<|python_tag|>", Mode::kCalls, ""},
      {"<|tool_call|>", Mode::kCalls, ""},
      {"<|START_ACTION|>", Mode::kCalls, "<|END_ACTION|>"},
      {"<｜tool▁calls▁begin｜>", Mode::kCalls, "<｜tool▁calls▁end｜>"},
  };
  return openers;
}

std::vector<std::string_view> AnswerParser::Markers(bool tools) {
  std::vector<std::string_view> marks;
  for (const Opener& opener : Openers()) {
    if (opener.mode == Mode::kCalls && !tools) continue;
    marks.push_back(opener.mark);
    if (!opener.end.empty()) marks.push_back(opener.end);
  }
  if (tools) marks.insert(marks.end(), std::begin(kInnerMarks), std::end(kInnerMarks));
  return marks;
}

AnswerParser::AnswerParser(AnswerSyntax syntax) : syntax_(std::move(syntax)) {
  if (!syntax_.begins_in_reasoning) return;
  mode_ = Mode::kReasoning;
  end_ = "</think>";
  trim_ = true;
}

AnswerPieces AnswerParser::Push(std::string_view text) {
  held_.append(text);
  AnswerPieces pieces;
  while (Advance(pieces)) {
  }
  return pieces;
}

AnswerPieces AnswerParser::Finish() {
  AnswerPieces pieces;
  // A call whose JSON never ends is closed by the first mark all the same.
  while (mode_ == Mode::kCalls && !end_.empty() && held_.find(end_) != std::string::npos) {
    CloseSection(held_.find(end_), pieces);
    while (Advance(pieces)) {
    }
  }
  const std::string rest = std::exchange(held_, "");
  if (mode_ == Mode::kStart || mode_ == Mode::kText) {
    Say(rest, pieces);
  } else {
    Close(rest, /*ended=*/false, pieces);
  }
  // Blanks around calls are no text.
  if (pieces.calls.empty() && !trim_) pieces.text += std::exchange(blanks_, "");
  return pieces;
}

bool AnswerParser::Advance(AnswerPieces& pieces) {
  switch (mode_) {
    case Mode::kStart:
      return AdvanceStart();
    case Mode::kText:
      return AdvanceText(pieces);
    case Mode::kJson:
      return false;
    default:
      return AdvanceSection(pieces);
  }
}

// An answer that begins like JSON may be a call as a whole.
bool AnswerParser::AdvanceStart() {
  std::string_view text = held_;
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  if (text.empty()) return false;
  mode_ = Mode::kText;
  if (syntax_.tools.empty()) return true;
  bool marked = false;
  for (const std::string_view mark : {"[TOOL_CALLS]", "[THINK]"}) {
    marked |= text.starts_with(mark);
    if (Beginning(text, mark) == text.size()) mode_ = Mode::kStart;
  }
  if (Beginning(text, kJsonBlock) == text.size()) mode_ = Mode::kStart;
  if (mode_ == Mode::kStart) return false;
  if (text[0] == '{' || text.starts_with(kJsonBlock) || (text[0] == '[' && !marked)) mode_ = Mode::kJson;
  opening_.clear();
  return true;
}

// Whether the section of a mark found there is one: reasoning comes first.
bool AnswerParser::OpensAt(const Opener& opener, size_t at) const {
  const bool is_frame = opener.mode == Mode::kHeader || opener.mode == Mode::kText;
  if (is_frame && syntax_.frames &&
      std::find(syntax_.frames->begin(), syntax_.frames->end(), opener.mark) == syntax_.frames->end()) {
    return false;
  }
  if (opener.mode == Mode::kCalls) return !syntax_.tools.empty();
  return opener.mode != Mode::kReasoning || (!said_ && IsBlank(std::string_view(held_).substr(0, at)));
}

bool AnswerParser::AdvanceText(AnswerPieces& pieces) {
  const Opener* first = nullptr;
  size_t at = held_.size(), open = 0;
  for (const Opener& opener : Openers()) {
    if (const size_t found = held_.find(opener.mark); found < at && OpensAt(opener, found)) {
      at = found;
      first = &opener;
    }
    const size_t begun = Beginning(held_, opener.mark);
    if (OpensAt(opener, held_.size() - begun)) open = std::max(open, begun);
  }
  const size_t certain = first != nullptr ? at : held_.size() - open;
  Say(std::string_view(held_).substr(0, certain), pieces);
  held_.erase(0, certain);
  if (first == nullptr) return false;
  held_.erase(0, first->mark.size());
  Open(*first);
  return true;
}

void AnswerParser::Open(const Opener& opener) {
  mode_ = opener.mode;
  opening_ = opener.mark;
  end_ = opener.end;
  if (mode_ != Mode::kReasoning) return;
  trim_ = true;
  blanks_.clear();
}

bool AnswerParser::AdvanceSection(AnswerPieces& pieces) {
  if (end_.empty()) return false;
  const size_t at = mode_ == Mode::kCalls ? FindBehindJson(held_, end_) : held_.find(end_);
  if (at != std::string::npos) {
    CloseSection(at, pieces);
    return true;
  }
  if (mode_ != Mode::kReasoning) return false;
  const std::string certain = held_.substr(0, held_.size() - Beginning(held_, end_));
  held_.erase(0, certain.size());
  Say(certain, pieces);
  return false;
}

// The mark that ends the section begins at `at`.
void AnswerParser::CloseSection(size_t at, AnswerPieces& pieces) {
  const std::string body = held_.substr(0, at);
  held_.erase(0, at + end_.size());
  Close(body, /*ended=*/true, pieces);
}

void AnswerParser::Close(std::string_view body, bool ended, AnswerPieces& pieces) {
  if (mode_ == Mode::kReasoning) {
    Say(body, pieces);
    blanks_.clear();
    trim_ = true;
    mode_ = Mode::kText;
    // What follows may be a call that is nothing but JSON.
    if (!said_) mode_ = Mode::kStart;
    return;
  }
  if (mode_ == Mode::kHeader) {
    if (ended) CloseHeader(body);
    return;
  }
  std::optional<std::vector<ToolCall>> calls;
  if (!called_.empty()) {
    calls = ReadToolCalls(absl::StrCat(called_, AbslView(body)));  // an answer that was cut has no body
  } else {
    calls = ReadToolCalls(body);
  }
  const auto known = [&](const ToolCall& call) {
    return std::find(syntax_.tools.begin(), syntax_.tools.end(), call.name) != syntax_.tools.end();
  };
  // Without a mark it is a call only of what can be called.
  if (calls && mode_ == Mode::kJson && !std::all_of(calls->begin(), calls->end(), known)) calls.reset();
  mode_ = Mode::kText;
  if (calls) {
    std::move(calls->begin(), calls->end(), std::back_inserter(pieces.calls));
    blanks_.clear();
    trim_ = true;
  } else if (!called_.empty()) {
    Say(body, pieces);
  } else {
    Say(absl::StrCat(opening_, AbslView(body), ended ? end_ : ""), pieces);
  }
  called_.clear();
}

// "analysis", "final" or "commentary to=functions.NAME <|constrain|>json".
void AnswerParser::CloseHeader(std::string_view header) {
  constexpr std::string_view kTo = "to=functions.";
  mode_ = Mode::kText;
  end_.clear();
  if (const size_t to = header.find(kTo); to != std::string_view::npos && !syntax_.tools.empty()) {
    const std::string_view name = header.substr(to + kTo.size());
    called_ = std::string(name.substr(0, name.find_first_of(" <\n\t")));
    mode_ = Mode::kCalls;
    end_ = "<|call|>";
    opening_.clear();
  } else if (header.find("analysis") != std::string_view::npos) {
    mode_ = Mode::kReasoning;
    end_ = "<|end|>";
    trim_ = true;
  }
}

void AnswerParser::Say(std::string_view text, AnswerPieces& pieces) {
  std::string& to = mode_ == Mode::kReasoning ? pieces.reasoning : pieces.text;
  if (trim_) text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  if (text.empty()) return;
  trim_ = false;
  if (IsBlank(text)) {
    blanks_.append(text);
    return;
  }
  const size_t end = text.find_last_not_of(kBlanks) + 1;
  absl::StrAppend(&to, std::exchange(blanks_, ""), AbslView(text.substr(0, end)));
  blanks_ = std::string(text.substr(end));
  if (mode_ != Mode::kReasoning) said_ = true;
}

}  // namespace hearth
