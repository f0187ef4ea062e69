#ifndef HEARTH_ENGINE_GRAMMAR_RULES_H_
#define HEARTH_ENGINE_GRAMMAR_RULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::grammar {

inline constexpr uint32_t kMaxRepetitions = 100'000;  // of a part, that a grammar or a pattern may ask for
inline constexpr char32_t kLastCodePoint = 0x10FFFF;  // of Unicode

// Both ends belong to it.
struct CodePointRange {
  char32_t first;
  char32_t last;
};
// Ascending, without overlaps and without surrogates, which no UTF-8 text holds; perhaps none.
std::vector<CodePointRange> Normalized(std::vector<CodePointRange> ranges);
// All other characters. `ranges` is normalized.
std::vector<CodePointRange> Complement(const std::vector<CodePointRange>& ranges);

using ExpressionId = uint32_t;
using RuleId = uint32_t;

// What a piece of text has to look like, in terms of other expressions.
struct Expression {
  enum class Kind {
    kText,      // exactly `text`
    kClass,     // one character of `ranges`
    kSequence,  // all parts in their order
    kChoice,    // one of the parts
    kRepeat,    // the one part, `least` to `most` times
    kRule,      // what the rule says
    kList,      // the parts in their order, parts[0] between them; see GrammarRules::List
  };
  Kind kind;
  std::string text = {};
  std::vector<CodePointRange> ranges = {};
  std::vector<ExpressionId> parts = {};
  uint32_t least = 0;
  std::optional<uint32_t> most = {};  // nothing: as often as one likes
  RuleId rule = 0;
  std::vector<bool> optional = {};  // of kList, one for each part behind the separator
};

// A grammar as it is written: named rules made of expressions, with which one to begin. An expression may be
// used in several places. Rules may call one another, themselves included, but not before anything else (left
// recursion): that, and sizes, Grammar::Compile checks.
class GrammarRules {
 public:
  ExpressionId Text(std::string_view text);
  // `ranges` is normalized and not empty.
  ExpressionId Class(std::vector<CodePointRange> ranges);
  ExpressionId Sequence(std::vector<ExpressionId> parts);
  // At least one part.
  ExpressionId Choice(std::vector<ExpressionId> parts);
  ExpressionId Repeat(ExpressionId part, uint32_t least, std::optional<uint32_t> most);
  ExpressionId Optional(ExpressionId part) { return Repeat(part, 0, 1); }
  ExpressionId Call(RuleId rule);
  // Some of the items in their order, with the separator between those that are there. An item that is not
  // optional has to be.
  struct Item {
    ExpressionId expression;
    bool optional;
  };
  ExpressionId List(ExpressionId separator, const std::vector<Item>& items);

  // A rule, which may be called before it is defined. Names are for people.
  RuleId Declare(std::string name);
  void Define(RuleId rule, ExpressionId expression);
  void SetRoot(RuleId rule) { root_ = rule; }

  const Expression& expression(ExpressionId id) const { return expressions_[id]; }
  size_t expression_count() const { return expressions_.size(); }
  size_t rule_count() const { return rules_.size(); }
  const std::string& name(RuleId rule) const { return rules_[rule].name; }
  // Nothing where it was declared only.
  std::optional<ExpressionId> definition(RuleId rule) const { return rules_[rule].definition; }
  RuleId root() const { return root_; }

 private:
  struct Rule {
    std::string name;
    std::optional<ExpressionId> definition;
  };

  ExpressionId Add(Expression expression);

  std::vector<Expression> expressions_;
  std::vector<Rule> rules_;
  RuleId root_ = 0;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_RULES_H_
