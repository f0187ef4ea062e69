#ifndef HEARTH_ENGINE_GRAMMAR_JSON_RULES_H_
#define HEARTH_ENGINE_GRAMMAR_JSON_RULES_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar/rules.h"

namespace hearth::grammar {

// The parts of JSON texts as expressions. Between the parts of objects and arrays there may be a space, or a
// line feed with at most 24 blanks to indent what follows: models write both, and more would let one that has
// lost its way write blanks for ever. Numbers have at most 16 digits before the point, for the same reason.
class JsonRules {
 public:
  // `rules` outlives this; common rules are added as they are used.
  explicit JsonRules(GrammarRules& rules) : rules_(rules) {}

  ExpressionId AnyValue();
  ExpressionId AnyObject();
  ExpressionId AnyArray();
  ExpressionId AnyString();
  ExpressionId AnyNumber();
  ExpressionId AnyInteger();
  ExpressionId Boolean();
  ExpressionId Null() { return rules_.Text("null"); }
  // The value as it is written without spaces.
  ExpressionId Literal(const nlohmann::ordered_json& value);

  // The characters of a string as JSON writes them: one of `ranges` (normalized), and any one.
  ExpressionId CharacterOf(const std::vector<CodePointRange>& ranges);
  ExpressionId AnyCharacter() { return Common(character_, "character", &JsonRules::MakeCharacter); }
  ExpressionId StringOf(ExpressionId characters);
  // A string with none of these contents, written without escapes.
  ExpressionId StringExcept(const std::vector<std::string>& contents);

  // From `least` to `most`, both included.
  ExpressionId IntegerBetween(int64_t least, int64_t most);
  // Between whole numbers; nothing: without a limit.
  struct Limit {
    int64_t value;
    bool included;
  };
  ExpressionId NumberBetween(std::optional<Limit> least, std::optional<Limit> most);

  ExpressionId Member(ExpressionId key, ExpressionId value);
  ExpressionId ObjectOf(const std::vector<GrammarRules::Item>& members);
  // `items` is what stands between the brackets.
  ExpressionId ArrayOf(ExpressionId items);
  // A comma, and what may stand behind it.
  ExpressionId Comma();

 private:
  ExpressionId Common(std::optional<RuleId>& rule, const char* name, ExpressionId (JsonRules::*make)());
  ExpressionId MakeSpace();
  ExpressionId MakeValue();
  ExpressionId MakeObject();
  ExpressionId MakeArray();
  ExpressionId MakeString();
  ExpressionId MakeCharacter();
  ExpressionId Space() { return Common(space_, "space", &JsonRules::MakeSpace); }
  ExpressionId Digits(uint32_t least, uint32_t most);
  ExpressionId DigitsBetween(std::string_view least, std::string_view most);
  ExpressionId CountBetween(uint64_t least, uint64_t most);
  void AddMagnitudes(const Limit& least, const std::optional<Limit>& most, std::string_view sign,
                     std::vector<ExpressionId>& to);
  ExpressionId Except(std::vector<std::u32string_view> contents);

  GrammarRules& rules_;
  std::optional<RuleId> space_;
  std::optional<RuleId> value_;
  std::optional<RuleId> object_;
  std::optional<RuleId> array_;
  std::optional<RuleId> string_;
  std::optional<RuleId> character_;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_JSON_RULES_H_
