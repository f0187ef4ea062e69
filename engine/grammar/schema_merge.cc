#include "engine/grammar/schema_merge.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth::grammar {
namespace {

// The keywords of draft 2020-12, and of those before it, by which a value can be wrong.
constexpr std::array<std::string_view, 46> kAssertions = {"$ref",
                                                          "$dynamicRef",
                                                          "$recursiveRef",
                                                          "type",
                                                          "enum",
                                                          "const",
                                                          "anyOf",
                                                          "oneOf",
                                                          "allOf",
                                                          "not",
                                                          "if",
                                                          "then",
                                                          "else",
                                                          "properties",
                                                          "required",
                                                          "additionalProperties",
                                                          "patternProperties",
                                                          "propertyNames",
                                                          "minProperties",
                                                          "maxProperties",
                                                          "dependentRequired",
                                                          "dependentSchemas",
                                                          "dependencies",
                                                          "unevaluatedProperties",
                                                          "items",
                                                          "prefixItems",
                                                          "additionalItems",
                                                          "minItems",
                                                          "maxItems",
                                                          "contains",
                                                          "minContains",
                                                          "maxContains",
                                                          "uniqueItems",
                                                          "unevaluatedItems",
                                                          "minLength",
                                                          "maxLength",
                                                          "pattern",
                                                          "format",
                                                          "minimum",
                                                          "maximum",
                                                          "exclusiveMinimum",
                                                          "exclusiveMaximum",
                                                          "multipleOf",
                                                          "contentEncoding",
                                                          "contentMediaType",
                                                          "contentSchema"};

Json TypesOf(const Json& type) { return type.is_array() ? type : Json::array({type}); }

bool AllowsType(const Json& types, const Json& type) {
  return std::find(types.begin(), types.end(), type) != types.end() ||
         (type == "integer" && std::find(types.begin(), types.end(), "number") != types.end());
}

Json CommonTypes(const Json& a, const Json& b) {
  Json common = Json::array();
  const Json x = TypesOf(a);
  const Json y = TypesOf(b);
  for (const Json& type : x) {
    if (AllowsType(y, type)) common.push_back(type);
  }
  for (const Json& type : y) {
    if (AllowsType(x, type) && !AllowsType(common, type)) common.push_back(type);
  }
  return common;
}

Json CommonValues(const Json& a, const Json& b) {
  Json common = Json::array();
  for (const Json& value : a) {
    if (std::find(b.begin(), b.end(), value) != b.end()) common.push_back(value);
  }
  return common;
}

Json Joined(const Json& a, const Json& b) {
  Json all = a;
  for (const Json& value : b) {
    if (std::find(all.begin(), all.end(), value) == all.end()) all.push_back(value);
  }
  return all;
}

// Of a keyword that both have.
absl::StatusOr<Json> MergeKeyword(const std::string& keyword, const Json& a, const Json& b) {
  const bool numbers = a.is_number() && b.is_number();
  if (keyword == "type") return CommonTypes(a, b);
  if (a == b || !IsAssertion(keyword)) return a;
  if (keyword == "enum" && a.is_array() && b.is_array()) return CommonValues(a, b);
  if (keyword == "required" && a.is_array() && b.is_array()) return Joined(a, b);
  if (keyword == "allOf" && a.is_array() && b.is_array()) return Joined(a, b);
  if (numbers && (keyword.starts_with("min") || keyword == "exclusiveMinimum")) return a < b ? b : a;
  if (numbers && (keyword.starts_with("max") || keyword == "exclusiveMaximum")) return a < b ? a : b;
  if (keyword == "items") return MergeSchemas(a, b);
  return absl::InvalidArgumentError(absl::StrCat("two schemas that are to hold together both have \"",
                                                 Printable(keyword, kMaxNameBytes),
                                                 "\", which cannot be joined"));
}

// Properties that one of them alone has may be closed out by the other's additionalProperties.
absl::StatusOr<Json> MergeProperties(const Json& a, const Json& b) {
  Json all = a;
  for (const auto& [name, schema] : b.items()) {
    if (all.contains(name)) {
      HEARTH_ASSIGN_OR_RETURN(all[name], MergeSchemas(all[name], schema));
    } else {
      all[name] = schema;
    }
  }
  return all;
}

bool IsClosed(const Json& schema) {
  const auto additional = schema.find("additionalProperties");
  return additional != schema.end() && *additional != Json(true);
}

bool HasMoreProperties(const Json& a, const Json& b) {
  if (!a.contains("properties")) return false;
  for (const auto& [name, schema] : a["properties"].items()) {
    if (!b.contains("properties") || !b["properties"].contains(name)) return true;
  }
  return false;
}

}  // namespace

bool IsAssertion(const std::string& keyword) {
  return std::find(kAssertions.begin(), kAssertions.end(), keyword) != kAssertions.end();
}

absl::StatusOr<Json> MergeSchemas(const Json& a, const Json& b) {
  if (a.is_boolean()) return a == Json(true) ? b : a;
  if (b.is_boolean()) return b == Json(true) ? a : b;
  if (!a.is_object() || !b.is_object())
    return absl::InvalidArgumentError("a schema is neither object nor boolean");
  if ((IsClosed(a) && HasMoreProperties(b, a)) || (IsClosed(b) && HasMoreProperties(a, b))) {
    return absl::InvalidArgumentError(
        "two schemas that are to hold together have different properties, and one of them forbids others by "
        "\"additionalProperties\"; list all properties in one");
  }
  Json all = a;
  for (const auto& [keyword, value] : b.items()) {
    if (!all.contains(keyword)) {
      all[keyword] = value;
    } else if (keyword == "properties" && value.is_object() && all[keyword].is_object()) {
      HEARTH_ASSIGN_OR_RETURN(all[keyword], MergeProperties(all[keyword], value));
    } else {
      HEARTH_ASSIGN_OR_RETURN(all[keyword], MergeKeyword(keyword, all[keyword], value));
    }
  }
  return all;
}

}  // namespace hearth::grammar
