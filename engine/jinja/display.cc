#include "engine/jinja/display.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/operators.h"
#include "engine/token/unicode.h"

namespace hearth::jinja {
namespace {

std::string IntegerOrFloatText(const Value& value) {
  return value.real() != nullptr ? FloatText(*value.real()) : absl::StrCat(*value.integer());
}

std::string CodedCharacter(char32_t character) {
  const auto code = static_cast<uint32_t>(character);
  if (code < 0x100) return absl::StrFormat("\\x%02x", code);
  return code < 0x10000 ? absl::StrFormat("\\u%04x", code) : absl::StrFormat("\\U%08x", code);
}

// A string with its quotes; what stands for characters of the inputs is marked as they are.
void AppendQuoted(const Text& text, TextBuilder& out) {
  const std::string& bytes = text.bytes;
  const bool double_quotes = bytes.find('\'') != std::string::npos && bytes.find('"') == std::string::npos;
  const char quote = double_quotes ? '"' : '\'';
  const bool input = text.any_input();
  out.Append(std::string_view(&quote, 1), input);
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const char32_t character = NextCharacter(bytes, &at);
    if (character == U'\\' || character == static_cast<char32_t>(quote)) {
      out.Append("\\", input);
      out.Append(text, begin, at);
    } else if (character == U'\n' || character == U'\r' || character == U'\t') {
      out.Append(character == U'\n' ? "\\n" : character == U'\r' ? "\\r" : "\\t", input);
    } else if (!IsPrintable(character)) {
      out.Append(CodedCharacter(character), input);
    } else {
      out.Append(text, begin, at);
    }
  }
  out.Append(std::string_view(&quote, 1), input);
}

// repr() of a value, written piece by piece.
class ReprWriter {
 public:
  explicit ReprWriter(Run& run) : run_(run) {}

  absl::Status Write(const Value& value) {
    HEARTH_RETURN_IF_ERROR(run_.Step());
    HEARTH_RETURN_IF_ERROR(run_.CheckMemory(out_.size()));
    if (const Text* const text = value.string()) {
      HEARTH_RETURN_IF_ERROR(run_.StepBytes(text->bytes.size()));
      AppendQuoted(*text, out_);
    } else if (const Sequence* const sequence = value.sequence()) {
      return WriteSequence(*sequence);
    } else if (const Dict* const dict = value.dict()) {
      return WriteDict(*dict);
    } else {
      out_.Append(SimpleText(value));
    }
    return absl::OkStatus();
  }

  Text Take() { return out_.Take(); }

 private:
  static std::string SimpleText(const Value& value) {
    if (value.is_undefined()) return "Undefined";
    if (value.is_none()) return "None";
    if (value.boolean() != nullptr) return *value.boolean() ? "True" : "False";
    if (value.object() != nullptr) return absl::StrCat("<", AbslView(value.type_name()), ">");
    return IntegerOrFloatText(value);
  }

  absl::Status WriteItems(const std::vector<Value>& items) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.Append(", ");
      HEARTH_RETURN_IF_ERROR(Write(items[i]));
    }
    return absl::OkStatus();
  }

  absl::Status WriteSequence(const Sequence& sequence) {
    switch (sequence.kind) {
      case SequenceKind::kRange:
        out_.Append(absl::StrCat("range(", sequence.start, ", ", sequence.stop));
        out_.Append(sequence.step == 1 ? ")" : absl::StrCat(", ", sequence.step, ")"));
        return absl::OkStatus();
      case SequenceKind::kGenerator:
        out_.Append("<generator object>");
        return absl::OkStatus();
      case SequenceKind::kTuple:
        out_.Append("(");
        HEARTH_RETURN_IF_ERROR(WriteItems(sequence.items));
        out_.Append(sequence.items.size() == 1 ? ",)" : ")");
        return absl::OkStatus();
      default:
        break;
    }
    const bool view = !sequence.is(SequenceKind::kList);
    if (view) out_.Append(absl::StrCat(AbslView(TypeName(sequence.kind)), "("));
    out_.Append("[");
    HEARTH_RETURN_IF_ERROR(WriteItems(sequence.items));
    out_.Append(view ? "])" : "]");
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict) {
    out_.Append("{");
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) out_.Append(", ");
      HEARTH_RETURN_IF_ERROR(Write(dict.entries[i].first));
      out_.Append(": ");
      HEARTH_RETURN_IF_ERROR(Write(dict.entries[i].second));
    }
    out_.Append("}");
    return absl::OkStatus();
  }

  Run& run_;
  TextBuilder out_;
};

void AppendUtf16(char32_t character, bool input, TextBuilder& out) {
  const auto code = static_cast<uint32_t>(character);
  if (code < 0x10000) return out.Append(absl::StrFormat("\\u%04x", code), input);
  const uint32_t offset = code - 0x10000;
  out.Append(absl::StrFormat("\\u%04x\\u%04x", 0xD800 + (offset >> 10), 0xDC00 + (offset & 0x3FF)), input);
}

