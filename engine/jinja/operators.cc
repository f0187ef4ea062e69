#include "engine/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/format.h"
#include "engine/jinja/methods.h"

namespace hearth::jinja {
namespace {

std::string_view Spelling(BinaryOperator op) {
  constexpr std::string_view kSpellings[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSpellings[static_cast<int>(op)];
}

absl::Status Unsupported(std::string_view what, const Value& left, const Value& right) {
  return Fail(absl::StrCat("'", AbslView(what), "' does not work between '", AbslView(left.type_name()),
                           "' and '", AbslView(right.type_name()), "'"));
}

absl::Status Overflow() { return Fail("an integer does not fit 64 bits"); }

// Python's floor division and its remainder, which has the divisor's sign.
int64_t FloorQuotient(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0); }
int64_t FloorRemainder(int64_t a, int64_t b) {
  const int64_t remainder = a % b;
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

Result IntegerPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return Fail("0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (int64_t square = base;; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, square, &result)) return Overflow();
    if (exponent <= 1) return Value(result);
    if (__builtin_mul_overflow(square, square, &square)) return Overflow();
  }
}

Result IntegerArithmetic(BinaryOperator op, int64_t a, int64_t b) {
  const bool divides =
      op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo;
  if (divides && b == 0) return Fail("division by zero");
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDivide:
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDivide:
      overflow = b == -1 && a == std::numeric_limits<int64_t>::min();
      if (!overflow) result = FloorQuotient(a, b);
      break;
    case BinaryOperator::kModulo:
      result = b == -1 ? 0 : FloorRemainder(a, b);
      break;
    case BinaryOperator::kPower:
      return IntegerPower(a, b);
  }
  if (overflow) return Overflow();
  return Value(result);
}

// Python's float % and //: the remainder has the divisor's sign, and the quotient is exact.
std::pair<double, double> FloatDivision(double a, double b) {
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (quotient == 0) return {std::copysign(0.0, a / b), remainder};
  double floor = std::floor(quotient);
  if (quotient - floor > 0.5) floor += 1;
  return {floor, remainder};
}

Result FloatArithmetic(BinaryOperator op, double a, double b) {
  const bool divides =
      op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo;
  if (divides && b == 0) return Fail("division by zero");
  switch (op) {
    case BinaryOperator::kAdd:
      return Value(a + b);
    case BinaryOperator::kSubtract:
      return Value(a - b);
    case BinaryOperator::kMultiply:
      return Value(a * b);
    case BinaryOperator::kDivide:
      return Value(a / b);
    case BinaryOperator::kFloorDivide:
      return Value(FloatDivision(a, b).first);
    case BinaryOperator::kModulo:
      return Value(FloatDivision(a, b).second);
    case BinaryOperator::kPower:
      break;
  }
  if (a == 0 && b < 0) return Fail("0.0 cannot be raised to a negative power");
  if (a < 0 && b != std::floor(b)) return Fail("a negative number has no such power");
  const double power = std::pow(a, b);
  if (std::isinf(power) && !std::isinf(a) && !std::isinf(b)) return Fail("the power is too large");
  return Value(power);
}

bool IsListOrTuple(const Value& value) {
  return value.sequence() != nullptr &&
         (value.sequence()->is(SequenceKind::kList) || value.sequence()->is(SequenceKind::kTuple));
}

Result Join(Run& run, const Value& left, const Value& right) {
  if (left.string() != nullptr && right.string() != nullptr) {
    HEARTH_RETURN_IF_ERROR(run.CheckMemory(left.string()->bytes.size() + right.string()->bytes.size()));
    TextBuilder builder;
    builder.Append(*left.string());
    builder.Append(*right.string());
    return run.String(builder.Take());
  }
  if (!IsListOrTuple(left) || !IsListOrTuple(right) || left.sequence()->kind != right.sequence()->kind) {
    return Unsupported("+", left, right);
  }
  std::vector<Value> items = left.sequence()->items;
  items.insert(items.end(), right.sequence()->items.begin(), right.sequence()->items.end());
  return run.List(std::move(items), left.sequence()->kind);
}

Result Repeat(Run& run, const Value& value, int64_t times) {
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  const Text* const text = value.string();
  const size_t size = text != nullptr ? text->bytes.size() + text->inputs.size() * sizeof(ByteRange)
                                      : value.sequence()->items.size() * sizeof(Value);
  const auto bytes = size == 0 ? 0 : count > (uint64_t{1} << 40) / size ? uint64_t{1} << 40 : size * count;
  HEARTH_RETURN_IF_ERROR(run.CheckMemory(bytes));
  HEARTH_RETURN_IF_ERROR(run.StepBytes(bytes));
  if (text != nullptr) {
    TextBuilder builder;
    for (uint64_t i = 0; size > 0 && i < count; ++i) builder.Append(*text);
    return run.String(builder.Take());
  }
  std::vector<Value> items;
  const std::vector<Value>& once = value.sequence()->items;
  for (uint64_t i = 0; size > 0 && i < count; ++i) items.insert(items.end(), once.begin(), once.end());
  return run.List(std::move(items), value.sequence()->kind);
}

// Bytes that a comparison of two strings goes over.
size_t ComparedBytes(const Text& a, const Text& b) { return std::min(a.bytes.size(), b.bytes.size()); }

absl::StatusOr<bool> EqualItems(Run& run, const std::vector<Value>& left, const std::vector<Value>& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, left[i], right[i]));
    if (!equal) return false;
  }
  return true;
}

