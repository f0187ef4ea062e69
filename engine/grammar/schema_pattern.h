#ifndef HEARTH_ENGINE_GRAMMAR_SCHEMA_PATTERN_H_
#define HEARTH_ENGINE_GRAMMAR_SCHEMA_PATTERN_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "engine/grammar/json_rules.h"
#include "engine/grammar/rules.h"

namespace hearth::grammar {

// The contents of JSON strings that match a regular expression as JSON schemas have them: anywhere, unless ^
// and $ bind its ends. Known are characters, classes, \d \w \s and their opposites, groups, alternatives and
// repetitions. INVALID_ARGUMENT names what is not: assertions within the text, references back, properties of
// Unicode.
absl::StatusOr<ExpressionId> CompilePattern(std::string_view pattern, GrammarRules& rules, JsonRules& json);

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_SCHEMA_PATTERN_H_
