#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/format.h"
#include "engine/jinja/methods.h"
#include "engine/jinja/operators.h"
#include "engine/jinja/string_functions.h"
#include "engine/token/unicode.h"

namespace hearth::jinja {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

// One call of a method of `text`.
struct StringCall {
  Run& run;
  const Text& text;
  std::string_view name;
  const Arguments& arguments;

  absl::StatusOr<std::vector<const Value*>> Bound(const std::vector<std::string_view>& names,
                                                  size_t required) const {
    return Bind(name, arguments, names, required);
  }
  absl::StatusOr<const Text*> TextOf(const Value& value) const {
    if (value.string() != nullptr) return value.string();
    HEARTH_RETURN_IF_ERROR(CheckDefined(value));
    return Fail(absl::StrCat(AbslView(name), " needs a string, not '", AbslView(value.type_name()), "'"));
  }
  absl::StatusOr<int64_t> IntegerOf(const Value& value) const {
    if (const auto integer = value.integer()) return *integer;
    return Fail(absl::StrCat(AbslView(name), " needs an integer, not '", AbslView(value.type_name()), "'"));
  }
};

Result Case(const StringCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  if (call.name == "upper") return call.run.String(Upper(call.text));
  if (call.name == "lower" || call.name == "casefold") return call.run.String(Lower(call.text));
  if (call.name == "capitalize") return call.run.String(Capitalize(call.text));
  return call.run.String(call.name == "title" ? TitleWords(call.text) : SwapCase(call.text));
}

Result StripCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"chars"}, 0));
  const Text* characters = nullptr;
  if (bound[0] != nullptr && !bound[0]->is_none()) {
    HEARTH_ASSIGN_OR_RETURN(characters, call.TextOf(*bound[0]));
    HEARTH_RETURN_IF_ERROR(call.run.Step(1 + call.text.bytes.size() * characters->bytes.size() / 256));
  }
  return call.run.String(Strip(call.text, characters, call.name != "rstrip", call.name != "lstrip"));
}

// The list of parts.
Result ListOf(Run& run, std::vector<Text> parts, SequenceKind kind = SequenceKind::kList) {
  std::vector<Value> items;
  for (Text& part : parts) {
    HEARTH_ASSIGN_OR_RETURN(Value item, run.String(std::move(part)));
    items.push_back(std::move(item));
  }
  return run.List(std::move(items), kind);
}

Result SplitCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"sep", "maxsplit"}, 0));
  size_t limit = kNoLimit;
  if (bound[1] != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const int64_t most, call.IntegerOf(*bound[1]));
    if (most >= 0) limit = static_cast<size_t>(most);
  }
  const bool from_right = call.name == "rsplit";
  HEARTH_RETURN_IF_ERROR(call.run.CheckMemory(call.text.bytes.size() * 32));
  if (bound[0] == nullptr || bound[0]->is_none())
    return ListOf(call.run, SplitWords(call.text, limit, from_right));
  HEARTH_ASSIGN_OR_RETURN(const Text* const separator, call.TextOf(*bound[0]));
  if (separator->bytes.empty()) return Fail("split needs a separator that is not empty");
  // Looking from the right compares at every place.
  if (from_right)
    HEARTH_RETURN_IF_ERROR(call.run.Step(call.text.bytes.size() * separator->bytes.size() / 64));
  return ListOf(call.run, Split(call.text, separator->bytes, limit, from_right));
}

Result SplitLinesCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"keepends"}, 0));
  HEARTH_RETURN_IF_ERROR(call.run.CheckMemory(call.text.bytes.size() * 32));
  return ListOf(call.run, SplitLines(call.text, bound[0] != nullptr && Truth(*bound[0])));
}

Result PartitionCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"sep"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* const separator, call.TextOf(*bound[0]));
  if (separator->bytes.empty()) return Fail("partition needs a separator that is not empty");
  const std::string& bytes = call.text.bytes;
  const bool last = call.name == "rpartition";
  const size_t found = last ? FindLast(bytes, separator->bytes, 0, bytes.size())
                            : FindFirst(bytes, separator->bytes, 0, bytes.size());
  std::vector<Text> parts(3);
  if (found == std::string::npos) {
    parts[last ? 2 : 0] = call.text;
  } else {
    const size_t end = found + separator->bytes.size();
    parts = {Part(call.text, 0, found), Part(call.text, found, end), Part(call.text, end, bytes.size())};
  }
  return ListOf(call.run, std::move(parts), SequenceKind::kTuple);
}