absl::StatusOr<bool> EqualDicts(Run& run, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    const Value* other = key.string() != nullptr ? right.Find(key.string()->bytes) : nullptr;
    if (key.string() == nullptr) {
      for (const auto& [other_key, other_value] : right.entries) {
        HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, key, other_key));
        if (equal) other = &other_value;
      }
    }
    if (other == nullptr) return false;
    HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, value, *other));
    if (!equal) return false;
  }
  return true;
}

// Whether an int and a float are equal, or the first is less, without rounding the int.
bool NumbersEqual(const Value& a, const Value& b) {
  if (a.real() == nullptr && b.real() == nullptr) return *a.integer() == *b.integer();
  if (a.real() != nullptr && b.real() != nullptr) return *a.real() == *b.real();
  const double real = a.real() != nullptr ? *a.real() : *b.real();
  const int64_t integer = a.real() != nullptr ? *b.integer() : *a.integer();
  return real >= -0x1p63 && real < 0x1p63 && static_cast<double>(static_cast<int64_t>(real)) == real &&
         static_cast<int64_t>(real) == integer;
}
bool NumbersLess(const Value& a, const Value& b) {
  if (a.real() == nullptr && b.real() == nullptr) return *a.integer() < *b.integer();
  return static_cast<long double>(*a.number()) == static_cast<long double>(*b.number())
             ? !NumbersEqual(a, b) &&
                   (a.real() != nullptr ? static_cast<long double>(*a.real()) < *b.integer()
                                        : *a.integer() < static_cast<long double>(*b.real()))
             : *a.number() < *b.number();
}

std::optional<int64_t> NormalizedIndex(int64_t index, size_t size) {
  const auto count = static_cast<int64_t>(size);
  if (index < 0) index += count;
  return index >= 0 && index < count ? std::optional(index) : std::nullopt;
}

