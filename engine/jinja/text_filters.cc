#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/filters.h"
#include "engine/jinja/format.h"
#include "engine/jinja/methods.h"
#include "engine/jinja/operators.h"
#include "engine/jinja/string_functions.h"
#include "engine/token/unicode.h"

namespace hearth::jinja {
namespace {

absl::StatusOr<int64_t> IntegerOr(const FilterCall& call, const Value* value, int64_t fallback) {
  if (value == nullptr) return fallback;
  if (const auto integer = value->integer()) return *integer;
  return Fail(
      absl::StrCat(AbslView(call.name), " needs an integer, not '", AbslView(value->type_name()), "'"));
}

// The input as a string, and a string argument.
absl::StatusOr<const Text*> StringArgument(const FilterCall& call, const Value& value) {
  if (value.string() != nullptr) return value.string();
  HEARTH_RETURN_IF_ERROR(CheckDefined(value));
  return Fail(absl::StrCat(AbslView(call.name), " needs a string, not '", AbslView(value.type_name()), "'"));
}

// str(input) through the string method of the filter's name.
Result AsMethod(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(Text text, ToText(call.run, call.input));
  HEARTH_ASSIGN_OR_RETURN(const Value string, call.run.String(std::move(text)));
  return CallStringMethod(call.run, string, call.name == "trim" ? "strip" : call.name, call.arguments);
}

Result StringFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  if (call.input.string() != nullptr) return call.input;
  HEARTH_ASSIGN_OR_RETURN(Text text, ToText(call.run, call.input));
  return call.run.String(std::move(text));
}

Result EscapeFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, call.input));
  HEARTH_RETURN_IF_ERROR(call.run.StepBytes(text.bytes.size() * 4));
  constexpr std::string_view kCharacters = "&<>'\"";
  constexpr std::string_view kEscapes[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  TextBuilder out;
  for (size_t at = 0; at < text.bytes.size(); ++at) {
    const size_t found = kCharacters.find(text.bytes[at]);
    found == std::string_view::npos ? out.Append(text, at, at + 1)
                                    : out.Append(kEscapes[found], text.any_input());
  }
  return call.run.String(out.Take());
}

Result TitleFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, call.input));
  HEARTH_RETURN_IF_ERROR(call.run.StepBytes(text.bytes.size() * 4));
  TextBuilder out;
  bool first = true;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t begin = at;
    const char32_t character = NextCharacter(text.bytes, &at);
    const Text one = Part(text, begin, at);
    out.Append(first ? Upper(one) : Lower(one));
    first = IsSpace(character) ||
            (character < 0x80 &&
             std::string_view("-({[<").find(static_cast<char>(character)) != std::string_view::npos);
  }
  return call.run.String(out.Take());
}

Result ReplaceFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"old", "new", "count"}, 2));
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, call.input));
  HEARTH_ASSIGN_OR_RETURN(const Text old, ToText(call.run, *bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const Text replacement, ToText(call.run, *bound[1]));
  const bool all = bound[2] == nullptr || bound[2]->is_none();
  HEARTH_ASSIGN_OR_RETURN(const int64_t count, IntegerOr(call, all ? nullptr : bound[2], -1));
  HEARTH_ASSIGN_OR_RETURN(
      Text replaced, Replace(call.run, text, old.bytes, replacement,
                             count < 0 ? std::numeric_limits<size_t>::max() : static_cast<size_t>(count)));
  return call.run.String(std::move(replaced));
}

Result CenterFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"width"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(call, bound[0], 80));
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, call.input));
  HEARTH_ASSIGN_OR_RETURN(Text centred, Pad(call.run, text, width, Text(" "), Alignment::kCenter));
  return call.run.String(std::move(centred));
}

Result IndentFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"width", "first", "blank"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const Text* const text, StringArgument(call, call.input));
  Text indention("    ");
  if (bound[0] != nullptr && bound[0]->string() != nullptr) {
    indention = *bound[0]->string();
  } else if (bound[0] != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(call, bound[0], 4));
    HEARTH_ASSIGN_OR_RETURN(indention, Pad(call.run, Text(), width, Text(" "), Alignment::kLeft));
  }
  const bool first = bound[1] != nullptr && Truth(*bound[1]), blank = bound[2] != nullptr && Truth(*bound[2]);
  HEARTH_RETURN_IF_ERROR(call.run.CheckMemory(text->bytes.size() * 32));
  TextBuilder with_end;
  with_end.Append(*text);
  with_end.Append("\n");
  const std::vector<Text> lines = SplitLines(with_end.Take(), /*keep_ends=*/false);
  TextBuilder out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n");
    if (i == 0 ? first : blank || !lines[i].bytes.empty()) out.Append(indention);
    out.Append(lines[i]);
    HEARTH_RETURN_IF_ERROR(call.run.StepBytes(indention.bytes.size() + lines[i].bytes.size()));
    HEARTH_RETURN_IF_ERROR(call.run.CheckMemory(out.size()));
  }
  return call.run.String(out.Take());
}

