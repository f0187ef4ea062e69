#include "engine/jinja/tests.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/filters.h"
#include "engine/jinja/operators.h"
#include "engine/jinja/string_functions.h"

namespace hearth::jinja {
namespace {

// Tests that look at the value alone.
using Predicate = bool (*)(const Value&);

bool IsSequence(const Value& value) {
  // Python finds len() and [] at an undefined value too.
  if (value.string() != nullptr || value.dict() != nullptr || value.is_undefined()) return true;
  const Sequence* const sequence = value.sequence();
  return sequence != nullptr && (sequence->is(SequenceKind::kList) || sequence->is(SequenceKind::kTuple) ||
                                 sequence->is(SequenceKind::kRange));
}

bool IsIterable(const Value& value) {
  return value.string() != nullptr || value.dict() != nullptr || value.is_undefined() ||
         value.sequence() != nullptr || (value.object() != nullptr && value.object()->Length());
}

bool IsCallable(const Value& value) {
  return value.is_undefined() || (value.object() != nullptr && value.object()->callable());
}

constexpr std::pair<std::string_view, Predicate> kPredicates[] = {
    {"boolean", [](const Value& value) { return value.boolean() != nullptr; }},
    {"callable", IsCallable},
    {"defined", [](const Value& value) { return !value.is_undefined(); }},
    {"escaped", [](const Value&) { return false; }},
    {"false", [](const Value& value) { return value.boolean() != nullptr && !*value.boolean(); }},
    {"float", [](const Value& value) { return value.real() != nullptr; }},
    {"integer", [](const Value& value) { return value.is_int(); }},
    {"iterable", IsIterable},
    {"mapping", [](const Value& value) { return value.dict() != nullptr; }},
    {"none", [](const Value& value) { return value.is_none(); }},
    {"number", [](const Value& value) { return value.number().has_value(); }},
    {"sequence", IsSequence},
    {"string", [](const Value& value) { return value.string() != nullptr; }},
    {"true", [](const Value& value) { return value.boolean() != nullptr && *value.boolean(); }},
    {"undefined", [](const Value& value) { return value.is_undefined(); }},
};

constexpr std::pair<std::string_view, Comparison> kComparisonTests[] = {
    {"==", Comparison::kEqual},        {"eq", Comparison::kEqual},
    {"equalto", Comparison::kEqual},   {"!=", Comparison::kNotEqual},
    {"ne", Comparison::kNotEqual},     {">", Comparison::kGreater},
    {"gt", Comparison::kGreater},      {"greaterthan", Comparison::kGreater},
    {">=", Comparison::kGreaterEqual}, {"ge", Comparison::kGreaterEqual},
    {"<", Comparison::kLess},          {"lt", Comparison::kLess},
    {"lessthan", Comparison::kLess},   {"<=", Comparison::kLessEqual},
    {"le", Comparison::kLessEqual},    {"in", Comparison::kIn},
};

template <typename T, size_t n>
std::optional<T> FindIn(const std::pair<std::string_view, T> (&table)[n], std::string_view name) {
  for (const auto& [key, entry] : table) {
    if (key == name) return entry;
  }
  return std::nullopt;
}

absl::StatusOr<bool> HasRemainder(Run& run, const Value& value, const Value& divisor, int64_t remainder) {
  HEARTH_ASSIGN_OR_RETURN(const Value rest, ApplyBinary(run, BinaryOperator::kModulo, value, divisor));
  return Equal(run, rest, Value(remainder));
}

absl::StatusOr<bool> HasCase(Run& run, const Value& value, std::string_view name) {
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(run, value));
  HEARTH_RETURN_IF_ERROR(run.StepBytes(text.bytes.size()));
  return HasCharacterClass(text, name == "lower" ? "islower" : "isupper");
}

bool IsTest(std::string_view name) {
  for (std::string_view other :
       {"odd", "even", "divisibleby", "sameas", "lower", "upper", "filter", "test"}) {
    if (name == other) return true;
  }
  return FindIn(kPredicates, name) || FindIn(kComparisonTests, name);
}

}  // namespace

absl::StatusOr<bool> ApplyTest(Run& run, std::string_view name, const Value& value,
                               const Arguments& arguments) {
  HEARTH_RETURN_IF_ERROR(run.Step());
  if (!IsTest(name)) return Fail(absl::StrCat("there is no test '", AbslView(name), "'"));
  if (const auto comparison = FindIn(kComparisonTests, name)) {
    HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind(name, arguments, {"other"}, 1));
    return Compare(run, *comparison, value, *bound[0]);
  }
  if (name == "divisibleby" || name == "sameas") {
    HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind(name, arguments, {name == "sameas" ? "other" : "num"}, 1));
    if (name == "sameas") return value.Same(*bound[0]);
    return HasRemainder(run, value, *bound[0], 0);
  }
  HEARTH_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
  if (const auto predicate = FindIn(kPredicates, name)) return (*predicate)(value);
  if (name == "odd" || name == "even")
    return HasRemainder(run, value, Value(int64_t{2}), name == "odd" ? 1 : 0);
  if (name == "lower" || name == "upper") return HasCase(run, value, name);
  const Text* const other = value.string();
  return other != nullptr && (name == "filter" ? IsFilter(other->bytes) : IsTest(other->bytes));
}

}  // namespace hearth::jinja
