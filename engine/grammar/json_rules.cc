#include "engine/grammar/json_rules.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/token/unicode.h"

namespace hearth::grammar {
namespace {

constexpr uint32_t kMaxIndent = 24;
constexpr uint32_t kMaxDigits = 16;  // of a number's whole part
constexpr uint32_t kMaxFraction = 15;
constexpr uint64_t kLargest = 9'999'999'999'999'999;

// What strings cannot hold as it is.
const std::vector<CodePointRange>& Escaped() {
  static const auto* const ranges = new std::vector<CodePointRange>{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return *ranges;
}

std::vector<CodePointRange> Intersection(const std::vector<CodePointRange>& a,
                                         const std::vector<CodePointRange>& b) {
  std::vector<CodePointRange> both;
  for (const CodePointRange x : a) {
    for (const CodePointRange y : b) {
      const CodePointRange common = {std::max(x.first, y.first), std::min(x.last, y.last)};
      if (common.first <= common.last) both.push_back(common);
    }
  }
  return Normalized(std::move(both));
}

// 9, 99, ...; what 64 bits hold for more than 19 digits.
uint64_t LargestOfDigits(size_t digits) {
  uint64_t nines = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (nines > std::numeric_limits<uint64_t>::max() / 10 - 1) return std::numeric_limits<uint64_t>::max();
    nines = nines * 10 + 9;
  }
  return nines;
}

}  // namespace

ExpressionId JsonRules::Common(std::optional<RuleId>& rule, const char* name,
                               ExpressionId (JsonRules::*make)()) {
  if (!rule) {
    rule = rules_.Declare(name);
    const RuleId declared = *rule;
    rules_.Define(declared, (this->*make)());
  }
  return rules_.Call(*rule);
}

ExpressionId JsonRules::AnyValue() { return Common(value_, "value", &JsonRules::MakeValue); }
ExpressionId JsonRules::AnyObject() { return Common(object_, "object", &JsonRules::MakeObject); }
ExpressionId JsonRules::AnyArray() { return Common(array_, "array", &JsonRules::MakeArray); }
ExpressionId JsonRules::AnyString() { return Common(string_, "string", &JsonRules::MakeString); }

ExpressionId JsonRules::MakeSpace() {
  const ExpressionId blank = rules_.Class({{'\t', '\t'}, {' ', ' '}});
  const ExpressionId line = rules_.Sequence({rules_.Text("\n"), rules_.Repeat(blank, 0, kMaxIndent)});
  return rules_.Optional(rules_.Choice({rules_.Text(" "), line}));
}

ExpressionId JsonRules::MakeValue() {
  return rules_.Choice({AnyObject(), AnyArray(), AnyString(), AnyNumber(), Boolean(), Null()});
}

ExpressionId JsonRules::MakeObject() {
  const ExpressionId member = Member(AnyString(), AnyValue());
  const ExpressionId more = rules_.Sequence({Comma(), member});
  const ExpressionId members = rules_.Sequence({member, rules_.Repeat(more, 0, std::nullopt)});
  return rules_.Sequence(
      {rules_.Text("{"), Space(), rules_.Optional(rules_.Sequence({members, Space()})), rules_.Text("}")});
}

ExpressionId JsonRules::MakeArray() {
  const ExpressionId more = rules_.Sequence({Comma(), AnyValue()});
  return ArrayOf(rules_.Optional(rules_.Sequence({AnyValue(), rules_.Repeat(more, 0, std::nullopt)})));
}

ExpressionId JsonRules::MakeString() { return StringOf(rules_.Repeat(MakeCharacter(), 0, std::nullopt)); }

ExpressionId JsonRules::Digits(uint32_t least, uint32_t most) {
  return rules_.Repeat(rules_.Class({{'0', '9'}}), least, most);
}

ExpressionId JsonRules::AnyInteger() {
  const ExpressionId count = rules_.Choice(
      {rules_.Text("0"), rules_.Sequence({rules_.Class({{'1', '9'}}), Digits(0, kMaxDigits - 1)})});
  return rules_.Sequence({rules_.Optional(rules_.Text("-")), count});
}

ExpressionId JsonRules::AnyNumber() {
  const ExpressionId fraction = rules_.Sequence({rules_.Text("."), Digits(1, kMaxFraction)});
  // Two digits: what is larger than a number can be would be no number again.
  const ExpressionId exponent =
      rules_.Sequence({rules_.Class({{'E', 'E'}, {'e', 'e'}}),
                       rules_.Optional(rules_.Class({{'+', '+'}, {'-', '-'}})), Digits(1, 2)});
  return rules_.Sequence({AnyInteger(), rules_.Optional(fraction), rules_.Optional(exponent)});
}

ExpressionId JsonRules::Boolean() { return rules_.Choice({rules_.Text("true"), rules_.Text("false")}); }

ExpressionId JsonRules::Literal(const nlohmann::ordered_json& value) {
  return rules_.Text(value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

ExpressionId JsonRules::CharacterOf(const std::vector<CodePointRange>& ranges) {
  std::vector<ExpressionId> ways;
  const std::vector<CodePointRange> plain = Intersection(ranges, Complement(Escaped()));
  if (!plain.empty()) ways.push_back(rules_.Class(plain));
  for (const CodePointRange range : Intersection(ranges, Escaped())) {
    for (char32_t character = range.first; character <= range.last; ++character) {
      const std::string quoted = nlohmann::json(std::string(1, static_cast<char>(character))).dump();
      ways.push_back(rules_.Text(std::string_view(quoted).substr(1, quoted.size() - 2)));
    }
  }
  return rules_.Choice(std::move(ways));
}

ExpressionId JsonRules::MakeCharacter() {
  const ExpressionId hex = rules_.Class({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  const auto escape = [&](std::string_view begin, std::vector<CodePointRange> second, uint32_t rest) {
    std::vector<ExpressionId> parts = {rules_.Text(begin), rules_.Class({{'D', 'D'}, {'d', 'd'}}),
                                       rules_.Class(std::move(second)), rules_.Repeat(hex, rest, rest)};
    return rules_.Sequence(std::move(parts));
  };
  const ExpressionId not_d = rules_.Class({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}});
  // Surrogates come in pairs.
  return rules_.Choice({rules_.Class(Complement(Escaped())),
                        rules_.Sequence({rules_.Text("\\"), rules_.Class(Normalized({{'"', '"'},
                                                                                     {'\\', '\\'},
                                                                                     {'/', '/'},
                                                                                     {'b', 'b'},
                                                                                     {'f', 'f'},
                                                                                     {'n', 'n'},
                                                                                     {'r', 'r'},
                                                                                     {'t', 't'}}))}),
                        rules_.Sequence({rules_.Text("\\u"), not_d, rules_.Repeat(hex, 3, 3)}),
                        escape("\\u", {{'0', '7'}}, 2),
                        rules_.Sequence({escape("\\u", {{'8', '9'}, {'A', 'B'}, {'a', 'b'}}, 2),
                                         escape("\\u", {{'C', 'F'}, {'c', 'f'}}, 2)})});
}

ExpressionId JsonRules::StringOf(ExpressionId characters) {
  return rules_.Sequence({rules_.Text("\""), characters, rules_.Text("\"")});
}

ExpressionId JsonRules::StringExcept(const std::vector<std::string>& contents) {
  std::vector<std::u32string> decoded;
  for (const std::string& content : contents) decoded.push_back(DecodeUtf8(content));
  return StringOf(Except({decoded.begin(), decoded.end()}));
}

// Character by character: one that none of them goes on with leaves the rest free.
ExpressionId JsonRules::Except(std::vector<std::u32string_view> contents) {
  std::map<char32_t, std::vector<std::u32string_view>> by_first;
  bool may_end = true;
  for (const std::u32string_view content : contents) {
    if (content.empty())
      may_end = false;
    else
      by_first[content.front()].push_back(content.substr(1));
  }
  const std::vector<CodePointRange> plain = Complement(Escaped());
  std::vector<CodePointRange> taken = Escaped();
  for (const auto& [first, rest] : by_first) taken.push_back({first, first});
  const ExpressionId free = rules_.Repeat(rules_.Class(plain), 0, std::nullopt);
  std::vector<ExpressionId> ways = {
      rules_.Sequence({rules_.Class(Complement(Normalized(std::move(taken)))), free})};
  if (may_end) ways.push_back(rules_.Text(""));
  for (auto& [first, rest] : by_first) {
    const std::vector<CodePointRange> written = Intersection({{first, first}}, plain);
    if (written.empty()) continue;  // needs an escape
    ways.push_back(rules_.Sequence({rules_.Class(written), Except(std::move(rest))}));
  }
  return rules_.Choice(std::move(ways));
}

// Of the same number of digits, leading zeros included.
ExpressionId JsonRules::DigitsBetween(std::string_view least, std::string_view most) {
  const auto count = static_cast<uint32_t>(least.size());
  if (least == std::string(count, '0') && most == std::string(count, '9')) return Digits(count, count);
  const std::string_view least_rest = least.substr(1);
  const std::string_view most_rest = most.substr(1);
  if (least[0] == most[0]) {
    return rules_.Sequence({rules_.Text(least.substr(0, 1)), DigitsBetween(least_rest, most_rest)});
  }
  std::vector<ExpressionId> ways = {rules_.Sequence({rules_.Text(least.substr(0, 1)),
                                                     DigitsBetween(least_rest, std::string(count - 1, '9'))}),
                                    rules_.Sequence({rules_.Text(most.substr(0, 1)),
                                                     DigitsBetween(std::string(count - 1, '0'), most_rest)})};
  const auto first = static_cast<char32_t>(least[0] + 1);
  const auto last = static_cast<char32_t>(most[0] - 1);
  if (first <= last) {
    ways.push_back(rules_.Sequence({rules_.Class({{first, last}}), Digits(count - 1, count - 1)}));
  }
  return rules_.Choice(std::move(ways));
}

ExpressionId JsonRules::CountBetween(uint64_t least, uint64_t most) {
  std::vector<ExpressionId> ways;
  for (uint64_t first = least;;) {
    const std::string digits = absl::StrCat(first);
    const uint64_t last = std::min(most, LargestOfDigits(digits.size()));
    ways.push_back(DigitsBetween(digits, absl::StrCat(last)));
    if (last == most) break;
    first = last + 1;
  }
  return rules_.Choice(std::move(ways));
}

ExpressionId JsonRules::IntegerBetween(int64_t least, int64_t most) {
  HEARTH_CHECK(least <= most);
  const auto magnitude = [](int64_t value) { return uint64_t{0} - static_cast<uint64_t>(value); };
  std::vector<ExpressionId> ways;
  if (least < 0) {
    const ExpressionId count = CountBetween(most < 0 ? magnitude(most) : 1, magnitude(least));
    ways.push_back(rules_.Sequence({rules_.Text("-"), count}));
  }
  if (most >= 0) {
    ways.push_back(
        CountBetween(static_cast<uint64_t>(std::max<int64_t>(least, 0)), static_cast<uint64_t>(most)));
  }
  return rules_.Choice(std::move(ways));
}

// Numbers from `least`, which is not negative, to `most`, with the sign in front of them.
void JsonRules::AddMagnitudes(const Limit& least, const std::optional<Limit>& most, std::string_view sign,
                              std::vector<ExpressionId>& to) {
  const auto add = [&](ExpressionId count, ExpressionId fraction) {
    to.push_back(rules_.Sequence({rules_.Text(sign), count, fraction}));
  };
  const auto low = static_cast<uint64_t>(least.value);
  const uint64_t high = most ? static_cast<uint64_t>(most->value) : std::max(kLargest, low) + 1;
  if (low < high) {
    const ExpressionId any = rules_.Optional(rules_.Sequence({rules_.Text("."), Digits(1, kMaxFraction)}));
    // More than nothing: a digit that is not zero somewhere.
    const ExpressionId some =
        rules_.Sequence({rules_.Text("."), Digits(0, kMaxFraction - 1), rules_.Class({{'1', '9'}})});
    add(rules_.Text(absl::StrCat(low)), least.included ? any : some);
    if (low + 1 < high) add(CountBetween(low + 1, high - 1), any);
  }
  if (most && most->included && (low < high || least.included)) {
    add(rules_.Text(absl::StrCat(high)),
        rules_.Optional(
            rules_.Sequence({rules_.Text("."), rules_.Repeat(rules_.Text("0"), 1, kMaxFraction)})));
  }
}

ExpressionId JsonRules::NumberBetween(std::optional<Limit> least, std::optional<Limit> most) {
  std::vector<ExpressionId> ways;
  if (!most || most->value >= 0) {
    const Limit low = least && least->value >= 0 ? *least : Limit{0, true};
    AddMagnitudes(low, most, "", ways);
  }
  if (!least || least->value < 0) {
    const Limit low = most && most->value < 0 ? Limit{-most->value, most->included} : Limit{0, false};
    AddMagnitudes(low, least ? std::optional<Limit>({-least->value, least->included}) : std::nullopt, "-",
                  ways);
  }
  return rules_.Choice(std::move(ways));
}

ExpressionId JsonRules::Member(ExpressionId key, ExpressionId value) {
  return rules_.Sequence({key, rules_.Text(":"), Space(), value});
}

ExpressionId JsonRules::ObjectOf(const std::vector<GrammarRules::Item>& members) {
  return rules_.Sequence(
      {rules_.Text("{"), Space(), rules_.List(Comma(), members), Space(), rules_.Text("}")});
}

ExpressionId JsonRules::ArrayOf(ExpressionId items) {
  return rules_.Sequence({rules_.Text("["), Space(), items, Space(), rules_.Text("]")});
}

ExpressionId JsonRules::Comma() { return rules_.Sequence({rules_.Text(","), Space()}); }

}  // namespace hearth::grammar
