#include "engine/grammar/schema_pattern.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/token/unicode.h"

namespace hearth::grammar {
namespace {

using Ranges = std::vector<CodePointRange>;

constexpr int kMaxPatternDepth = 64;

Ranges Digits() { return {{'0', '9'}}; }
Ranges WordCharacters() { return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
Ranges AsciiSpaces() { return {{'\t', '\r'}, {' ', ' '}}; }
Ranges Spaces() {
  return {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
          {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
}
Ranges LineEnds() { return {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}; }

class PatternCompiler {
 public:
  PatternCompiler(std::string_view pattern, GrammarRules& rules, JsonRules& json)
      : written_(pattern), text_(DecodeUtf8(pattern)), rules_(rules), json_(json) {}

  // Each alternative with what may stand before and behind it.
  absl::StatusOr<ExpressionId> Run() {
    std::vector<ExpressionId> ways;
    do {
      const ExpressionId anything = rules_.Repeat(json_.AnyCharacter(), 0, std::nullopt);
      std::vector<ExpressionId> parts;
      if (!Take('^')) parts.push_back(anything);
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId middle, ReadSequence(/*depth=*/0));
      parts.push_back(middle);
      if (!Take('$')) parts.push_back(anything);
      ways.push_back(rules_.Sequence(std::move(parts)));
    } while (Take('|'));
    if (!AtEnd()) return Problem(absl::StrCat("what stands at character ", at_ + 1, " is not known there"));
    return rules_.Choice(std::move(ways));
  }

 private:
  bool AtEnd() const { return at_ == text_.size(); }
  char32_t Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : U'\0'; }
  bool Take(char32_t what) {
    if (AtEnd() || text_[at_] != what) return false;
    ++at_;
    return true;
  }
  absl::Status Problem(std::string_view problem) const {
    return absl::InvalidArgumentError(absl::StrCat("the pattern ",
                                                   Printable(AbslView(written_), kMaxNameBytes),
                                                   " cannot be used: ", AbslView(problem)));
  }

  absl::StatusOr<ExpressionId> ReadChoice(int depth) {
    std::vector<ExpressionId> ways;
    do {
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId way, ReadSequence(depth));
      ways.push_back(way);
    } while (Take('|'));
    return rules_.Choice(std::move(ways));
  }

  absl::StatusOr<ExpressionId> ReadSequence(int depth) {
    std::vector<ExpressionId> parts;
    while (!AtEnd() && Peek() != '|' && Peek() != ')' && Peek() != '$') {
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId part, ReadPart(depth));
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId repeated, ReadRepetition(part));
      parts.push_back(repeated);
    }
    return rules_.Sequence(std::move(parts));
  }

  absl::StatusOr<ExpressionId> ReadPart(int depth) {
    const char32_t c = Peek();
    if (c == '(') return ReadGroup(depth);
    if (c == '[') return ReadClass();
    if (c == '^') return Problem("^ is known at its beginning only");
    if (c == '*' || c == '+' || c == '?') return Problem("a repetition repeats nothing");
    if (Take('.')) return json_.CharacterOf(Complement(LineEnds()));
    HEARTH_ASSIGN_OR_RETURN(const Ranges ranges, ReadCharacters());
    return json_.CharacterOf(ranges);
  }

  absl::StatusOr<ExpressionId> ReadGroup(int depth) {
    ++at_;
    if (depth >= kMaxPatternDepth)
      return Problem(absl::StrCat("more than ", kMaxPatternDepth, " groups in one another"));
    if (Take('?') && !Take(':')) return Problem("of groups that begin with (? only (?: is known");
    HEARTH_ASSIGN_OR_RETURN(const ExpressionId group, ReadChoice(depth + 1));
    if (Peek() == '$') return Problem("$ is known at its end only");
    if (!Take(')')) return Problem("a group is never closed");
    return group;
  }

  absl::StatusOr<ExpressionId> ReadClass() {
    ++at_;
    const bool negated = Take('^');
    Ranges all;
    while (!Take(']')) {
      if (AtEnd()) return Problem("a class has no closing ]");
      HEARTH_ASSIGN_OR_RETURN(const Ranges first, ReadCharacters());
      const bool single = first.size() == 1 && first[0].first == first[0].last;
      if (single && Peek() == '-' && Peek(1) != ']' && at_ + 1 < text_.size()) {
        ++at_;
        HEARTH_ASSIGN_OR_RETURN(const Ranges last, ReadCharacters());
        if (last.size() != 1 || last[0].first != last[0].last || last[0].first < first[0].first) {
          return Problem("the range of a class ends before it begins");
        }
        all.push_back({first[0].first, last[0].first});
      } else {
        all.insert(all.end(), first.begin(), first.end());
      }
    }
    all = Normalized(std::move(all));
    if (negated) all = Complement(all);
    if (all.empty()) return Problem("no character belongs to a class");
    return json_.CharacterOf(all);
  }

