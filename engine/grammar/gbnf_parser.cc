#include "engine/grammar/gbnf_parser.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/token/unicode.h"

namespace hearth::grammar {
namespace {

constexpr int kMaxNesting = 64;

bool IsNamePart(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; }

// One grammar while it is read, from left to right.
class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : text_(text) {}

  absl::StatusOr<GrammarRules> Run() {
    for (SkipSpace(/*lines=*/true); !AtEnd(); SkipSpace(/*lines=*/true)) HEARTH_RETURN_IF_ERROR(ReadRule());
    for (RuleId rule = 0; rule < rules_.rule_count(); ++rule) {
      if (!rules_.definition(rule)) {
        return ErrorAt(first_use_[rule], absl::StrCat("there is no rule `", Shown(rules_.name(rule)), "`"));
      }
    }
    const auto root = by_name_.find("root");
    if (root == by_name_.end()) return ErrorAt(text_.size(), "the grammar needs a rule `root` to begin with");
    rules_.SetRoot(root->second);
    return std::move(rules_);
  }

 private:
  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool At(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool Take(std::string_view what) {
    if (!At(what)) return false;
    at_ += what.size();
    return true;
  }

  static std::string Shown(std::string_view text) { return Printable(AbslView(text), kMaxNameBytes); }

  absl::Status ErrorAt(size_t at, std::string_view message) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    return absl::InvalidArgumentError(
        absl::StrCat("line ", line, ", column ", column, ": ", AbslView(message)));
  }
  absl::Status Error(std::string_view message) const { return ErrorAt(at_, message); }
  absl::Status Unexpected(std::string_view wanted) const {
    if (AtEnd()) return Error(absl::StrCat("the grammar ends where ", AbslView(wanted), " should stand"));
    bool truncated = false;
    const size_t length = std::max<size_t>(1, ValidUtf8Length(text_.substr(at_), &truncated));
    return Error(absl::StrCat("`", Shown(text_.substr(at_, length)), "` stands where ", AbslView(wanted),
                              " should stand"));
  }

  // Blanks and comments; with `lines` the ends of lines as well.
  void SkipSpace(bool lines) {
    for (;;) {
      const char c = Peek();
      if (c == '#') {
        at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
      } else if (!AtEnd() && (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  absl::StatusOr<std::string_view> ReadName() {
    const size_t begin = at_;
    while (IsNamePart(Peek())) ++at_;
    if (at_ == begin) return Unexpected("the name of a rule");
    return text_.substr(begin, at_ - begin);
  }

  RuleId RuleOf(std::string_view name, size_t at) {
    const auto [entry, is_new] = by_name_.try_emplace(std::string(name), RuleId{0});
    if (is_new) {
      entry->second = rules_.Declare(std::string(name));
      first_use_.push_back(at);
    }
    return entry->second;
  }

  absl::Status ReadRule() {
    const size_t begin = at_;
    HEARTH_ASSIGN_OR_RETURN(const std::string_view name, ReadName());
    const RuleId rule = RuleOf(name, begin);
    if (rules_.definition(rule)) {
      return ErrorAt(begin, absl::StrCat("the rule `", Shown(name), "` is defined a second time"));
    }
    SkipSpace(/*lines=*/false);
    if (!Take("::=")) return Unexpected("`::=`");
    SkipSpace(/*lines=*/true);
    HEARTH_ASSIGN_OR_RETURN(const ExpressionId expression, ReadChoice(/*depth=*/0));
    rules_.Define(rule, expression);
    if (!AtEnd() && Peek() != '\n' && Peek() != '\r') return Unexpected("the end of the rule");
    return absl::OkStatus();
  }

  absl::StatusOr<ExpressionId> ReadChoice(int depth) {
    std::vector<ExpressionId> parts;
    do {
      SkipSpace(/*lines=*/true);
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId part, ReadSequence(depth));
      parts.push_back(part);
    } while (Take("|"));
    return rules_.Choice(std::move(parts));
  }

  // Up to what cannot belong to it.
  absl::StatusOr<ExpressionId> ReadSequence(int depth) {
    std::vector<ExpressionId> parts;
    for (;;) {
      SkipSpace(/*lines=*/depth > 0);
      const char c = Peek();
      if (c != '"' && c != '[' && c != '(' && c != '.' && !IsNamePart(c)) break;
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId part, ReadPart(depth));
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId repeated, ReadRepetitions(part, depth));
      parts.push_back(repeated);
    }
    return rules_.Sequence(std::move(parts));
  }

  absl::StatusOr<ExpressionId> ReadPart(int depth) {
    switch (Peek()) {
      case '"':
        return ReadText();
      case '[':
        return ReadClass();
      case '(':
        return ReadGroup(depth);
      case '.':
        ++at_;
        return rules_.Class(Complement({}));
      default: {
        const size_t begin = at_;
        HEARTH_ASSIGN_OR_RETURN(const std::string_view name, ReadName());
        return rules_.Call(RuleOf(name, begin));
      }
    }
  }

  absl::StatusOr<ExpressionId> ReadGroup(int depth) {
    const size_t begin = at_++;
    if (depth >= kMaxNesting)
      return ErrorAt(begin, absl::StrCat("more than ", kMaxNesting, " open parentheses"));
    HEARTH_ASSIGN_OR_RETURN(const ExpressionId group, ReadChoice(depth + 1));
    SkipSpace(/*lines=*/true);
    if (AtEnd()) return ErrorAt(begin, "the parenthesis that opens here is never closed");
    if (!Take(")")) return Unexpected("`)`");
    return group;
  }

  absl::StatusOr<ExpressionId> ReadText() {
    const size_t begin = at_++;
    std::string text;
    while (!Take("\"")) {
      if (AtEnd() || Peek() == '\n') return ErrorAt(begin, "the text that begins here has no closing `\"`");
      HEARTH_ASSIGN_OR_RETURN(const char32_t character, ReadCharacter());
      AppendUtf8(character, &text);
    }
    return rules_.Text(text);
  }

  absl::StatusOr<ExpressionId> ReadClass() {
    const size_t begin = at_++;
    const bool negated = Take("^");
    std::vector<CodePointRange> ranges;
    while (!Take("]")) {
      if (AtEnd() || Peek() == '\n') return ErrorAt(begin, "the class that begins here has no closing `]`");
      const size_t range_begin = at_;
      HEARTH_ASSIGN_OR_RETURN(const char32_t first, ReadCharacter());
      char32_t last = first;
      if (At("-") && !At("-]")) {
        ++at_;
        if (AtEnd()) continue;
        HEARTH_ASSIGN_OR_RETURN(last, ReadCharacter());
      }
      if (first > last) return ErrorAt(range_begin, "the range ends before it begins");
      ranges.push_back({first, last});
    }
    ranges = Normalized(std::move(ranges));
    if (negated) ranges = Complement(ranges);
    if (ranges.empty()) return ErrorAt(begin, "no character belongs to this class");
    return rules_.Class(std::move(ranges));
  }

  // A character of a text or class, perhaps written as an escape.
  absl::StatusOr<char32_t> ReadCharacter() {
    bool truncated = false;
    const size_t length = ValidUtf8Length(text_.substr(at_), &truncated);
    if (length == 0) return Error("the grammar is not UTF-8");
    if (Peek() == '\\') return ReadEscape();
    const std::u32string character = DecodeUtf8(text_.substr(at_, length));
    at_ += length;
    return character.front();
  }

  absl::StatusOr<char32_t> ReadEscape() {
    const size_t begin = at_++;
    const char kind = Peek();
    if (!AtEnd()) ++at_;
    switch (kind) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(kind);
      case 'x':
        return ReadHex(begin, 2);
      case 'u':
        return ReadHex(begin, 4);
      case 'U':
        return ReadHex(begin, 8);
      default:
        return ErrorAt(begin, "there is no such escape; write a backslash as `\\\\`");
    }
  }

