#ifndef HEARTH_ENGINE_JINJA_OPERATORS_H_
#define HEARTH_ENGINE_JINJA_OPERATORS_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/jinja/ast.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

// Python's operators. Integers are those of 64 bits: what does not fit is an error.

// bool(value).
bool Truth(const Value& value);
// The error of using an undefined value; OK for every other.
absl::Status CheckDefined(const Value& value);

// An error where Python cannot hash it, and so not look for it in a dict.
absl::Status CheckKey(const Value& value);

Result ApplyUnary(UnaryOperator op, const Value& operand);
Result ApplyBinary(Run& run, BinaryOperator op, const Value& left, const Value& right);
absl::StatusOr<bool> Compare(Run& run, Comparison comparison, const Value& left, const Value& right);
absl::StatusOr<bool> Equal(Run& run, const Value& left, const Value& right);
absl::StatusOr<bool> Less(Run& run, const Value& left, const Value& right);
absl::StatusOr<bool> Contains(Run& run, const Value& container, const Value& item);

// The elements of what a loop can run over: characters of a string, keys of a dict, none of an undefined
// value. Takes what is left of a generator. An error where it is nothing of the kind.
absl::StatusOr<std::vector<Value>> Iterate(Run& run, const Value& value);
// len(value).
absl::StatusOr<int64_t> Length(const Value& value);

// value.name and value[index] as jinja2 looks them up: an undefined value where there is none, and for what
// its immutable sandbox forbids.
Result GetAttribute(Run& run, const Value& object, const std::string& name);
Result GetItem(Run& run, const Value& object, const Value& index);
// value[begin:end:step]; None where a part is left out.
Result GetSlice(Run& run, const Value& object, const Value& begin, const Value& end, const Value& step);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_OPERATORS_H_
