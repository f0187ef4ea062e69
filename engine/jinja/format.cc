#include "engine/jinja/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/operators.h"

namespace hearth::jinja {
namespace {

constexpr size_t kMaxWidth = 1 << 20;
constexpr size_t kMaxPrecision = 300;

// How one value is to be written.
struct Specification {
  char fill = ' ';
  char align = '\0';  // '<' '>' '^' '='
  char sign = '-';
  bool alternate = false;
  bool comma = false;
  size_t width = 0;
  std::optional<size_t> precision;
  char type = '\0';
};

absl::StatusOr<size_t> ReadNumber(std::string_view text, size_t* at, size_t most) {
  size_t number = 0;
  for (; *at < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[*at])); ++*at) {
    number = number * 10 + static_cast<size_t>(text[*at] - '0');
    if (number > most) return Fail("a format asks for too many characters");
  }
  return number;
}

absl::StatusOr<Text> Padded(Run& run, const Text& text, const Specification& how, char default_align) {
  const size_t length = text.characters();
  if (length >= how.width) return text;
  HEARTH_RETURN_IF_ERROR(run.StepBytes(how.width));
  const size_t missing = how.width - length;
  const char align = how.align == '\0' ? default_align : how.align;
  // '=' puts the padding behind the sign.
  const size_t sign =
      align == '=' && !text.bytes.empty() && (text.bytes[0] == '-' || text.bytes[0] == '+') ? 1 : 0;
  const size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  TextBuilder out;
  out.Append(text, 0, sign);
  out.Append(std::string(before, how.fill));
  out.Append(text, sign, text.bytes.size());
  out.Append(std::string(missing - before, how.fill));
  return out.Take();
}

std::string WithCommas(std::string digits) {
  const size_t end = std::min(digits.find('.'), digits.size());
  for (size_t at = end; at > 3; at -= 3) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(digits[at - 4]))) break;
    digits.insert(at - 3, 1, ',');
  }
  return digits;
}

std::string Based(uint64_t magnitude, unsigned base, bool upper) {
  const char* const symbols = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits += symbols[magnitude % base];
    magnitude /= base;
  } while (magnitude > 0);
  return {digits.rbegin(), digits.rend()};
}

std::string Signed(bool negative, std::string magnitude, char sign) {
  const char* const plus = sign == '+' ? "+" : sign == ' ' ? " " : "";
  return absl::StrCat(negative ? "-" : plus, magnitude);
}

std::string IntegerFormat(int64_t value, const Specification& how) {
  const uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const unsigned base = how.type == 'x' || how.type == 'X' ? 16
                        : how.type == 'o'                  ? 8
                        : how.type == 'b'                  ? 2
                                                           : 10;
  std::string digits = Based(magnitude, base, how.type == 'X');
  if (how.comma) digits = WithCommas(std::move(digits));
  if (how.alternate && base != 10) digits = absl::StrCat("0", std::string(1, how.type), digits);
  return Signed(value < 0, std::move(digits), how.sign);
}

std::string FloatFormat(double value, const Specification& how) {
  if (how.type == '\0' && !how.precision) {
    return Signed(std::signbit(value) && !std::isnan(value), FloatText(std::fabs(value)), how.sign);
  }
  const bool percent = how.type == '%';
  const char type = percent ? 'f' : how.type == '\0' || how.type == 'n' ? 'g' : how.type;
  const std::string format = absl::StrCat(how.alternate ? "%#.*" : "%.*", std::string(1, type));
  char buffer[800];
  const int length =
      std::snprintf(buffer, sizeof buffer, format.c_str(), static_cast<int>(how.precision.value_or(6)),
                    std::fabs(value) * (percent ? 100 : 1));
  std::string digits(buffer, static_cast<size_t>(std::clamp(length, 0, 799)));
  if (how.comma) digits = WithCommas(std::move(digits));
  if (percent) digits += '%';
  return Signed(std::signbit(value) && !std::isnan(value), std::move(digits), how.sign);
}

bool IsFloatType(char type) { return std::string_view("eEfFgG%n").find(type) != std::string_view::npos; }

// -- "%..."
// ---------------------------------------------------------------------------------------------------