void AppendJsonString(const Text& text, bool ascii, TextBuilder& out) {
  constexpr std::string_view kCharacters = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
  const bool input = text.any_input();
  out.Append("\"", input);
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t begin = at;
    const char32_t character = NextCharacter(text.bytes, &at);
    const size_t known =
        character < 0x80 ? kCharacters.find(static_cast<char>(character)) : std::string_view::npos;
    if (known != std::string_view::npos) {
      out.Append(std::string{'\\', kLetters[known]}, input);
    } else if (character < 0x20 || (ascii && character > 0x7E)) {
      AppendUtf16(character, input, out);
    } else {
      out.Append(text, begin, at);
    }
  }
  out.Append("\"", input);
}

// json.dumps of a value, written piece by piece.
class JsonWriter {
 public:
  JsonWriter(Run& run, const JsonOptions& options) : run_(run), options_(options) {}

  absl::Status Write(const Value& value) {
    HEARTH_RETURN_IF_ERROR(run_.Step());
    HEARTH_RETURN_IF_ERROR(run_.CheckMemory(out_.size()));
    if (const Text* const text = value.string()) {
      HEARTH_RETURN_IF_ERROR(run_.StepBytes(text->bytes.size()));
      AppendJsonString(*text, options_.ascii, out_);
      return absl::OkStatus();
    }
    if (const Dict* const dict = value.dict()) return WriteDict(*dict);
    const Sequence* const sequence = value.sequence();
    if (sequence != nullptr && (sequence->is(SequenceKind::kList) || sequence->is(SequenceKind::kTuple))) {
      return WriteList(*sequence);
    }
    const auto text = ScalarText(value);
    if (!text) {
      return Fail(
          absl::StrCat("a value of type ", AbslView(value.type_name()), " cannot be written as JSON",
                       value.is_undefined() ? absl::StrCat(" (", value.undefined_message(), ")") : ""));
    }
    out_.Append(*text);
    return absl::OkStatus();
  }

  Text Take() { return out_.Take(); }

 private:
  static std::optional<std::string> ScalarText(const Value& value) {
    if (value.is_none()) return "null";
    if (value.boolean() != nullptr) return *value.boolean() ? "true" : "false";
    if (!value.number()) return std::nullopt;
    const double* const real = value.real();
    if (real != nullptr && std::isnan(*real)) return "NaN";
    if (real != nullptr && std::isinf(*real)) return *real > 0 ? "Infinity" : "-Infinity";
    return IntegerOrFloatText(value);
  }

  void NewLine() {
    if (!options_.indent) return;
    out_.Append("\n");
    for (int i = 0; i < level_; ++i) out_.Append(*options_.indent);
  }

  template <typename WriteItem>
  absl::Status WriteItems(size_t count, const char* brackets, WriteItem write) {
    out_.Append(std::string_view(brackets, 1));
    ++level_;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_.Append(options_.item_separator);
      NewLine();
      HEARTH_RETURN_IF_ERROR(write(i));
    }
    --level_;
    if (count > 0) NewLine();
    out_.Append(std::string_view(brackets + 1, 1));
    return absl::OkStatus();
  }

  absl::Status WriteList(const Sequence& list) {
    return WriteItems(list.items.size(), "[]", [&](size_t i) { return Write(list.items[i]); });
  }

  // The entries in the order in which they are written.
  absl::StatusOr<std::vector<const std::pair<Value, Value>*>> Ordered(const Dict& dict) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (!options_.sort_keys) return entries;
    absl::Status status;
    std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
      const auto less = status.ok() ? Less(run_, a->first, b->first) : absl::StatusOr<bool>(false);
      if (!less.ok()) status = less.status();
      return less.ok() && *less;
    });
    HEARTH_RETURN_IF_ERROR(status);
    return entries;
  }

  absl::Status WriteDict(const Dict& dict) {
    HEARTH_ASSIGN_OR_RETURN(const auto entries, Ordered(dict));
    return WriteItems(entries.size(), "{}", [&](size_t i) -> absl::Status {
      const auto& [key, value] = *entries[i];
      const auto scalar = ScalarText(key);
      if (key.string() == nullptr && !scalar) {
        return Fail(absl::StrCat("a key of type ", AbslView(key.type_name()), " cannot be written as JSON"));
      }
      AppendJsonString(scalar ? Text(*scalar) : *key.string(), options_.ascii, out_);
      out_.Append(options_.key_separator);
      return Write(value);
    });
  }

  Run& run_;
  const JsonOptions& options_;
  int level_ = 0;
  TextBuilder out_;
};

}  // namespace

// Python's repr: the shortest digits that give the same number, with an exponent below 1e-4 and from 1e16 on.
std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const double magnitude = std::fabs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(buffer, end.ptr);
  if (!exponent && text.find('.') == std::string::npos) text += ".0";
  return text;
}

absl::StatusOr<Text> ToText(Run& run, const Value& value) {
  if (const Text* const text = value.string()) return *text;
  if (value.is_undefined()) return Text();
  return ToRepr(run, value);
}

absl::StatusOr<Text> ToRepr(Run& run, const Value& value) {
  ReprWriter writer(run);
  HEARTH_RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

absl::StatusOr<Text> ToJson(Run& run, const Value& value, const JsonOptions& options) {
  JsonWriter writer(run, options);
  HEARTH_RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

}  // namespace hearth::jinja