// [begin:end:step] of `size` elements: from `first` on in steps of `stride`, `count` of them.
struct SliceSpan {
  int64_t first = 0, last = 0, stride = 1, count = 0;
};
absl::StatusOr<SliceSpan> SpanOf(size_t size, const Value& begin, const Value& end, const Value& step) {
  for (const Value* part : {&begin, &end, &step}) {
    HEARTH_RETURN_IF_ERROR(CheckDefined(*part));
    if (!part->is_none() && !part->integer())
      return Fail("the parts of a slice must be integers or left out");
  }
  SliceSpan span;
  // A longer step than this goes past every end as well, and its negative does not overflow.
  constexpr int64_t kLongest = int64_t{1} << 40;
  span.stride = step.is_none() ? 1 : std::clamp(*step.integer(), -kLongest, kLongest);
  if (span.stride == 0) return Fail("the step of a slice is 0");
  const auto length = static_cast<int64_t>(size);
  const bool down = span.stride < 0;
  const int64_t lowest = down ? -1 : 0, highest = down ? length - 1 : length;
  const auto clamp = [&](const Value& part, int64_t fallback) {
    if (part.is_none()) return fallback;
    const int64_t at = *part.integer();
    return at < -length ? lowest : std::clamp(at < 0 ? at + length : at, lowest, highest);
  };
  span.first = clamp(begin, down ? highest : lowest);
  span.last = clamp(end, down ? lowest : highest);
  const int64_t distance = down ? span.first - span.last : span.last - span.first;
  if (distance > 0) span.count = (distance - 1) / std::abs(span.stride) + 1;
  return span;
}

Result StringSlice(Run& run, const Text& text, const Value& begin, const Value& end, const Value& step) {
  HEARTH_RETURN_IF_ERROR(run.StepBytes(text.bytes.size()));
  const size_t characters = text.characters();
  HEARTH_ASSIGN_OR_RETURN(const SliceSpan span, SpanOf(characters, begin, end, step));
  if (span.count == 0) return run.String("");
  if (span.stride == 1) {
    const size_t first = ByteOfCharacter(text.bytes, static_cast<size_t>(span.first));
    const size_t bytes =
        ByteOfCharacter(std::string_view(text.bytes).substr(first), static_cast<size_t>(span.count));
    return run.String(Part(text, first, first + bytes));
  }
  HEARTH_RETURN_IF_ERROR(run.CheckMemory(characters * sizeof(size_t)));
  std::vector<size_t> offsets;
  for (size_t at = 0; at < text.bytes.size(); NextCharacter(text.bytes, &at)) offsets.push_back(at);
  offsets.push_back(text.bytes.size());
  TextBuilder builder;
  for (int64_t i = 0; i < span.count; ++i) {
    const auto at = static_cast<size_t>(span.first + i * span.stride);
    builder.Append(text, offsets[at], offsets[at + 1]);
  }
  return run.String(builder.Take());
}

Value NoAttribute(const Value& object, const std::string& name) {
  return Value::Undefined(absl::StrCat("'", AbslView(object.type_name()), "' has no attribute '", name, "'"));
}

// object[index] where the types allow it; nullopt where there is no such element.
absl::StatusOr<std::optional<Value>> FindItem(Run& run, const Value& object, const Value& index) {
  if (const Dict* const dict = object.dict()) {
    if (const Text* const key = index.string()) {
      HEARTH_RETURN_IF_ERROR(run.StepBytes(key->bytes.size()));
      const Value* const found = dict->Find(key->bytes);
      return found == nullptr ? std::nullopt : std::optional(*found);
    }
    for (const auto& [key, value] : dict->entries) {
      HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, key, index));
      if (equal) return std::optional(value);
    }
    return std::nullopt;
  }
  const auto position = index.integer();
  if (!position) return std::nullopt;
  if (const Text* const text = object.string()) {
    HEARTH_RETURN_IF_ERROR(run.StepBytes(text->bytes.size()));
    const auto at = NormalizedIndex(*position, text->characters());
    if (!at) return std::nullopt;
    const size_t begin = ByteOfCharacter(text->bytes, static_cast<size_t>(*at));
    size_t end = begin;
    NextCharacter(text->bytes, &end);
    HEARTH_ASSIGN_OR_RETURN(Value character, run.String(Part(*text, begin, end)));
    return std::optional(std::move(character));
  }
  const Sequence* const sequence = object.sequence();
  if (sequence == nullptr || (!IsListOrTuple(object) && !sequence->is(SequenceKind::kRange)))
    return std::nullopt;
  const auto at = NormalizedIndex(*position, sequence->items.size());
  return at ? std::optional(sequence->items[static_cast<size_t>(*at)]) : std::nullopt;
}