// The bytes between the characters `begin` and `end`, which count from the end where negative.
struct ByteSpan {
  size_t begin, end;
  bool valid;  // begin <= end and within the text
};
absl::StatusOr<ByteSpan> ByteSpanOf(const StringCall& call, const Value* begin, const Value* end) {
  const auto count = static_cast<int64_t>(call.text.characters());
  int64_t first = 0, last = count;
  if (begin != nullptr && !begin->is_none()) {
    HEARTH_ASSIGN_OR_RETURN(first, call.IntegerOf(*begin));
  }
  if (end != nullptr && !end->is_none()) {
    HEARTH_ASSIGN_OR_RETURN(last, call.IntegerOf(*end));
  }
  if (first < 0) first = first < -count ? 0 : first + count;
  if (last < 0) last = last < -count ? 0 : last + count;
  last = std::min(last, count);
  if (first > last) return ByteSpan{0, 0, false};
  return ByteSpan{ByteOfCharacter(call.text.bytes, static_cast<size_t>(first)),
                  ByteOfCharacter(call.text.bytes, static_cast<size_t>(last)), true};
}

Result FindCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"sub", "start", "end"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* const wanted, call.TextOf(*bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const ByteSpan span, ByteSpanOf(call, bound[1], bound[2]));
  const bool last = call.name.starts_with('r');
  const std::string& bytes = call.text.bytes;
  const size_t found = !span.valid ? std::string::npos
                       : last      ? FindLast(bytes, wanted->bytes, span.begin, span.end)
                                   : FindFirst(bytes, wanted->bytes, span.begin, span.end);
  if (found != std::string::npos) {
    return Value(static_cast<int64_t>(CountCharacters(std::string_view(bytes).substr(0, found))));
  }
  if (call.name.ends_with("index")) return Fail("the string does not contain what index looks for");
  return Value(int64_t{-1});
}

Result CountCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"sub", "start", "end"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* const wanted, call.TextOf(*bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const ByteSpan span, ByteSpanOf(call, bound[1], bound[2]));
  if (!span.valid) return Value(int64_t{0});
  const std::string_view bytes = std::string_view(call.text.bytes).substr(span.begin, span.end - span.begin);
  if (wanted->bytes.empty()) return Value(static_cast<int64_t>(CountCharacters(bytes)) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = FindFirst(bytes, wanted->bytes, at, bytes.size())) != std::string::npos;) {
    at += wanted->bytes.size();
    ++count;
  }
  return Value(count);
}

Result StartsEndsCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"prefix", "start", "end"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const ByteSpan span, ByteSpanOf(call, bound[1], bound[2]));
  const std::string_view bytes =
      span.valid ? std::string_view(call.text.bytes).substr(span.begin, span.end - span.begin) : "";
  std::vector<Value> wanted = {*bound[0]};
  if (const Sequence* const several = bound[0]->sequence();
      several != nullptr && several->is(SequenceKind::kTuple)) {
    wanted = several->items;
  }
  for (const Value& one : wanted) {
    HEARTH_ASSIGN_OR_RETURN(const Text* const text, call.TextOf(one));
    HEARTH_RETURN_IF_ERROR(call.run.StepBytes(text->bytes.size()));
    if (span.valid &&
        (call.name == "startswith" ? bytes.starts_with(text->bytes) : bytes.ends_with(text->bytes))) {
      return Value(true);
    }
  }
  return Value(false);
}

Result ReplaceCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"old", "new", "count"}, 2));
  HEARTH_ASSIGN_OR_RETURN(const Text* const old, call.TextOf(*bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const Text* const replacement, call.TextOf(*bound[1]));
  int64_t most = -1;
  if (bound[2] != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(most, call.IntegerOf(*bound[2]));
  }
  HEARTH_ASSIGN_OR_RETURN(Text text, Replace(call.run, call.text, old->bytes, *replacement,
                                             most < 0 ? kNoLimit : static_cast<size_t>(most)));
  return call.run.String(std::move(text));
}

Result RemoveCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"affix"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text* const affix, call.TextOf(*bound[0]));
  const size_t size = call.text.bytes.size(), length = affix->bytes.size();
  if (call.name == "removeprefix") {
    return call.run.String(Part(call.text, call.text.bytes.starts_with(affix->bytes) ? length : 0, size));
  }
  return call.run.String(Part(call.text, 0, call.text.bytes.ends_with(affix->bytes) ? size - length : size));
}