  // One character, or those that an escape stands for.
  absl::StatusOr<Ranges> ReadCharacters() {
    const char32_t c = text_[at_++];
    if (c != '\\') return Ranges{{c, c}};
    if (AtEnd()) return Problem("it ends with a backslash");
    const char32_t kind = text_[at_++];
    switch (kind) {
      case 'd':
        return Digits();
      case 'D':
        return Complement(Digits());
      case 'w':
        return WordCharacters();
      case 'W':
        return Complement(WordCharacters());
      case 's':
        return AsciiSpaces();
      case 'S':
        return Complement(Spaces());
      case 'n':
        return Ranges{{'\n', '\n'}};
      case 'r':
        return Ranges{{'\r', '\r'}};
      case 't':
        return Ranges{{'\t', '\t'}};
      case 'f':
        return Ranges{{'\f', '\f'}};
      case 'v':
        return Ranges{{'\v', '\v'}};
      case 'x':
        return ReadHex(2);
      case 'u':
        return ReadHex(4);
      default:
        break;
    }
    if ((kind >= '0' && kind <= '9') || (kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z')) {
      std::string name = "\\";
      AppendUtf8(kind, &name);
      return Problem(absl::StrCat(name, " is not known"));
    }
    return Ranges{{kind, kind}};
  }

  absl::StatusOr<Ranges> ReadHex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = Peek();
      const bool decimal = c >= '0' && c <= '9';
      const char32_t letter = c | 0x20;
      if (!decimal && (letter < 'a' || letter > 'f')) return Problem("an escape lacks hexadecimal digits");
      value = value * 16 + (decimal ? c - '0' : letter - 'a' + 10);
      ++at_;
    }
    if (value >= 0xD800 && value <= 0xDFFF) return Problem("an escape names no character");
    return Ranges{{value, value}};
  }

  // Whether it takes as much or as little as it can makes no difference to what matches.
  absl::StatusOr<ExpressionId> ReadRepetition(ExpressionId part) {
    if (Take('*')) {
      part = rules_.Repeat(part, 0, std::nullopt);
    } else if (Take('+')) {
      part = rules_.Repeat(part, 1, std::nullopt);
    } else if (Take('?')) {
      part = rules_.Optional(part);
    } else if (Peek() == '{' && Peek(1) >= '0' && Peek(1) <= '9') {
      ++at_;
      HEARTH_ASSIGN_OR_RETURN(const uint32_t least, ReadCount());
      std::optional<uint32_t> most = least;
      if (Take(',')) {
        most.reset();
        if (Peek() != '}') {
          HEARTH_ASSIGN_OR_RETURN(most, ReadCount());
        }
      }
      if (!Take('}') || (most && *most < least)) return Problem("a repetition {m,n} is wrong");
      part = rules_.Repeat(part, least, most);
    } else {
      return part;
    }
    Take('?');
    if (Peek() == '*' || Peek() == '+' || Peek() == '?') return Problem("a repetition is repeated");
    return part;
  }

  absl::StatusOr<uint32_t> ReadCount() {
    uint32_t count = 0;
    if (Peek() < '0' || Peek() > '9') return Problem("a repetition {m,n} is wrong");
    for (; Peek() >= '0' && Peek() <= '9'; ++at_) {
      count = count * 10 + static_cast<uint32_t>(Peek() - '0');
      if (count > kMaxRepetitions)
        return Problem(absl::StrCat("more than ", kMaxRepetitions, " repetitions"));
    }
    return count;
  }

  const std::string_view written_;
  const std::u32string text_;
  size_t at_ = 0;
  GrammarRules& rules_;
  JsonRules& json_;
};

}  // namespace

absl::StatusOr<ExpressionId> CompilePattern(std::string_view pattern, GrammarRules& rules, JsonRules& json) {
  return PatternCompiler(pattern, rules, json).Run();
}

}  // namespace hearth::grammar