std::optional<Value> FindAttribute(Run& run, const Value& object, const std::string& name) {
  if (object.object() != nullptr) return object.object()->Attribute(name);
  return FindMethod(run, object, name);
}

}  // namespace

bool Truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = value.number()) return *number != 0;
  if (const Text* const text = value.string()) return !text->bytes.empty();
  if (const Dict* const dict = value.dict()) return !dict->entries.empty();
  if (const Sequence* const sequence = value.sequence()) {
    return sequence->is(SequenceKind::kGenerator) || !sequence->items.empty();
  }
  const auto length = value.object()->Length();
  return !length || *length != 0;
}

absl::Status CheckDefined(const Value& value) {
  return value.is_undefined() ? Fail(value.undefined_message()) : absl::OkStatus();
}

absl::Status CheckKey(const Value& value) {
  const Sequence* const sequence = value.sequence();
  if (value.dict() == nullptr &&
      (sequence == nullptr || sequence->is(SequenceKind::kRange) || sequence->is(SequenceKind::kGenerator) ||
       sequence->is(SequenceKind::kValues))) {
    return absl::OkStatus();
  }
  if (sequence != nullptr && sequence->is(SequenceKind::kTuple)) {
    for (const Value& item : sequence->items) HEARTH_RETURN_IF_ERROR(CheckKey(item));
    return absl::OkStatus();
  }
  return Fail(absl::StrCat("a value of type '", AbslView(value.type_name()), "' cannot be a key"));
}

Result ApplyUnary(UnaryOperator op, const Value& operand) {
  if (op == UnaryOperator::kNot) return Value(!Truth(operand));
  HEARTH_RETURN_IF_ERROR(CheckDefined(operand));
  const bool minus = op == UnaryOperator::kMinus;
  if (operand.real() != nullptr) return Value(minus ? -*operand.real() : *operand.real());
  const auto integer = operand.integer();
  if (!integer) {
    return Fail(
        absl::StrCat("'", minus ? "-" : "+", "' does not work on '", AbslView(operand.type_name()), "'"));
  }
  return minus ? IntegerArithmetic(BinaryOperator::kSubtract, 0, *integer) : Value(*integer);
}

Result ApplyBinary(Run& run, BinaryOperator op, const Value& left, const Value& right) {
  // "..." % undefined formats it.
  const bool formats = op == BinaryOperator::kModulo && left.string() != nullptr;
  HEARTH_RETURN_IF_ERROR(CheckDefined(left));
  if (!formats) HEARTH_RETURN_IF_ERROR(CheckDefined(right));
  if (formats) {
    HEARTH_ASSIGN_OR_RETURN(Text text, FormatPercent(run, *left.string(), right));
    return run.String(std::move(text));
  }
  const auto a = left.integer(), b = right.integer();
  if (a && b) return IntegerArithmetic(op, *a, *b);
  if (left.number() && right.number()) return FloatArithmetic(op, *left.number(), *right.number());
  if (op == BinaryOperator::kAdd) return Join(run, left, right);
  if (op == BinaryOperator::kMultiply) {
    if ((left.string() != nullptr || IsListOrTuple(left)) && b) return Repeat(run, left, *b);
    if ((right.string() != nullptr || IsListOrTuple(right)) && a) return Repeat(run, right, *a);
  }
  return Unsupported(Spelling(op), left, right);
}

