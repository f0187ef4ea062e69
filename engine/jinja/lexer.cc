#include "engine/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/text.h"
#include "engine/token/unicode.h"

namespace hearth::jinja {
namespace {

constexpr std::array<std::string_view, 27> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";", "!"};

// Line feeds alone, and not the last one, as jinja2 reads its source.
std::string Normalized(std::string_view source) {
  std::string text = absl::StrReplaceAll(AbslView(source), {{"\r\n", "\n"}, {"\r", "\n"}});
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool IsNameStart(char32_t c) { return c == '_' || Category(c) == CodePointCategory::kLetter; }
bool IsNamePart(char32_t c) {
  return IsNameStart(c) || Category(c) == CodePointCategory::kNumber ||
         Category(c) == CodePointCategory::kMark;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) HEARTH_RETURN_IF_ERROR(Data());
    Add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  bool At(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  // Moves on and keeps count of lines.
  void Advance(size_t bytes) {
    for (; bytes > 0; --bytes, ++at_) {
      if (source_[at_] == '\n') {
        ++position_.line;
        position_.column = 1;
      } else {
        ++position_.column;
      }
    }
  }

  void SkipSpace() {
    while (at_ < source_.size()) {
      size_t next = at_;
      if (!IsSpace(NextCharacter(source_, &next))) break;
      Advance(next - at_);
    }
  }

  void Add(TokenKind kind, std::string_view text) {
    tokens_.push_back({.kind = kind, .text = std::string(text), .position = position_});
  }
  absl::Status Error(std::string_view message) const { return ErrorAt(position_, message); }

  // Text up to the next tag, then the tag.
  absl::Status Data() {
    const size_t begin = at_;
    size_t tag = begin;
    for (tag = source_.find('{', tag); tag != std::string::npos; tag = source_.find('{', tag + 1)) {
      const char second = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (second == '{' || second == '%' || second == '#') break;
    }
    if (tag == std::string::npos) {
      AddData(std::string_view(source_).substr(begin));
      Advance(source_.size() - at_);
      return absl::OkStatus();
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const std::string_view text = std::string_view(source_).substr(begin, tag - begin);
    AddData(BeforeTag(text, sign, kind == '{'));
    Advance(tag - at_);
    if (kind == '#') return Comment();
    if (kind == '%') {
      if (const auto raw = RawBegin()) return Raw(*raw);
    }
    Add(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "");
    Advance(sign == '-' || sign == '+' ? 3 : 2);
    return Tag(kind == '{');
  }

  void AddData(std::string_view text) {
    if (!text.empty()) Add(TokenKind::kData, text);
  }

  // What whitespace control leaves of the text before a tag.
  std::string_view BeforeTag(std::string_view text, char sign, bool variable) const {
    if (sign == '-') return WithoutTrailingSpace(text);
    if (sign == '+' || variable) return text;
    const size_t line = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
    if (line == 0 && !line_starting_) return text;
    return WithoutTrailingSpace(text.substr(line)).empty() ? text.substr(0, line) : text;
  }

  static std::string_view WithoutTrailingSpace(std::string_view text) {
    size_t end = 0;
    for (size_t at = 0; at < text.size();) {
      if (!IsSpace(NextCharacter(text, &at))) end = at;
    }
    return text.substr(0, end);
  }

  // Behind the end of a tag: what its sign and trim_blocks drop.
  void AfterTag(char sign, bool trims) {
    const size_t begin = at_;
    if (sign == '-') SkipSpace();
    if (sign == '\0' && trims && Peek() == '\n') Advance(1);
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  absl::Status Comment() {
    // In "{#-#}" the one sign is that of the beginning.
    const size_t begin = at_ + (Peek(2) == '-' || Peek(2) == '+' ? 3 : 2);
    const size_t end = source_.find("#}", begin);
    if (end == std::string::npos) return Error("the comment that begins here has no end `#}`");
    const char last = source_[end - 1];
    const char sign = end > begin && (last == '-' || last == '+') ? last : '\0';
    Advance(end + 2 - at_);
    AfterTag(sign, /*trims=*/true);
    return absl::OkStatus();
  }

  // The length of "{% raw %}" where it is here.
  std::optional<size_t> RawBegin() const {
    size_t at = at_ + 2;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    if (!SkipWord("raw", &at)) return std::nullopt;
    if (std::string_view(source_).substr(at).starts_with("-%}")) return at + 3 - at_;
    if (std::string_view(source_).substr(at).starts_with("%}")) return at + 2 - at_;
    return std::nullopt;
  }

  // Moves `*at` behind `word` with the space around it, if it is there.
  bool SkipWord(std::string_view word, size_t* at) const {
    const auto skip_space = [&] {
      while (*at < source_.size() && absl::ascii_isspace(static_cast<unsigned char>(source_[*at]))) ++*at;
    };
    skip_space();
    if (!std::string_view(source_).substr(*at).starts_with(word)) return false;
    *at += word.size();
    skip_space();
    return true;
  }

  absl::Status Raw(size_t begin_bytes) {
    const Position begin = position_;
    const bool strips = source_[at_ + begin_bytes - 3] == '-';
    Advance(begin_bytes);
    line_starting_ = false;
    if (strips) AfterTag('-', false);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      size_t at = tag + 2;
      const char sign =
          at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
      if (sign != '\0') ++at;
      if (!SkipWord("endraw", &at)) continue;
      const char end_sign =
          at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
      if (end_sign != '\0') ++at;
      if (!std::string_view(source_).substr(at).starts_with("%}")) continue;
      AddData(BeforeTag(std::string_view(source_).substr(at_, tag - at_), sign, false));
      Advance(at + 2 - at_);
      AfterTag(end_sign, /*trims=*/true);
      return absl::OkStatus();
    }
    return ErrorAt(begin, "the raw block that begins here has no `{% endraw %}`");
  }

  // Tokens up to the end of the tag, which counts only where all brackets are closed.
  absl::Status Tag(bool variable) {
    const Position begin = position_;
    std::vector<char> open;
    for (;;) {
      SkipSpace();
      if (at_ >= source_.size()) {
        return ErrorAt(begin,
                       absl::StrCat("the tag that begins here has no end `", variable ? "}}" : "%}", "`"));
      }
      if (open.empty() && TagEnd(variable)) return absl::OkStatus();
      HEARTH_RETURN_IF_ERROR(Lexeme(open));
    }
  }

  bool TagEnd(bool variable) {
    const std::string_view end = variable ? "}}" : "%}";
    const char sign = Peek() == '-' || (Peek() == '+' && !variable) ? Peek() : '\0';
    if (!std::string_view(source_).substr(at_ + (sign == '\0' ? 0 : 1)).starts_with(end)) return false;
    Add(variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, "");
    Advance(end.size() + (sign == '\0' ? 0 : 1));
    AfterTag(sign, /*trims=*/!variable);
    return true;
  }

  absl::Status Lexeme(std::vector<char>& open) {
    if (absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) return Number();
    if (Peek() == '"' || Peek() == '\'') return StringLiteral();
    size_t next = at_;
    if (IsNameStart(NextCharacter(source_, &next))) return Name();
    return Operator(open);
  }

  absl::Status Name() {
    size_t end = at_;
    for (size_t next = end; next < source_.size(); end = next) {
      if (!IsNamePart(NextCharacter(source_, &next))) break;
    }
    Add(TokenKind::kName, std::string_view(source_).substr(at_, end - at_));
    Advance(end - at_);
    return absl::OkStatus();
  }

  absl::Status Operator(std::vector<char>& open) {
    for (std::string_view op : kOperators) {
      if (!At(op) || op == "!") continue;
      HEARTH_RETURN_IF_ERROR(Balance(op[0], open));
      Add(TokenKind::kOperator, op);
      Advance(op.size());
      return absl::OkStatus();
    }
    size_t next = at_;
    NextCharacter(source_, &next);
    return Error(absl::StrCat("unexpected character '", Printable(source_.substr(at_, next - at_)), "'"));
  }

  absl::Status Balance(char op, std::vector<char>& open) const {
    if (op == '(') open.push_back(')');
    if (op == '[') open.push_back(']');
    if (op == '{') open.push_back('}');
    if (op != ')' && op != ']' && op != '}') return absl::OkStatus();
    if (open.empty()) return Error(absl::StrCat("unexpected '", std::string(1, op), "'"));
    if (open.back() != op) {
      return Error(absl::StrCat("unexpected '", std::string(1, op), "', expected '",
                                std::string(1, open.back()), "'"));
    }
    open.pop_back();
    return absl::OkStatus();
  }

  // Digits with single underscores between them, from `at` on; where they end.
  size_t Digits(size_t at, int base = 10) const {
    const auto digit = [&](size_t i) {
      const char c = i < source_.size() ? source_[i] : '\0';
      if (base == 16) return absl::ascii_isxdigit(static_cast<unsigned char>(c)) != 0;
      return c >= '0' && c < '0' + base;
    };
    while (digit(at) || (at < source_.size() && source_[at] == '_' && digit(at + 1))) ++at;
    return at;
  }

  absl::Status Number() {
    const char second = absl::ascii_tolower(static_cast<unsigned char>(Peek(1)));
    const int base = Peek() != '0' ? 10 : second == 'x' ? 16 : second == 'o' ? 8 : second == 'b' ? 2 : 10;
    if (base != 10 && Digits(at_ + 2, base) > at_ + 2) return Integer(at_ + 2, Digits(at_ + 2, base), base);
    const size_t whole = Digits(at_);
    size_t end = whole;
    const bool behind_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!behind_dot && end < source_.size() && source_[end] == '.' && Digits(end + 1) > end + 1)
      end = Digits(end + 1);
    if (!behind_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '-' || source_[exponent] == '+')) ++exponent;
      if (Digits(exponent) > exponent) end = Digits(exponent);
    }
    return end == whole ? Integer(at_, WholeNumber(whole), 10) : Float(end);
  }

