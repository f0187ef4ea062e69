#include "engine/grammar/rules.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace hearth::grammar {
namespace {

constexpr char32_t kFirstSurrogate = 0xD800;
constexpr char32_t kLastSurrogate = 0xDFFF;

void AddWithoutSurrogates(CodePointRange range, std::vector<CodePointRange>& to) {
  to.push_back({range.first, std::min<char32_t>(range.last, kFirstSurrogate - 1)});
  to.push_back({std::max<char32_t>(range.first, kLastSurrogate + 1), range.last});
}

}  // namespace

std::vector<CodePointRange> Normalized(std::vector<CodePointRange> ranges) {
  std::vector<CodePointRange> characters;
  for (const CodePointRange range : ranges) AddWithoutSurrogates(range, characters);
  std::sort(characters.begin(), characters.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  std::vector<CodePointRange> result;
  for (const CodePointRange range : characters) {
    if (range.first > range.last) continue;
    if (!result.empty() && range.first <= result.back().last + 1) {
      result.back().last = std::max(result.back().last, range.last);
    } else {
      result.push_back(range);
    }
  }
  return result;
}

std::vector<CodePointRange> Complement(const std::vector<CodePointRange>& ranges) {
  std::vector<CodePointRange> rest;
  char32_t next = 0;
  for (const CodePointRange range : ranges) {
    if (range.first > next) rest.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) rest.push_back({next, kLastCodePoint});
  return Normalized(std::move(rest));
}

ExpressionId GrammarRules::Add(Expression expression) {
  expressions_.push_back(std::move(expression));
  return static_cast<ExpressionId>(expressions_.size() - 1);
}

ExpressionId GrammarRules::Text(std::string_view text) {
  return Add({.kind = Expression::Kind::kText, .text = std::string(text)});
}

ExpressionId GrammarRules::Class(std::vector<CodePointRange> ranges) {
  HEARTH_CHECK(!ranges.empty());
  return Add({.kind = Expression::Kind::kClass, .ranges = std::move(ranges)});
}

ExpressionId GrammarRules::Sequence(std::vector<ExpressionId> parts) {
  if (parts.size() == 1) return parts.front();
  return Add({.kind = Expression::Kind::kSequence, .parts = std::move(parts)});
}

ExpressionId GrammarRules::Choice(std::vector<ExpressionId> parts) {
  HEARTH_CHECK(!parts.empty());
  if (parts.size() == 1) return parts.front();
  return Add({.kind = Expression::Kind::kChoice, .parts = std::move(parts)});
}

ExpressionId GrammarRules::Repeat(ExpressionId part, uint32_t least, std::optional<uint32_t> most) {
  HEARTH_CHECK(!most || least <= *most);
  return Add({.kind = Expression::Kind::kRepeat, .parts = {part}, .least = least, .most = most});
}

ExpressionId GrammarRules::Call(RuleId rule) {
  HEARTH_CHECK(rule < rules_.size());
  return Add({.kind = Expression::Kind::kRule, .rule = rule});
}

ExpressionId GrammarRules::List(ExpressionId separator, const std::vector<Item>& items) {
  Expression list{.kind = Expression::Kind::kList, .parts = {separator}};
  for (const Item& item : items) {
    list.parts.push_back(item.expression);
    list.optional.push_back(item.optional);
  }
  return Add(std::move(list));
}

RuleId GrammarRules::Declare(std::string name) {
  rules_.push_back({std::move(name), std::nullopt});
  return static_cast<RuleId>(rules_.size() - 1);
}

void GrammarRules::Define(RuleId rule, ExpressionId expression) {
  HEARTH_CHECK(rule < rules_.size() && !rules_[rule].definition && expression < expressions_.size());
  rules_[rule].definition = expression;
}

}  // namespace hearth::grammar