  absl::StatusOr<char32_t> ReadHex(size_t begin, size_t digits) {
    const std::string_view text = text_.substr(at_, digits);
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (text.size() < digits || error != std::errc() || end != text.data() + digits) {
      return ErrorAt(begin, absl::StrCat("this escape needs ", digits, " hexadecimal digits"));
    }
    if (value > kLastCodePoint || (value >= 0xD800 && value <= 0xDFFF)) {
      return ErrorAt(begin, "this escape names no character");
    }
    at_ += digits;
    return static_cast<char32_t>(value);
  }

  // One operator after the other: "a*?" repeats what repeats.
  absl::StatusOr<ExpressionId> ReadRepetitions(ExpressionId part, int depth) {
    for (int operators = 0;; ++operators) {
      SkipSpace(/*lines=*/depth > 0);
      if (operators > kMaxNesting) return Error("too many repetitions of one part");
      if (Take("*")) {
        part = rules_.Repeat(part, 0, std::nullopt);
      } else if (Take("+")) {
        part = rules_.Repeat(part, 1, std::nullopt);
      } else if (Take("?")) {
        part = rules_.Optional(part);
      } else if (At("{")) {
        HEARTH_ASSIGN_OR_RETURN(part, ReadCounts(part));
      } else {
        return part;
      }
    }
  }

  absl::StatusOr<ExpressionId> ReadCounts(ExpressionId part) {
    const size_t begin = at_++;
    HEARTH_ASSIGN_OR_RETURN(const uint32_t least, ReadCount());
    std::optional<uint32_t> most = least;
    if (Take(",")) {
      most.reset();
      SkipSpace(/*lines=*/false);
      if (!At("}")) {
        HEARTH_ASSIGN_OR_RETURN(most, ReadCount());
      }
    }
    if (!Take("}")) return Unexpected("`}`");
    if (most && *most < least) return ErrorAt(begin, "the repetition's end is less than its beginning");
    return rules_.Repeat(part, least, most);
  }

  absl::StatusOr<uint32_t> ReadCount() {
    SkipSpace(/*lines=*/false);
    uint32_t count = 0;
    const std::string_view rest = text_.substr(at_);
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
    if (end == rest.data()) return Unexpected("a number");
    if (error != std::errc() || count > kMaxRepetitions) {
      return Error(absl::StrCat("at most ", kMaxRepetitions, " repetitions can be asked for"));
    }
    at_ += static_cast<size_t>(end - rest.data());
    SkipSpace(/*lines=*/false);
    return count;
  }

  const std::string_view text_;
  size_t at_ = 0;
  GrammarRules rules_;
  absl::flat_hash_map<std::string, RuleId> by_name_;
  std::vector<size_t> first_use_;  // of each rule, its place in the text
};

}  // namespace

absl::StatusOr<GrammarRules> ParseGbnf(std::string_view text) {
  if (text.size() > kMaxGrammarBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grammar has ", text.size(), " bytes; at most ", kMaxGrammarBytes, " are read"));
  }
  return GbnfParser(text).Run();
}

}  // namespace hearth::grammar