  // "007" is three numbers to jinja2: no other digit follows a leading zero.
  size_t WholeNumber(size_t end) const {
    if (Peek() != '0') return end;
    size_t zeros = at_;
    while (zeros < end && (source_[zeros] == '0' || source_[zeros] == '_')) ++zeros;
    return zeros;
  }

  absl::Status Integer(size_t digits, size_t end, int base) {
    std::string text = source_.substr(digits, end - digits);
    std::erase(text, '_');
    Token token{.kind = TokenKind::kInteger, .text = text, .position = position_};
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), token.integer, base);
    if (parsed.ec != std::errc()) return Error("the number is larger than 64 bits hold");
    tokens_.push_back(std::move(token));
    Advance(end - at_);
    return absl::OkStatus();
  }

  absl::Status Float(size_t end) {
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    Token token{.kind = TokenKind::kFloat, .text = text, .position = position_};
    if (!absl::SimpleAtod(text, &token.real)) return Error("the number cannot be read");
    tokens_.push_back(std::move(token));
    Advance(end - at_);
    return absl::OkStatus();
  }

  absl::Status StringLiteral() {
    const char quote = Peek();
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return Error("the string that begins here has no end");
    std::string value;
    HEARTH_RETURN_IF_ERROR(Unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1), &value));
    Add(TokenKind::kString, value);
    Advance(end + 1 - at_);
    return absl::OkStatus();
  }

  // Python's escapes in strings.
  absl::Status Unescape(std::string_view text, std::string* value) const {
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    for (size_t at = 0; at < text.size();) {
      if (text[at] != '\\') {
        *value += text[at++];
        continue;
      }
      const char letter = text[at + 1];  // a backslash is never last: it takes the next character along
      if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
        *value += kMeanings[known];
        at += 2;
      } else if (letter == '\n') {
        at += 2;
      } else if (letter == 'x' || letter == 'u' || letter == 'U') {
        const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
        HEARTH_RETURN_IF_ERROR(AppendCoded(text.substr(at + 2, digits), digits, 16, value));
        at += 2 + digits;
      } else if (letter >= '0' && letter <= '7') {
        size_t digits = 1;
        while (digits < 3 && at + 1 + digits < text.size() && text[at + 1 + digits] >= '0' &&
               text[at + 1 + digits] <= '7')
          ++digits;
        HEARTH_RETURN_IF_ERROR(AppendCoded(text.substr(at + 1, digits), digits, 8, value));
        at += 1 + digits;
      } else if (letter == 'N') {
        return Error("characters by name (\\N{...}) are not known here; write the character itself");
      } else {
        *value += '\\';
        ++at;
      }
    }
    return absl::OkStatus();
  }

  absl::Status AppendCoded(std::string_view code, size_t digits, int base, std::string* value) const {
    uint32_t character = 0;
    const auto parsed = std::from_chars(code.data(), code.data() + code.size(), character, base);
    if (code.size() != digits || parsed.ec != std::errc() || parsed.ptr != code.data() + code.size() ||
        character > 0x10FFFF || (character >= 0xD800 && character < 0xE000)) {
      return Error("an escape in a string stands for no character");
    }
    AppendUtf8(character, value);
    return absl::OkStatus();
  }

  const std::string source_;
  size_t at_ = 0;
  Position position_;
  bool line_starting_ = true;  // the last tag ended a line
  std::vector<Token> tokens_;
};

}  // namespace

absl::Status ErrorAt(Position position, std::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", position.line, ", column ", position.column, ": ", AbslView(message)));
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  if (!IsUtf8(AbslView(source))) return absl::InvalidArgumentError("it is not valid UTF-8");
  return Lexer(Normalized(source)).Run();
}

}  // namespace hearth::jinja