absl::StatusOr<bool> Equal(Run& run, const Value& left, const Value& right) {
  HEARTH_RETURN_IF_ERROR(run.Step());
  if (left.number() && right.number()) return NumbersEqual(left, right);
  if (left.string() != nullptr && right.string() != nullptr) {
    if (left.string()->bytes.size() != right.string()->bytes.size()) return false;
    HEARTH_RETURN_IF_ERROR(run.StepBytes(ComparedBytes(*left.string(), *right.string())));
    return left.string()->bytes == right.string()->bytes;
  }
  if (left.dict() != nullptr && right.dict() != nullptr) return EqualDicts(run, *left.dict(), *right.dict());
  const Sequence *const a = left.sequence(), *const b = right.sequence();
  if (a != nullptr && b != nullptr) {
    if (a == b) return true;
    const bool by_items = IsListOrTuple(left) || a->is(SequenceKind::kRange) || a->is(SequenceKind::kKeys);
    if (!by_items || a->kind != b->kind) return false;
    return EqualItems(run, a->items, b->items);
  }
  return left.type_name() == right.type_name() && (left.is_undefined() || left.Same(right));
}

absl::StatusOr<bool> Less(Run& run, const Value& left, const Value& right) {
  HEARTH_RETURN_IF_ERROR(run.Step());
  HEARTH_RETURN_IF_ERROR(CheckDefined(left));
  HEARTH_RETURN_IF_ERROR(CheckDefined(right));
  if (left.number() && right.number()) return NumbersLess(left, right);
  if (left.string() != nullptr && right.string() != nullptr) {
    HEARTH_RETURN_IF_ERROR(run.StepBytes(ComparedBytes(*left.string(), *right.string())));
    return left.string()->bytes < right.string()->bytes;  // UTF-8 keeps the order of code points
  }
  if (!IsListOrTuple(left) || !IsListOrTuple(right) || left.sequence()->kind != right.sequence()->kind) {
    return Unsupported("<", left, right);
  }
  const std::vector<Value>&a = left.sequence()->items, &b = right.sequence()->items;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, a[i], b[i]));
    if (!equal) return Less(run, a[i], b[i]);
  }
  return a.size() < b.size();
}

absl::StatusOr<bool> Compare(Run& run, Comparison comparison, const Value& left, const Value& right) {
  switch (comparison) {
    case Comparison::kEqual:
      return Equal(run, left, right);
    case Comparison::kLess:
      return Less(run, left, right);
    case Comparison::kGreater:
      return Less(run, right, left);
    case Comparison::kIn:
      return Contains(run, right, left);
    default:
      break;
  }
  if (comparison == Comparison::kNotEqual || comparison == Comparison::kNotIn) {
    HEARTH_ASSIGN_OR_RETURN(const bool positive, comparison == Comparison::kNotEqual
                                                     ? Equal(run, left, right)
                                                     : Contains(run, right, left));
    return !positive;
  }
  const Value& lower = comparison == Comparison::kLessEqual ? left : right;
  const Value& upper = comparison == Comparison::kLessEqual ? right : left;
  HEARTH_ASSIGN_OR_RETURN(const bool less, Less(run, lower, upper));
  return less ? true : Equal(run, lower, upper);
}

absl::StatusOr<bool> Contains(Run& run, const Value& container, const Value& item) {
  if (const Text* const text = container.string()) {
    if (item.is_undefined()) return CheckDefined(item);
    if (item.string() == nullptr) {
      return Fail(
          absl::StrCat("'in' a string needs a string on its left, not '", AbslView(item.type_name()), "'"));
    }
    HEARTH_RETURN_IF_ERROR(run.StepBytes(text->bytes.size()));
    return FindFirst(text->bytes, item.string()->bytes, 0, text->bytes.size()) != std::string::npos;
  }
  if (container.dict() != nullptr) {
    HEARTH_RETURN_IF_ERROR(CheckKey(item));
    HEARTH_ASSIGN_OR_RETURN(const auto found, FindItem(run, container, item));
    return found.has_value();
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(run, container));
  for (const Value& other : items) {
    HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, other, item));
    if (equal) return true;
  }
  return false;
}

