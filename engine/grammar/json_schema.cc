#include "engine/grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/grammar/json_rules.h"
#include "engine/grammar/schema_merge.h"
#include "engine/grammar/schema_pattern.h"

namespace hearth::grammar {
namespace {

constexpr size_t kMaxSchemaDepth = 150;  // schemas within one another, merged ones included
constexpr size_t kMaxSchemas = 5'000;    // that are looked at, those that are merged again and again included
constexpr int64_t kMaxCount = 100'000;   // of items and characters
constexpr size_t kMaxNameCharacters = 250;  // of a property beside which others are allowed
constexpr int64_t kLargestInteger = 9'999'999'999'999'999;

// The keywords of one kind of value.
constexpr std::array<std::string_view, 3> kOfObjects = {"properties", "required", "additionalProperties"};
constexpr std::array<std::string_view, 4> kOfArrays = {"items", "prefixItems", "minItems", "maxItems"};
constexpr std::array<std::string_view, 4> kOfStrings = {"minLength", "maxLength", "pattern", "format"};
constexpr std::array<std::string_view, 4> kOfNumbers = {"minimum", "maximum", "exclusiveMinimum",
                                                        "exclusiveMaximum"};
constexpr std::array<std::string_view, 7> kOfAll = {"type",  "enum",  "const", "anyOf",
                                                    "oneOf", "allOf", "$ref"};

struct Format {
  std::string_view name;
  std::string_view pattern;
};
constexpr std::string_view kDate =
    "[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1["
    "0-9]|"
    "2[0-8]))";
constexpr std::string_view kTime =
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
constexpr std::array<Format, 7> kFormats = {{
    {"date", kDate},
    {"time", kTime},
    {"date-time", ""},  // both, a T between them
    {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
    {"email", "[A-Za-z0-9_+-]{1,20}(\\.[A-Za-z0-9_+-]{1,20}){0,2}@([A-Za-z0-9]{1,30}\\.){1,4}[A-Za-z]{2,20}"},
    {"hostname", "[A-Za-z0-9]{1,30}(-[A-Za-z0-9]{1,30})?(\\.[A-Za-z0-9]{1,30}(-[A-Za-z0-9]{1,30})?){0,3}"},
    {"ipv4",
     "((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"},
}};

template <size_t n>
bool HasAny(const Json& schema, const std::array<std::string_view, n>& keywords) {
  return std::any_of(keywords.begin(), keywords.end(),
                     [&](std::string_view keyword) { return schema.contains(std::string(keyword)); });
}

template <size_t n>
bool IsOf(const std::string& keyword, const std::array<std::string_view, n>& keywords) {
  return std::find(keywords.begin(), keywords.end(), keyword) != keywords.end();
}

bool IsKnown(const std::string& keyword) {
  return IsOf(keyword, kOfAll) || IsOf(keyword, kOfObjects) || IsOf(keyword, kOfArrays) ||
         IsOf(keyword, kOfStrings) || IsOf(keyword, kOfNumbers);
}

std::string_view TypeOf(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_string()) return "string";
  if (value.is_array()) return "array";
  if (value.is_object()) return "object";
  return value.is_number_integer() ? "integer" : "number";
}

// What else the schema says of values; definitions, which may be large, stay behind.
Json Without(const Json& schema, const std::string& left_out) {
  Json rest = Json::object();
  for (const auto& [keyword, value] : schema.items()) {
    if (keyword != left_out && IsAssertion(keyword)) rest[keyword] = value;
  }
  return rest;
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& schema) : schema_(schema), json_(rules_) {}