Result JoinCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"iterable"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, *bound[0]));
  TextBuilder out;
  for (size_t i = 0; i < items.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const Text* const item, call.TextOf(items[i]));
    if (i > 0) out.Append(call.text);
    out.Append(*item);
    HEARTH_RETURN_IF_ERROR(call.run.StepBytes(call.text.bytes.size() + item->bytes.size()));
    HEARTH_RETURN_IF_ERROR(call.run.CheckMemory(out.size()));
  }
  return call.run.String(out.Take());
}

Result PadCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"width", "fillchar"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, call.IntegerOf(*bound[0]));
  Text fill(" ");
  if (bound[1] != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Text* const given, call.TextOf(*bound[1]));
    if (given->characters() != 1) return Fail(absl::StrCat(AbslView(call.name), " fills with one character"));
    fill = *given;
  }
  const Alignment alignment = call.name == "center"  ? Alignment::kCenter
                              : call.name == "ljust" ? Alignment::kLeft
                                                     : Alignment::kRight;
  HEARTH_ASSIGN_OR_RETURN(Text text, Pad(call.run, call.text, width, fill, alignment));
  return call.run.String(std::move(text));
}

Result ZeroFillCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"width"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const int64_t width, call.IntegerOf(*bound[0]));
  const std::string& bytes = call.text.bytes;
  const size_t sign = !bytes.empty() && (bytes[0] == '-' || bytes[0] == '+') ? 1 : 0;
  HEARTH_ASSIGN_OR_RETURN(const Text digits, Pad(call.run, Part(call.text, sign, bytes.size()),
                                                 std::max<int64_t>(width, sign) - static_cast<int64_t>(sign),
                                                 Text("0"), Alignment::kRight));
  TextBuilder out;
  out.Append(call.text, 0, sign);
  out.Append(digits);
  return call.run.String(out.Take());
}

Result FormatCall(const StringCall& call) {
  HEARTH_ASSIGN_OR_RETURN(Text text, FormatBraces(call.run, call.text, call.arguments));
  return call.run.String(std::move(text));
}

Result IsCall(const StringCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  return Value(HasCharacterClass(call.text, call.name));
}

Result UnknownCall(const StringCall& call) {
  return Fail(absl::StrCat("the string method '", AbslView(call.name), "' is not known here"));
}

using MethodFunction = Result (*)(const StringCall&);

constexpr std::pair<std::string_view, MethodFunction> kMethods[] = {
    {"capitalize", Case},
    {"casefold", Case},
    {"center", PadCall},
    {"count", CountCall},
    {"encode", UnknownCall},
    {"endswith", StartsEndsCall},
    {"expandtabs", UnknownCall},
    {"find", FindCall},
    {"format", FormatCall},
    {"format_map", UnknownCall},
    {"index", FindCall},
    {"isalnum", IsCall},
    {"isalpha", IsCall},
    {"isascii", IsCall},
    {"isdecimal", IsCall},
    {"isdigit", IsCall},
    {"isidentifier", UnknownCall},
    {"islower", IsCall},
    {"isnumeric", IsCall},
    {"isprintable", IsCall},
    {"isspace", IsCall},
    {"istitle", UnknownCall},
    {"isupper", IsCall},
    {"join", JoinCall},
    {"ljust", PadCall},
    {"lower", Case},
    {"lstrip", StripCall},
    {"maketrans", UnknownCall},
    {"partition", PartitionCall},
    {"removeprefix", RemoveCall},
    {"removesuffix", RemoveCall},
    {"replace", ReplaceCall},
    {"rfind", FindCall},
    {"rindex", FindCall},
    {"rjust", PadCall},
    {"rpartition", PartitionCall},
    {"rsplit", SplitCall},
    {"rstrip", StripCall},
    {"split", SplitCall},
    {"splitlines", SplitLinesCall},
    {"startswith", StartsEndsCall},
    {"strip", StripCall},
    {"swapcase", Case},
    {"title", Case},
    {"translate", UnknownCall},
    {"upper", Case},
    {"zfill", ZeroFillCall},
};

MethodFunction FindFunction(std::string_view name) {
  const auto* const found =
      std::lower_bound(std::begin(kMethods), std::end(kMethods), name,
                       [](const auto& method, std::string_view wanted) { return method.first < wanted; });
  return found != std::end(kMethods) && found->first == name ? found->second : nullptr;
}

}  // namespace

bool IsStringMethod(std::string_view name) { return FindFunction(name) != nullptr; }

Result CallStringMethod(Run& run, const Value& receiver, std::string_view name, const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(run.StepBytes(receiver.string()->bytes.size()));
  return FindFunction(name)({run, *receiver.string(), name, arguments});
}

}  // namespace hearth::jinja