absl::StatusOr<std::vector<Value>> Iterate(Run& run, const Value& value) {
  std::vector<Value> items;
  if (value.is_undefined()) return items;
  if (const Sequence* const sequence = value.sequence()) {
    HEARTH_RETURN_IF_ERROR(run.StepBytes(sequence->items.size() * sizeof(Value)));
    if (!sequence->is(SequenceKind::kGenerator)) return sequence->items;
    items.assign(sequence->items.begin() + static_cast<ptrdiff_t>(sequence->consumed), sequence->items.end());
    sequence->consumed = sequence->items.size();
    return items;
  }
  if (const Dict* const dict = value.dict()) {
    HEARTH_RETURN_IF_ERROR(run.StepBytes(dict->entries.size() * sizeof(Value)));
    for (const auto& [key, entry] : dict->entries) items.push_back(key);
    return items;
  }
  if (const Text* const text = value.string()) {
    for (size_t at = 0; at < text->bytes.size();) {
      const size_t begin = at;
      NextCharacter(text->bytes, &at);
      HEARTH_ASSIGN_OR_RETURN(Value character, run.String(Part(*text, begin, at)));
      items.push_back(std::move(character));
    }
    return items;
  }
  return Fail(absl::StrCat("a value of type '", AbslView(value.type_name()), "' cannot be looped over"));
}

absl::StatusOr<int64_t> Length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* const text = value.string()) return static_cast<int64_t>(text->characters());
  if (const Dict* const dict = value.dict()) return static_cast<int64_t>(dict->entries.size());
  const Sequence* const sequence = value.sequence();
  if (sequence != nullptr && !sequence->is(SequenceKind::kGenerator)) {
    return static_cast<int64_t>(sequence->items.size());
  }
  if (value.object() != nullptr) {
    if (const auto length = value.object()->Length()) return *length;
  }
  return Fail(absl::StrCat("a value of type '", AbslView(value.type_name()), "' has no length"));
}

Result GetAttribute(Run& run, const Value& object, const std::string& name) {
  HEARTH_RETURN_IF_ERROR(CheckDefined(object));
  if (auto attribute = FindAttribute(run, object, name)) return *std::move(attribute);
  if (const Dict* const dict = object.dict()) {
    if (const Value* const found = dict->Find(name)) return *found;
  }
  return NoAttribute(object, name);
}

Result GetItem(Run& run, const Value& object, const Value& index) {
  HEARTH_RETURN_IF_ERROR(CheckDefined(object));
  HEARTH_ASSIGN_OR_RETURN(auto item, FindItem(run, object, index));
  if (item) return *std::move(item);
  const Text* const name = index.string();
  if (name == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Text shown, ToRepr(run, index));
    return Value::Undefined(
        absl::StrCat("a value of type '", AbslView(object.type_name()), "' has no element ", shown.bytes));
  }
  if (auto attribute = FindAttribute(run, object, name->bytes)) return *std::move(attribute);
  return NoAttribute(object, name->bytes);
}

Result GetSlice(Run& run, const Value& object, const Value& begin, const Value& end, const Value& step) {
  HEARTH_RETURN_IF_ERROR(CheckDefined(object));
  if (const Text* const text = object.string()) return StringSlice(run, *text, begin, end, step);
  const Sequence* const sequence = object.sequence();
  if (sequence == nullptr || (!IsListOrTuple(object) && !sequence->is(SequenceKind::kRange))) {
    return Fail(absl::StrCat("a value of type '", AbslView(object.type_name()), "' has no slices"));
  }
  HEARTH_ASSIGN_OR_RETURN(const SliceSpan span, SpanOf(sequence->items.size(), begin, end, step));
  if (sequence->is(SequenceKind::kRange)) {
    const auto at = [&](int64_t index) { return sequence->start + index * sequence->step; };
    return run.Range(at(span.first), at(span.last), sequence->step * span.stride, span.count);
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < span.count; ++i) {
    items.push_back(sequence->items[static_cast<size_t>(span.first + i * span.stride)]);
  }
  return run.List(std::move(items), sequence->kind);
}

}  // namespace hearth::jinja