  absl::StatusOr<GrammarRules> Run() {
    rules_.SetRoot(RuleOf("#", schema_));
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.front());
      pending_.pop_front();
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId expression, Compile(next.schema, next.place, 0));
      rules_.Define(next.rule, expression);
    }
    return std::move(rules_);
  }

 private:
  struct Pending {
    RuleId rule;
    std::string place;
    Json schema;
  };

  static absl::Status Error(const std::string& place, std::string_view problem) {
    return absl::InvalidArgumentError(
        absl::StrCat("the JSON schema at ", Printable(place, kMaxNameBytes), ": ", AbslView(problem)));
  }
  // The same with the place in front.
  template <class Value>
  static absl::StatusOr<Value> At(const std::string& place, absl::StatusOr<Value> value) {
    if (value.ok()) return value;
    return Error(place, AsView(value.status().message()));
  }
  static std::string_view AsView(absl::string_view text) { return {text.data(), text.size()}; }
  static std::string Quoted(std::string_view keyword) {
    return absl::StrCat("\"", Printable(AbslView(keyword), kMaxNameBytes), "\"");
  }

  RuleId RuleOf(const std::string& reference, const Json& schema) {
    const auto [entry, is_new] = by_reference_.try_emplace(reference, RuleId{0});
    if (is_new) {
      entry->second = rules_.Declare(reference);
      pending_.push_back({entry->second, reference, schema});
    }
    return entry->second;
  }

  // "#" or "#/$defs/name".
  absl::StatusOr<const Json*> Find(const std::string& reference, const std::string& place) const {
    if (!reference.starts_with("#") || (reference.size() > 1 && reference[1] != '/')) {
      return Error(place, absl::StrCat("$ref ", Quoted(reference),
                                       " does not begin with \"#/\": only references "
                                       "within the schema are known"));
    }
    const Json* at = &schema_;
    for (size_t begin = 1; begin < reference.size();) {
      const size_t end = std::min(reference.find('/', begin + 1), reference.size());
      const std::string name = Unescaped(std::string_view(reference).substr(begin + 1, end - begin - 1));
      at = Child(*at, name);
      if (at == nullptr) return Error(place, absl::StrCat("there is nothing at $ref ", Quoted(reference)));
      begin = end;
    }
    return at;
  }

  static const Json* Child(const Json& json, const std::string& name) {
    if (json.is_object()) {
      const auto found = json.find(name);
      return found == json.end() ? nullptr : &*found;
    }
    size_t index = 0;
    if (!json.is_array() || !absl::SimpleAtoi(name, &index) || index >= json.size()) return nullptr;
    return &json[index];
  }

  static std::string Unescaped(std::string_view name) {
    std::string result;
    for (size_t i = 0; i < name.size(); ++i) {
      const bool escaped =
          name[i] == '~' && i + 1 < name.size() && (name[i + 1] == '0' || name[i + 1] == '1');
      result += escaped ? (name[++i] == '0' ? '~' : '/') : name[i];
    }
    return result;
  }

  absl::StatusOr<ExpressionId> Compile(const Json& schema, const std::string& place, size_t depth) {
    if (depth > kMaxSchemaDepth) return Error(place, "it nests too deeply");
    if (++compiled_ > kMaxSchemas)
      return Error(place, absl::StrCat("there are more than ", kMaxSchemas, " schemas"));
    if (schema == Json(true)) return json_.AnyValue();
    if (schema == Json(false)) return Error(place, "no value fits `false`");
    if (!schema.is_object()) return Error(place, "a schema is an object, true or false");
    for (const auto& [keyword, value] : schema.items()) {
      if (IsAssertion(keyword) && !IsKnown(keyword)) {
        return Error(place, absl::StrCat(Quoted(keyword), " is not supported"));
      }
    }
    if (schema.contains("$ref")) return CompileReference(schema, place, depth);
    if (schema.contains("allOf")) return CompileAll(schema, place, depth);
    if (schema.contains("anyOf")) return CompileAny("anyOf", schema, place, depth);
    if (schema.contains("oneOf")) return CompileAny("oneOf", schema, place, depth);
    if (schema.contains("const")) return CompileValues({schema["const"]}, "const", schema, place);
    if (schema.contains("enum")) {
      if (!schema["enum"].is_array()) return Error(place, "\"enum\" is a list of values");
      return CompileValues(schema["enum"].get<std::vector<Json>>(), "enum", schema, place);
    }
    return CompileTypes(schema, place, depth);
  }

  absl::StatusOr<ExpressionId> CompileReference(const Json& schema, const std::string& place, size_t depth) {
    if (!schema["$ref"].is_string()) return Error(place, "\"$ref\" is a text");
    const std::string reference = schema["$ref"].get<std::string>();
    HEARTH_ASSIGN_OR_RETURN(const Json* target, Find(reference, place));
    const Json rest = Without(schema, "$ref");
    if (rest.empty()) return rules_.Call(RuleOf(reference, *target));
    HEARTH_ASSIGN_OR_RETURN(const Json merged, At(place, MergeSchemas(*target, rest)));
    return Compile(merged, place, depth + 1);
  }

  absl::StatusOr<ExpressionId> CompileAll(const Json& schema, const std::string& place, size_t depth) {
    const Json& all = schema["allOf"];
    if (!all.is_array() || all.empty()) return Error(place, "\"allOf\" is a list of schemas");
    Json merged = Without(schema, "allOf");
    if (all.size() == 1 && merged.empty()) return Compile(all[0], place + "/allOf/0", depth + 1);
    for (Json part : all) {
      for (size_t steps = 0; part.is_object() && part.contains("$ref"); ++steps) {
        if (steps > kMaxSchemaDepth || !part["$ref"].is_string()) return Error(place, "a $ref leads nowhere");
        HEARTH_ASSIGN_OR_RETURN(const Json* target, Find(part["$ref"].get<std::string>(), place));
        HEARTH_ASSIGN_OR_RETURN(part, At(place, MergeSchemas(*target, Without(part, "$ref"))));
      }
      HEARTH_ASSIGN_OR_RETURN(merged, At(place, MergeSchemas(merged, part)));
    }
    return Compile(merged, place, depth + 1);
  }

  absl::StatusOr<ExpressionId> CompileAny(const std::string& keyword, const Json& schema,
                                          const std::string& place, size_t depth) {
    const Json& any = schema[keyword];
    if (!any.is_array() || any.empty())
      return Error(place, absl::StrCat(Quoted(keyword), " is a list of schemas"));
    const Json rest = Without(schema, keyword);
    std::vector<ExpressionId> ways;
    for (size_t i = 0; i < any.size(); ++i) {
      const std::string part = absl::StrCat(place, "/", keyword, "/", i);
      if (any[i] == Json(false)) continue;
      Json way = any[i];
      if (!rest.empty()) {
        HEARTH_ASSIGN_OR_RETURN(way, At(part, MergeSchemas(rest, any[i])));
      }
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId compiled, Compile(way, part, depth + 1));
      ways.push_back(compiled);
    }
    if (ways.empty()) return Error(place, "no value fits it");
    return rules_.Choice(std::move(ways));
  }

  // Those of the schema's types.
  absl::StatusOr<ExpressionId> CompileValues(const std::vector<Json>& values, const std::string& keyword,
                                             const Json& schema, const std::string& place) {
    for (const auto& [other, value] : schema.items()) {
      if (IsAssertion(other) && other != "type" && other != keyword) {
        return Error(place,
                     absl::StrCat(Quoted(keyword), " and ", Quoted(other), " together are not supported"));
      }
    }
    std::vector<ExpressionId> ways;
    for (const Json& value : values) {
      if (schema.contains("type") && !FitsType(value, schema["type"])) continue;
      ways.push_back(json_.Literal(value));
    }
    if (ways.empty()) return Error(place, absl::StrCat("no value of ", Quoted(keyword), " fits"));
    return rules_.Choice(std::move(ways));
  }

  static bool FitsType(const Json& value, const Json& types) {
    const auto fits = [&](const Json& type) {
      return type == TypeOf(value) || (type == "number" && value.is_number());
    };
    return types.is_array() ? std::any_of(types.begin(), types.end(), fits) : fits(types);
  }

  absl::StatusOr<ExpressionId> CompileTypes(const Json& schema, const std::string& place, size_t depth) {
    std::vector<std::string> types;
    if (schema.contains("type")) {
      const Json& type = schema["type"];
      for (const Json& each : type.is_array() ? type : Json::array({type})) {
        if (!each.is_string()) return Error(place, "\"type\" is the name of a type or a list of such names");
        types.push_back(each.get<std::string>());
      }
      if (types.empty()) return Error(place, "no type is left that fits");
    } else {
      // What is said of one kind of value is meant to be about values of that kind.
      if (HasAny(schema, kOfObjects)) types.push_back("object");
      if (HasAny(schema, kOfArrays)) types.push_back("array");
      if (HasAny(schema, kOfStrings)) types.push_back("string");
      if (HasAny(schema, kOfNumbers)) types.push_back("number");
      if (types.empty()) return json_.AnyValue();
    }
    std::vector<ExpressionId> ways;
    for (const std::string& type : types) {
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId way, CompileType(type, schema, place, depth));
      ways.push_back(way);
    }
    return rules_.Choice(std::move(ways));
  }

  absl::StatusOr<ExpressionId> CompileType(const std::string& type, const Json& schema,
                                           const std::string& place, size_t depth) {
    if (type == "object") return CompileObject(schema, place, depth);
    if (type == "array") return CompileArray(schema, place, depth);
    if (type == "string") return CompileString(schema, place);
    if (type == "integer") return CompileInteger(schema, place);
    if (type == "number") return CompileNumber(schema, place);
    if (type == "boolean") return json_.Boolean();
    if (type == "null") return json_.Null();
    return Error(place, absl::StrCat("there is no type ", Quoted(type)));
  }

  absl::StatusOr<std::vector<std::string>> Required(const Json& schema, const std::string& place) const {
    std::vector<std::string> names;
    if (!schema.contains("required")) return names;
    if (!schema["required"].is_array()) return Error(place, "\"required\" is a list of names");
    for (const Json& name : schema["required"]) {
      if (!name.is_string()) return Error(place, "\"required\" is a list of names");
      names.push_back(name.get<std::string>());
    }
    return names;
  }

  absl::StatusOr<ExpressionId> CompileObject(const Json& schema, const std::string& place, size_t depth) {
    HEARTH_ASSIGN_OR_RETURN(const std::vector<std::string> required, Required(schema, place));
    Json properties = schema.value("properties", Json::object());
    if (!properties.is_object()) return Error(place, "\"properties\" is an object");
    const bool listed = !properties.empty() || !required.empty();
    const Json others = schema.value("additionalProperties", Json(!listed));
    for (const std::string& name : required) {
      if (!properties.contains(name)) properties[name] = schema.value("additionalProperties", Json(true));
    }
    if (properties.empty() && others == Json(true)) return json_.AnyObject();

    std::vector<GrammarRules::Item> members;
    std::vector<std::string> names;
    for (const auto& [name, property] : properties.items()) {
      const bool needed = std::find(required.begin(), required.end(), name) != required.end();
      names.push_back(name);
      if (property == Json(false) && !needed) continue;
      HEARTH_ASSIGN_OR_RETURN(
          const ExpressionId member,
          CompileMember(name, property, absl::StrCat(place, "/properties/", name), depth));
      members.push_back({member, !needed});
    }
    if (others != Json(false)) {
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId more, CompileOthers(names, others, place, depth));
      members.push_back({more, true});
    }
    return json_.ObjectOf(members);
  }

  // In a rule of its own: lists have it twice.
  absl::StatusOr<ExpressionId> CompileMember(const std::string& name, const Json& property,
                                             const std::string& place, size_t depth) {
    HEARTH_ASSIGN_OR_RETURN(const ExpressionId value, Compile(property, place, depth + 1));
    const RuleId rule = rules_.Declare(place);
    rules_.Define(rule, json_.Member(json_.Literal(name), value));
    return rules_.Call(rule);
  }

  // One or more properties that are not listed.
  absl::StatusOr<ExpressionId> CompileOthers(const std::vector<std::string>& names, const Json& schema,
                                             const std::string& place, size_t depth) {
    for (const std::string& name : names) {
      if (name.size() > kMaxNameCharacters) {
        return Error(place, absl::StrCat("beside \"additionalProperties\" a property's name has at most ",
                                         kMaxNameCharacters, " bytes"));
      }
    }
    HEARTH_ASSIGN_OR_RETURN(const ExpressionId value,
                            Compile(schema, place + "/additionalProperties", depth + 1));
    const RuleId rule = rules_.Declare(place + "/additionalProperties");
    rules_.Define(rule, json_.Member(names.empty() ? json_.AnyString() : json_.StringExcept(names), value));
    const ExpressionId member = rules_.Call(rule);
    return rules_.Sequence(
        {member, rules_.Repeat(rules_.Sequence({json_.Comma(), member}), 0, std::nullopt)});
  }

  // A count of items or characters.
  static absl::StatusOr<std::optional<uint32_t>> Count(const char* keyword, const Json& schema,
                                                       const std::string& place) {
    if (!schema.contains(keyword)) return std::nullopt;
    const Json& value = schema[keyword];
    const double count = value.is_number() ? value.get<double>() : -1;
    if (count < 0 || count != std::floor(count))
      return Error(place, absl::StrCat(Quoted(keyword), " is a count"));
    if (count > kMaxCount) {
      return Error(place, absl::StrCat(Quoted(keyword), " is at most ", kMaxCount));
    }
    return static_cast<uint32_t>(count);
  }
  struct Counts {
    uint32_t least = 0;
    std::optional<uint32_t> most;
  };
  static absl::StatusOr<Counts> CountsOf(const char* least_keyword, const char* most_keyword,
                                         const Json& schema, const std::string& place) {
    HEARTH_ASSIGN_OR_RETURN(const auto least, Count(least_keyword, schema, place));
    HEARTH_ASSIGN_OR_RETURN(const auto most, Count(most_keyword, schema, place));
    if (most && least.value_or(0) > *most) {
      return Error(place, absl::StrCat(Quoted(least_keyword), " is more than ", Quoted(most_keyword)));
    }
    return Counts{least.value_or(0), most};
  }

  absl::StatusOr<ExpressionId> CompileArray(const Json& schema, const std::string& place, size_t depth) {
    HEARTH_ASSIGN_OR_RETURN(Counts counts, CountsOf("minItems", "maxItems", schema, place));
    const Json prefix = schema.value("prefixItems", Json::array());
    if (!prefix.is_array()) return Error(place, "\"prefixItems\" is a list of schemas");
    const Json items = schema.value("items", Json(true));
    if (prefix.empty() && items == Json(true) && counts.least == 0 && !counts.most) return json_.AnyArray();
    if (prefix.size() > kMaxSchemaDepth)
      return Error(place, absl::StrCat("\"prefixItems\" has at most ", kMaxSchemaDepth));

    std::vector<ExpressionId> first;
    for (size_t i = 0; i < prefix.size() && i < counts.most.value_or(~0u); ++i) {
      HEARTH_ASSIGN_OR_RETURN(const ExpressionId item,
                              Compile(prefix[i], absl::StrCat(place, "/prefixItems/", i), depth + 1));
      first.push_back(item);
    }
    const auto listed = static_cast<uint32_t>(first.size());
    if (items == Json(false)) counts.most = std::min(counts.most.value_or(listed), listed);
    if (counts.most && counts.least > *counts.most) return Error(place, "no array has so many items");
    std::optional<ExpressionId> further;
    if (!counts.most || *counts.most > listed) {
      HEARTH_ASSIGN_OR_RETURN(further, Compile(items, place + "/items", depth + 1));
      const RuleId rule = rules_.Declare(place + "/items");
      rules_.Define(rule, *further);
      further = rules_.Call(rule);
    }
    return json_.ArrayOf(Items(first, further, counts));
  }

  // The items in front each once, then the further one as often as the counts leave.
  ExpressionId Items(std::vector<ExpressionId> first, std::optional<ExpressionId> further, Counts counts) {
    auto listed = static_cast<uint32_t>(first.size());
    if (listed == 0 && further) {
      first.push_back(*further);
      listed = 1;
    }
    ExpressionId rest = rules_.Text("");
    if (further && (!counts.most || *counts.most > listed)) {
      const auto left = [&](uint32_t count) { return count > listed ? count - listed : 0; };
      rest = rules_.Repeat(rules_.Sequence({json_.Comma(), *further}), left(counts.least),
                           counts.most ? std::optional<uint32_t>(left(*counts.most)) : std::nullopt);
    }
    for (uint32_t i = listed; i-- > 0;) {
      if (counts.most && i >= *counts.most) continue;
      rest = i == 0 ? rules_.Sequence({first[i], rest}) : rules_.Sequence({json_.Comma(), first[i], rest});
      if (i >= counts.least) rest = rules_.Optional(rest);
    }
    return rest;
  }

  absl::StatusOr<ExpressionId> CompileString(const Json& schema, const std::string& place) {
    HEARTH_ASSIGN_OR_RETURN(const Counts counts, CountsOf("minLength", "maxLength", schema, place));
    const bool counted = counts.least > 0 || counts.most;
    const bool matched = schema.contains("pattern");
    const bool formatted = schema.contains("format");
    if (counted + matched + formatted > 1) {
      return Error(place, "of lengths, \"pattern\" and \"format\" one alone is supported");
    }
    if (matched) {
      if (!schema["pattern"].is_string()) return Error(place, "\"pattern\" is a regular expression");
      return Matching(schema["pattern"].get<std::string>(), place);
    }
    if (formatted) return CompileFormat(schema["format"], place);
    if (!counted) return json_.AnyString();
    return json_.StringOf(rules_.Repeat(json_.AnyCharacter(), counts.least, counts.most));
  }

  absl::StatusOr<ExpressionId> Matching(const std::string& pattern, const std::string& place) {
    HEARTH_ASSIGN_OR_RETURN(const ExpressionId content, At(place, CompilePattern(pattern, rules_, json_)));
    return json_.StringOf(content);
  }

  absl::StatusOr<ExpressionId> CompileFormat(const Json& format, const std::string& place) {
    std::string known;
    for (const Format& each : kFormats) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", AbslView(each.name));
      if (format != each.name) continue;
      if (each.pattern.empty())
        return Matching(absl::StrCat("^", AbslView(kDate), "T", AbslView(kTime), "$"), place);
      return Matching(absl::StrCat("^(", AbslView(each.pattern), ")$"), place);
    }
    return Error(place, absl::StrCat("this \"format\" is not supported; there are: ", known));
  }

  // The bounds of a number: the tighter ones where there are two.
  struct Bounds {
    std::optional<JsonRules::Limit> least;
    std::optional<JsonRules::Limit> most;
  };
  absl::StatusOr<Bounds> BoundsOf(const Json& schema, const std::string& place, bool whole) const {
    Bounds bounds;
    for (const std::string_view view : kOfNumbers) {
      const std::string keyword(view);
      if (!schema.contains(keyword)) continue;
      const bool lower = keyword == "minimum" || keyword == "exclusiveMinimum";
      JsonRules::Limit limit{0, !keyword.starts_with("exclusive")};
      const double value = schema[keyword].is_number() ? schema[keyword].get<double>() : std::nan("");
      if (!(std::abs(value) < 9.2e18))
        return Error(place, absl::StrCat(Quoted(keyword), " is no number of 64 bits"));
      if (value != std::floor(value)) {
        if (!whole)
          return Error(place,
                       absl::StrCat(Quoted(keyword), " of numbers that need not be whole must be whole"));
        limit = {static_cast<int64_t>(lower ? std::ceil(value) : std::floor(value)), true};
      } else {
        limit.value = schema[keyword].is_number_integer() ? schema[keyword].get<int64_t>()
                                                          : static_cast<int64_t>(value);
      }
      if (whole && !limit.included) limit = {limit.value + (lower ? 1 : -1), true};
      auto& bound = lower ? bounds.least : bounds.most;
      if (!bound || (lower ? limit.value > bound->value : limit.value < bound->value) ||
          (limit.value == bound->value && !limit.included)) {
        bound = limit;
      }
    }
    if (bounds.least && bounds.most) {
      const bool empty = bounds.least->value == bounds.most->value
                             ? !(bounds.least->included && bounds.most->included)
                             : bounds.least->value > bounds.most->value;
      if (empty) return Error(place, "no number is as large as the minimum and as small as the maximum");
    }
    return bounds;
  }

  absl::StatusOr<ExpressionId> CompileInteger(const Json& schema, const std::string& place) {
    if (!HasAny(schema, kOfNumbers)) return json_.AnyInteger();
    HEARTH_ASSIGN_OR_RETURN(const Bounds bounds, BoundsOf(schema, place, /*whole=*/true));
    int64_t least = bounds.least ? bounds.least->value : -kLargestInteger;
    int64_t most = bounds.most ? bounds.most->value : kLargestInteger;
    if (least > most) (bounds.least ? most : least) = bounds.least ? least : most;
    return json_.IntegerBetween(least, most);
  }

  absl::StatusOr<ExpressionId> CompileNumber(const Json& schema, const std::string& place) {
    if (!HasAny(schema, kOfNumbers)) return json_.AnyNumber();
    HEARTH_ASSIGN_OR_RETURN(const Bounds bounds, BoundsOf(schema, place, /*whole=*/false));
    return json_.NumberBetween(bounds.least, bounds.most);
  }

  const Json& schema_;
  GrammarRules rules_;
  JsonRules json_;
  absl::flat_hash_map<std::string, RuleId> by_reference_;
  std::deque<Pending> pending_;
  size_t compiled_ = 0;
};

}  // namespace

absl::StatusOr<GrammarRules> CompileJsonSchema(const Json& schema) { return SchemaCompiler(schema).Run(); }

}  // namespace hearth::grammar