Result TruncateFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"length", "killwords", "end", "leeway"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const Text* const text, StringArgument(call, call.input));
  HEARTH_ASSIGN_OR_RETURN(const int64_t length, IntegerOr(call, bound[0], 255));
  const bool no_leeway = bound[3] == nullptr || bound[3]->is_none();
  HEARTH_ASSIGN_OR_RETURN(const int64_t leeway, IntegerOr(call, no_leeway ? nullptr : bound[3], 5));
  Text end("...");
  if (bound[2] != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Text* const given, StringArgument(call, *bound[2]));
    end = *given;
  }
  const auto end_length = static_cast<int64_t>(end.characters());
  if (length < end_length || leeway < 0) return Fail("truncate needs a length of at least that of its end");
  if (static_cast<int64_t>(text->characters()) - leeway <= length) return call.input;
  size_t kept = ByteOfCharacter(text->bytes, static_cast<size_t>(length - end_length));
  if (bound[1] == nullptr || !Truth(*bound[1])) {
    const size_t space = std::string_view(text->bytes).substr(0, kept).rfind(' ');
    if (space != std::string_view::npos) kept = space;
  }
  TextBuilder out;
  out.Append(*text, 0, kept);
  out.Append(end);
  return call.run.String(out.Take());
}

Result WordCountFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, call.input));
  HEARTH_RETURN_IF_ERROR(call.run.StepBytes(text.bytes.size()));
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.bytes.size();) {
    const char32_t c = NextCharacter(text.bytes, &at);
    const bool word =
        c == '_' || Category(c) == CodePointCategory::kLetter || Category(c) == CodePointCategory::kNumber;
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value(count);
}

Result FormatFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, call.input));
  if (!call.arguments.positional.empty() && !call.arguments.named.empty()) {
    return Fail("format takes values either by position or by name");
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : call.arguments.named) entries.emplace_back(Value::Constant(name), value);
  HEARTH_ASSIGN_OR_RETURN(const Value values,
                          entries.empty() ? call.run.List(call.arguments.positional, SequenceKind::kTuple)
                                          : call.run.Dict(std::move(entries)));
  HEARTH_ASSIGN_OR_RETURN(Text formatted, FormatPercent(call.run, text, values));
  return call.run.String(std::move(formatted));
}

// `indent` of tojson: so many spaces, or a string.
absl::StatusOr<std::optional<Text>> JsonIndent(const FilterCall& call, const Value* indent) {
  if (indent == nullptr || indent->is_none()) return std::nullopt;
  if (indent->string() != nullptr) return std::optional(*indent->string());
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, IntegerOr(call, indent, 0));
  if (width > 256) return Fail("tojson indents by at most 256 spaces");
  return std::optional(Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ')));
}

Result ToJsonFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound,
                          call.Bound({"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonOptions options;
  options.ascii = bound[0] != nullptr && Truth(*bound[0]);
  HEARTH_ASSIGN_OR_RETURN(options.indent, JsonIndent(call, bound[1]));
  if (options.indent) options.item_separator = Text(",");
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    const Sequence* const separators = bound[2]->sequence();
    if (separators == nullptr || separators->items.size() != 2) return Fail("tojson needs two separators");
    HEARTH_ASSIGN_OR_RETURN(const Text* const item, StringArgument(call, separators->items[0]));
    HEARTH_ASSIGN_OR_RETURN(const Text* const key, StringArgument(call, separators->items[1]));
    options.item_separator = *item;
    options.key_separator = *key;
  }
  options.sort_keys = bound[3] != nullptr && Truth(*bound[3]);
  HEARTH_ASSIGN_OR_RETURN(Text text, ToJson(call.run, call.input, options));
  return call.run.String(std::move(text));
}

// -- Numbers
// --------------------------------------------------------------------------------------------------

std::string WithoutUnderscores(std::string_view text) {
  std::string digits(absl::StripAsciiWhitespace(AbslView(text)));
  if (digits.find("__") == std::string::npos && !digits.starts_with('_') && !digits.ends_with('_')) {
    std::erase(digits, '_');
  }
  return digits;
}

// int(text, base); nullopt where Python raises ValueError.
absl::StatusOr<std::optional<int64_t>> ParseInteger(std::string_view text, int64_t base) {
  std::string digits = WithoutUnderscores(text);
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  const char prefix = digits.size() > 1 && digits[0] == '0'
                          ? absl::ascii_tolower(static_cast<unsigned char>(digits[1]))
                          : '\0';
  if ((prefix == 'x' && base == 16) || (prefix == 'o' && base == 8) || (prefix == 'b' && base == 2))
    digits.erase(0, 2);
  int64_t value = 0;
  if (digits.empty()) return std::nullopt;
  for (const char c : digits) {
    const int digit = absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0'
                      : absl::ascii_isalpha(static_cast<unsigned char>(c))
                          ? absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10
                          : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_sub_overflow(value, digit, &value)) {
      return Fail("an integer does not fit 64 bits");
    }
  }
  if (!negative && __builtin_sub_overflow(int64_t{0}, value, &value))
    return Fail("an integer does not fit 64 bits");
  return value;
}