class PercentFormatter {
 public:
  PercentFormatter(Run& run, const Text& format, const Value& values)
      : run_(run), format_(format), values_(values) {
    const Sequence* const sequence = values.sequence();
    if (sequence != nullptr && sequence->is(SequenceKind::kTuple)) {
      arguments_ = sequence->items;
    } else {
      arguments_ = {values};
    }
  }

  absl::StatusOr<Text> Format() {
    const std::string& bytes = format_.bytes;
    for (size_t at = 0; at < bytes.size();) {
      const size_t percent = std::min(bytes.find('%', at), bytes.size());
      out_.Append(format_, at, percent);
      at = percent;
      if (at == bytes.size()) break;
      ++at;
      HEARTH_RETURN_IF_ERROR(Field(&at));
      HEARTH_RETURN_IF_ERROR(run_.CheckMemory(out_.size()));
    }
    // Python takes whatever has [] for a mapping.
    const Sequence* const sequence = values_.sequence();
    const bool mapping =
        values_.dict() != nullptr || values_.is_undefined() ||
        (sequence != nullptr && (sequence->is(SequenceKind::kList) || sequence->is(SequenceKind::kRange)));
    if (used_ < arguments_.size() && !mapping) {
      return Fail("not all values of a format are used");
    }
    return out_.Take();
  }

 private:
  absl::StatusOr<Value> NextArgument() {
    if (used_ >= arguments_.size()) return Fail("a format has more fields than values");
    return arguments_[used_++];
  }

  // What follows a '%' at `*at`.
  absl::Status Field(size_t* at) {
    const std::string_view bytes = format_.bytes;
    HEARTH_RETURN_IF_ERROR(run_.Step());
    std::optional<Value> argument;
    if (*at < bytes.size() && bytes[*at] == '(') {
      HEARTH_ASSIGN_OR_RETURN(argument, NamedArgument(at));
    }
    HEARTH_ASSIGN_OR_RETURN(Specification how, ReadSpecification(at));
    if (*at >= bytes.size()) return Fail("a format ends within a field");
    how.type = bytes[(*at)++];
    if (how.type == '%') {
      out_.Append("%");
      return absl::OkStatus();
    }
    if (!argument) {
      HEARTH_ASSIGN_OR_RETURN(argument, NextArgument());
    }
    HEARTH_ASSIGN_OR_RETURN(const Text text, Converted(*argument, how));
    HEARTH_ASSIGN_OR_RETURN(const Text padded, Padded(run_, text, how, '>'));
    out_.Append(padded);
    return absl::OkStatus();
  }

  absl::StatusOr<Value> NamedArgument(size_t* at) {
    const size_t end = format_.bytes.find(')', *at);
    const Dict* const dict = values_.dict();
    if (end == std::string::npos || dict == nullptr) return Fail("a format with %(name) needs a dict");
    const std::string name = format_.bytes.substr(*at + 1, end - *at - 1);
    const Value* const found = dict->Find(name);
    if (found == nullptr) return Fail(absl::StrCat("a format asks for '", name, "', which is not given"));
    *at = end + 1;
    return *found;
  }

  absl::StatusOr<Specification> ReadSpecification(size_t* at) {
    const std::string_view bytes = format_.bytes;
    Specification how;
    bool zero = false;
    for (; *at < bytes.size() && std::string_view("-+ #0").find(bytes[*at]) != std::string_view::npos;
         ++*at) {
      const char flag = bytes[*at];
      if (flag == '-') how.align = '<';
      if (flag == '+' || (flag == ' ' && how.sign != '+')) how.sign = flag;
      how.alternate |= flag == '#';
      zero |= flag == '0';
    }
    if (zero && how.align == '\0') {
      how.fill = '0';
      how.align = '=';
    }
    HEARTH_ASSIGN_OR_RETURN(how.width, ReadNumber(bytes, at, kMaxWidth));
    if (*at < bytes.size() && bytes[*at] == '.') {
      ++*at;
      HEARTH_ASSIGN_OR_RETURN(how.precision, ReadNumber(bytes, at, kMaxPrecision));
    }
    return how;
  }

