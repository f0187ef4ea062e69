#ifndef HEARTH_ENGINE_GRAMMAR_JSON_SCHEMA_H_
#define HEARTH_ENGINE_GRAMMAR_JSON_SCHEMA_H_

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "engine/grammar/rules.h"

namespace hearth::grammar {

// A grammar whose texts are JSON values that fit a JSON schema (draft 2020-12). Not every value that fits is
// among them: properties come in the schema's order, objects whose properties are listed have no others
// unless `additionalProperties` asks for them, numbers have at most 16 digits before the point, and spaces
// are few. Known keywords:
//
//   type, enum, const, anyOf, oneOf (as anyOf), allOf, $ref (within the schema)
//   properties, required, additionalProperties
//   items, prefixItems, minItems, maxItems
//   minLength, maxLength, or pattern, or format (date, time, date-time, uuid, email, hostname, ipv4)
//   minimum, maximum, exclusiveMinimum, exclusiveMaximum; where numbers need not be whole, these must be
//
// INVALID_ARGUMENT with the place in the schema for every other keyword that could make a value wrong, for a
// schema that contradicts itself, and for one that no value fits. `schema` nests at most 100 levels deep.
absl::StatusOr<GrammarRules> CompileJsonSchema(const nlohmann::ordered_json& schema);

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_JSON_SCHEMA_H_