std::optional<double> ParseFloat(std::string_view text) {
  const std::string digits = WithoutUnderscores(text);
  // What Python reads: no hexadecimal numbers.
  if (digits.find_first_of("xXpP") != std::string::npos) return std::nullopt;
  double value = 0;
  return absl::SimpleAtod(digits, &value) ? std::optional(value) : std::nullopt;
}

Result Truncated(double value) {
  if (!(std::fabs(value) < 0x1p63)) return Fail("a number is too large for an integer of 64 bits");
  return Value(static_cast<int64_t>(value));
}

Result IntFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"default", "base"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const int64_t base, IntegerOr(call, bound[1], 10));
  HEARTH_RETURN_IF_ERROR(CheckDefined(call.input));
  const Value fallback = bound[0] != nullptr ? *bound[0] : Value(int64_t{0});
  if (const auto integer = call.input.integer()) return Value(*integer);
  if (call.input.real() != nullptr)
    return std::isnan(*call.input.real()) ? Result(fallback) : Truncated(*call.input.real());
  if (call.input.string() == nullptr) return fallback;
  HEARTH_ASSIGN_OR_RETURN(const auto parsed, ParseInteger(call.input.string()->bytes, base));
  if (parsed) return Value(*parsed);
  const auto real = ParseFloat(call.input.string()->bytes);
  return real && std::isfinite(*real) ? Truncated(*real) : Result(fallback);
}

Result FloatFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"default"}, 0));
  HEARTH_RETURN_IF_ERROR(CheckDefined(call.input));
  const Value fallback = bound[0] != nullptr ? *bound[0] : Value(0.0);
  if (const auto number = call.input.number()) return Value(*number);
  if (call.input.string() == nullptr) return fallback;
  const auto real = ParseFloat(call.input.string()->bytes);
  return real ? Value(*real) : fallback;
}

Result AbsFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  if (call.input.real() != nullptr) return Value(std::fabs(*call.input.real()));
  HEARTH_ASSIGN_OR_RETURN(const bool negative, Less(call.run, call.input, Value(int64_t{0})));
  return ApplyUnary(negative ? UnaryOperator::kMinus : UnaryOperator::kPlus, call.input);
}

// round(): to even where two are equally near, of the exact value.
Result RoundCommon(const Value& value, int64_t precision) {
  if (value.real() == nullptr) {
    if (precision >= 0) return Value(*value.integer());
    if (precision < -18) return Value(int64_t{0});
    int64_t unit = 1;
    for (int64_t i = precision; i < 0; ++i) unit *= 10;
    const int64_t integer = *value.integer();
    int64_t quotient = integer / unit;
    const int64_t rest = std::abs(integer % unit), half = unit / 2;
    if (rest > half || (rest == half && quotient % 2 != 0)) quotient += integer < 0 ? -1 : 1;
    int64_t rounded = 0;
    if (__builtin_mul_overflow(quotient, unit, &rounded)) return Fail("an integer does not fit 64 bits");
    return Value(rounded);
  }
  const double real = *value.real();
  if (!std::isfinite(real) || precision > 300) return Value(real);
  if (precision < -308) return Value(std::copysign(0.0, real));
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return Value(std::nearbyint(real / unit) * unit);
  }
  char buffer[800];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), real);
  double rounded = 0;
  if (!absl::SimpleAtod(buffer, &rounded)) return Value(real);
  return Value(rounded);
}

Result RoundFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"precision", "method"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const int64_t precision, IntegerOr(call, bound[0], 0));
  HEARTH_RETURN_IF_ERROR(CheckDefined(call.input));
  if (!call.input.number())
    return Fail(absl::StrCat("a value of type '", AbslView(call.input.type_name()), "' cannot be rounded"));
  const std::string method =
      bound[1] != nullptr && bound[1]->string() != nullptr ? bound[1]->string()->bytes : "common";
  if (method == "common") return RoundCommon(call.input, precision);
  if (method != "ceil" && method != "floor") return Fail("the method of round is common, ceil or floor");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *call.input.number() * unit;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit + 0.0);  // never -0
}

constexpr std::pair<std::string_view, FilterFunction> kTextFilters[] = {
    {"abs", AbsFilter},
    {"capitalize", AsMethod},
    {"center", CenterFilter},
    {"e", EscapeFilter},
    {"escape", EscapeFilter},
    {"float", FloatFilter},
    {"forceescape", EscapeFilter},
    {"format", FormatFilter},
    {"indent", IndentFilter},
    {"int", IntFilter},
    {"lower", AsMethod},
    {"replace", ReplaceFilter},
    {"round", RoundFilter},
    {"safe", StringFilter},
    {"string", StringFilter},
    {"title", TitleFilter},
    {"tojson", ToJsonFilter},
    {"trim", AsMethod},
    {"truncate", TruncateFilter},
    {"upper", AsMethod},
    {"wordcount", WordCountFilter},
};

}  // namespace

FilterFunction FindTextFilter(std::string_view name) {
  for (const auto& [filter, function] : kTextFilters) {
    if (filter == name) return function;
  }
  return nullptr;
}

}  // namespace hearth::jinja