  absl::StatusOr<Text> Converted(const Value& value, Specification& how) {
    switch (how.type) {
      case 's':
      case 'r': {
        HEARTH_ASSIGN_OR_RETURN(const Text text, how.type == 's' ? ToText(run_, value) : ToRepr(run_, value));
        if (how.fill == '0') how.fill = ' ', how.align = '>';
        if (!how.precision) return text;
        return Part(text, 0, ByteOfCharacter(text.bytes, *how.precision));
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        if (!value.number() ||
            (value.real() != nullptr && how.type != 'd' && how.type != 'i' && how.type != 'u'))
          break;
        if (value.real() != nullptr && !(std::fabs(*value.real()) < 0x1p63)) {
          return Fail("a number does not fit an integer of 64 bits");
        }
        return Text(
            IntegerFormat(value.integer().value_or(static_cast<int64_t>(value.number().value())), how));
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.number()) break;
        return Text(FloatFormat(*value.number(), how));
      default:
        return Fail(absl::StrCat("a format has an unknown field '%", std::string(1, how.type), "'"));
    }
    return Fail(absl::StrCat("a format's field '%", std::string(1, how.type), "' needs a number, not '",
                             AbslView(value.type_name()), "'"));
  }

  Run& run_;
  const Text& format_;
  const Value& values_;
  std::vector<Value> arguments_;
  size_t used_ = 0;
  TextBuilder out_;
};

// -- "{...}"
// --------------------------------------------------------------------------------------------------

// [[fill]align][sign][#][0][width][,][.precision][type]
absl::StatusOr<Specification> ReadBraceSpecification(std::string_view text) {
  Specification how;
  size_t at = 0;
  const auto is_align = [&](size_t i) {
    return i < text.size() && std::string_view("<>^=").find(text[i]) != std::string_view::npos;
  };
  if (is_align(1)) {
    how.fill = text[0];
    how.align = text[1];
    at = 2;
  } else if (is_align(0)) {
    how.align = text[at++];
  }
  const auto skip = [&](char c) { return at < text.size() && text[at] == c && (++at, true); };
  if (skip('+')) how.sign = '+';
  if (skip('-')) how.sign = '-';
  if (skip(' ')) how.sign = ' ';
  how.alternate = skip('#');
  if (skip('0') && how.align == '\0') {
    how.fill = '0';
    how.align = '=';
  }
  HEARTH_ASSIGN_OR_RETURN(how.width, ReadNumber(text, &at, kMaxWidth));
  how.comma = skip(',');
  if (skip('.')) {
    HEARTH_ASSIGN_OR_RETURN(how.precision, ReadNumber(text, &at, kMaxPrecision));
  }
  if (at < text.size()) how.type = text[at++];
  if (at != text.size())
    return Fail(absl::StrCat("the format specification '", AbslView(text), "' is not known"));
  return how;
}

absl::StatusOr<Text> FormatOne(Run& run, const Value& value, std::string_view specification) {
  if (specification.empty()) return ToText(run, value);
  HEARTH_ASSIGN_OR_RETURN(const Specification how, ReadBraceSpecification(specification));
  if (value.real() != nullptr || (value.integer() && IsFloatType(how.type))) {
    return Padded(run, Text(FloatFormat(*value.number(), how)), how, '>');
  }
  if (value.is_int() || (value.boolean() != nullptr && how.type != '\0' && how.type != 's')) {
    if (how.type != '\0' && std::string_view("dxXob").find(how.type) == std::string_view::npos) {
      return Fail("the format specification does not fit an integer");
    }
    return Padded(run, Text(IntegerFormat(*value.integer(), how)), how, '>');
  }
  if (value.string() == nullptr || (how.type != '\0' && how.type != 's') || how.align == '=' || how.comma) {
    return Fail(absl::StrCat("the format specification '", AbslView(specification),
                             "' does not fit a value of type '", AbslView(value.type_name()), "'"));
  }
  const Text& text = *value.string();
  const size_t end = how.precision ? ByteOfCharacter(text.bytes, *how.precision) : text.bytes.size();
  return Padded(run, Part(text, 0, end), how, '<');
}

class BraceFormatter {
 public:
  BraceFormatter(Run& run, const Text& format, const Arguments& arguments)
      : run_(run), format_(format), arguments_(arguments) {}

