#ifndef HEARTH_ENGINE_GRAMMAR_SCHEMA_MERGE_H_
#define HEARTH_ENGINE_GRAMMAR_SCHEMA_MERGE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace hearth::grammar {

using Json = nlohmann::ordered_json;

// Whether a schema's keyword says something about values, and is not for people only.
bool IsAssertion(const std::string& keyword);

// One schema for what both allow. INVALID_ARGUMENT names a keyword that both have and that cannot be joined.
absl::StatusOr<Json> MergeSchemas(const Json& a, const Json& b);

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_SCHEMA_MERGE_H_