  absl::StatusOr<Text> Format() {
    const std::string_view bytes = format_.bytes;
    for (size_t at = 0; at < bytes.size();) {
      const size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
      out_.Append(format_, at, brace);
      at = brace + 1;
      if (brace == bytes.size()) break;
      if (at < bytes.size() && bytes[at] == bytes[brace]) {
        out_.Append(format_, brace, at);
        ++at;
      } else {
        if (bytes[brace] == '}') return Fail("a format has a '}' without a '{'");
        const size_t end = bytes.find('}', at);
        if (end == std::string_view::npos) return Fail("a format has a '{' without a '}'");
        HEARTH_RETURN_IF_ERROR(Field(bytes.substr(at, end - at)));
        at = end + 1;
      }
      HEARTH_RETURN_IF_ERROR(run_.CheckMemory(out_.size()));
    }
    return out_.Take();
  }

 private:
  absl::Status Field(std::string_view field) {
    HEARTH_RETURN_IF_ERROR(run_.Step());
    const size_t colon = std::min(field.find(':'), field.size());
    std::string_view name = field.substr(0, colon);
    const std::string_view specification = colon < field.size() ? field.substr(colon + 1) : "";
    if (specification.find('{') != std::string_view::npos)
      return Fail("a format specification has fields of its own");
    const size_t mark = name.find('!');
    const std::string_view conversion = mark == std::string_view::npos ? "" : name.substr(mark + 1);
    name = name.substr(0, mark);
    HEARTH_ASSIGN_OR_RETURN(Value value, Find(name));
    if (conversion == "r" || conversion == "s") {
      HEARTH_ASSIGN_OR_RETURN(Text text, conversion == "r" ? ToRepr(run_, value) : ToText(run_, value));
      HEARTH_ASSIGN_OR_RETURN(value, run_.String(std::move(text)));
    } else if (!conversion.empty()) {
      return Fail("a format's conversion must be !s or !r");
    }
    HEARTH_ASSIGN_OR_RETURN(const Text text, FormatOne(run_, value, specification));
    out_.Append(text);
    return absl::OkStatus();
  }

  // name, then any number of .attribute and [index].
  absl::StatusOr<Value> Find(std::string_view name) {
    size_t at = std::min(name.find_first_of(".["), name.size());
    HEARTH_ASSIGN_OR_RETURN(Value value, First(name.substr(0, at)));
    while (at < name.size()) {
      if (name[at] == '.') {
        const size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        HEARTH_ASSIGN_OR_RETURN(value,
                                GetAttribute(run_, value, std::string(name.substr(at + 1, end - at - 1))));
        at = end;
        continue;
      }
      const size_t end = name.find(']', at);
      if (name[at] != '[' || end == std::string_view::npos) return Fail("a field of a format cannot be read");
      const std::string_view key = name.substr(at + 1, end - at - 1);
      int64_t index = 0;
      HEARTH_ASSIGN_OR_RETURN(const Value item, absl::SimpleAtoi(AbslView(key), &index) ? Result(Value(index))
                                                                                        : run_.String(key));
      HEARTH_ASSIGN_OR_RETURN(value, GetItem(run_, value, item));
      at = end + 1;
    }
    return value;
  }

  absl::StatusOr<Value> First(std::string_view name) {
    int64_t number = -1;
    if (name.empty()) {
      number = static_cast<int64_t>(next_++);
    } else if (!absl::SimpleAtoi(AbslView(name), &number)) {
      for (const auto& [key, value] : arguments_.named) {
        if (key == name) return value;
      }
      return Fail(absl::StrCat("a format asks for '", AbslView(name), "', which is not given"));
    }
    if (number < 0 || static_cast<size_t>(number) >= arguments_.positional.size()) {
      return Fail("a format has more fields than values");
    }
    return arguments_.positional[static_cast<size_t>(number)];
  }

  Run& run_;
  const Text& format_;
  const Arguments& arguments_;
  size_t next_ = 0;
  TextBuilder out_;
};

}  // namespace

absl::StatusOr<Text> FormatPercent(Run& run, const Text& format, const Value& values) {
  return PercentFormatter(run, format, values).Format();
}

absl::StatusOr<Text> FormatBraces(Run& run, const Text& format, const Arguments& arguments) {
  return BraceFormatter(run, format, arguments).Format();
}

}  // namespace hearth::jinja
