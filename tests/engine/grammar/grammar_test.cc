#include "engine/grammar/grammar.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

using enum Verdict;

std::string GbnfError(std::string_view text) { return std::string(CompileGbnf(text).status().message()); }

TEST(GrammarTest, LeftRecursionIsRefused) {
  EXPECT_TRUE(
      absl::StartsWith(GbnfError("root ::= root \"a\" | \"b\""), "the rule `root` begins with itself"));
  const std::string indirect = GbnfError("root ::= \"x\" a\na ::= b \"x\" | \"y\"\nb ::= a | \"z\"");
  EXPECT_TRUE(absl::StrContains(indirect, "begins with itself")) << indirect;
  const std::string hidden = GbnfError("root ::= e root \"a\" | \"b\"\ne ::= \"\" | \"c\"");
  EXPECT_TRUE(absl::StartsWith(hidden, "the rule `root` begins with itself")) << hidden;
}

TEST(GrammarTest, RulesThatNeverEndAreRefused) {
  EXPECT_EQ(GbnfError("root ::= \"a\" root"), "the rule `root` never ends: it always calls itself again");
  EXPECT_EQ(GbnfError("root ::= \"a\" | b\nb ::= \"x\" b"),
            "the rule `b` never ends: it always calls itself again");
}

TEST(GrammarTest, SizeIsBounded) {
  EXPECT_TRUE(absl::StartsWith(GbnfError("root ::= ((\"a\"{1000}){1000}){1000}"),
                               "the rule `root` makes the grammar larger than 262144 states"));
  EXPECT_TRUE(absl::StrContains(GbnfError("root ::= ((\"\"{100000}){100000}){100000}"), "larger than"));
  EXPECT_TRUE(CompileGbnf("root ::= [^x]{0,20000}").ok());
}

TEST(RecognizerTest, OnlyWholeValidCharactersMatch) {
  const auto grammar = CompileGbnf("root ::= .*");
  EXPECT_EQ(Judge(grammar, "aä€😀"), kWhole);
  EXPECT_EQ(Judge(grammar, "\xF0\x9F"), kBegun);
  EXPECT_EQ(Judge(grammar, "\xC0\x80"), kRefused);          // overlong
  EXPECT_EQ(Judge(grammar, "\xED\xA0\x80"), kRefused);      // a surrogate
  EXPECT_EQ(Judge(grammar, "\xF4\x90\x80\x80"), kRefused);  // beyond Unicode
  EXPECT_EQ(Judge(grammar, "\x80"), kRefused);
}

TEST(RecognizerTest, AmbiguityDoesNotMultiply) {
  // Each "a" could be closed in two ways: texts have 2^n readings until they are.
  const auto grammar = CompileGbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"");
  EXPECT_EQ(Judge(grammar, std::string(3000, 'a') + std::string(3000, 'c')), kWhole);
  EXPECT_EQ(Judge(grammar, std::string(3000, 'a') + std::string(3001, 'b')), kRefused);
}

TEST(RecognizerTest, EmptyRulesInFrontOfOthers) {
  const auto grammar = CompileGbnf("root ::= e e x e\ne ::= \"-\"?\nx ::= e \"x\" | e e");
  for (const char* whole : {"", "-", "---x-", "x", "-----", "-x-"})
    EXPECT_EQ(Judge(grammar, whole), kWhole) << whole;
  EXPECT_EQ(Judge(grammar, "----x"), kRefused);
  EXPECT_EQ(Judge(grammar, "xx"), kRefused);
}

TEST(RecognizerTest, CompactingChangesNothing) {
  const auto grammar = CompileGbnf("root ::= \"(\" root \")\" | \"[\" root \"]\" | \"\"");
  ASSERT_TRUE(grammar.ok());
  Recognizer recognizer(*grammar);
  ConfigId config = recognizer.Start();
  for (const char byte : std::string("([([")) config = recognizer.Next(config, static_cast<uint8_t>(byte));
  ASSERT_TRUE(recognizer.Compact({&config, 1}));
  for (const char byte : std::string("])])")) {
    EXPECT_FALSE(recognizer.MayEnd(config));
    config = recognizer.Next(config, static_cast<uint8_t>(byte));
  }
  EXPECT_TRUE(recognizer.MayEnd(config));
  EXPECT_FALSE(recognizer.MayGoOn(config));
}

// All texts up to a length that an expression stands for, computed from its meaning.
using Texts = std::set<std::string>;
constexpr size_t kLongest = 5;

Texts Concatenated(const Texts& a, const Texts& b) {
  Texts all;
  for (const std::string& x : a) {
    for (const std::string& y : b) {
      if (x.size() + y.size() <= kLongest) all.insert(x + y);
    }
  }
  return all;
}

// A random expression in GBNF over a and b; the rules r0, r1, ... below `rules` may be called.
struct RandomGrammar {
  std::mt19937 random;

  std::string Expression(int depth, size_t rules) {
    switch (random() % (depth > 0 ? 7 : 3)) {
      case 0:
        return random() % 4 == 0 ? "\"\"" : "\"a\"";
      case 1:
        return "[ab]";
      case 2:
        return rules > 0 ? absl::StrCat("r", random() % rules) : "\"b\"";
      case 3:
        return absl::StrCat("(", Expression(depth - 1, rules), " | ", Expression(depth - 1, rules), ")");
      case 4:
        return absl::StrCat("(", Expression(depth - 1, rules), ")", random() % 2 == 0 ? "{1,2}" : "*");
      default:
        return absl::StrCat(Expression(depth - 1, rules), " ", Expression(depth - 1, rules));
    }
  }
};

Texts Meaning(const GrammarRules& rules, ExpressionId id) {
  const Expression& expression = rules.expression(id);
  switch (expression.kind) {
    case Expression::Kind::kText:
      return {expression.text};
    case Expression::Kind::kClass:
      return {"a", "b"};
    case Expression::Kind::kRule:
      return Meaning(rules, *rules.definition(expression.rule));
    case Expression::Kind::kChoice: {
      Texts all;
      for (const ExpressionId part : expression.parts) all.merge(Meaning(rules, part));
      return all;
    }
    case Expression::Kind::kRepeat: {
      const Texts part = Meaning(rules, expression.parts[0]);
      Texts all;
      Texts power = {""};
      for (uint32_t count = 0; count <= expression.most.value_or(2 * kLongest); ++count) {
        if (count >= expression.least) all.insert(power.begin(), power.end());
        power = Concatenated(power, part);
      }
      return all;
    }
    default: {
      Texts all = {""};
      for (const ExpressionId part : expression.parts) all = Concatenated(all, Meaning(rules, part));
      return all;
    }
  }
}

TEST(RecognizerTest, AcceptsExactlyWhatRandomGrammarsMean) {
  for (unsigned seed = 0; seed < 150; ++seed) {
    RandomGrammar maker{std::mt19937(seed)};
    std::string text;
    for (size_t rule = 0; rule < 3; ++rule)
      absl::StrAppend(&text, "r", rule, " ::= ", maker.Expression(3, rule), "\n");
    text += "root ::= " + maker.Expression(3, 3);
    const auto rules = ParseGbnf(text);
    ASSERT_TRUE(rules.ok()) << rules.status() << "\n" << text;
    const auto grammar = Grammar::Compile(*rules);
    ASSERT_TRUE(grammar.ok()) << grammar.status() << "\n" << text;
    const Texts meant = Meaning(*rules, *rules->definition(rules->root()));
    Recognizer recognizer(*grammar);
    for (size_t length = 0; length <= kLongest; ++length) {
      for (unsigned bits = 0; bits < 1u << length; ++bits) {
        std::string candidate;
        for (size_t i = 0; i < length; ++i) candidate += (bits >> i & 1) != 0 ? 'b' : 'a';
        ASSERT_EQ(Judge(recognizer, candidate) == kWhole, meant.contains(candidate)) << candidate << "\n"
                                                                                     << text;
      }
    }
  }
}

}  // namespace
}  // namespace hearth::grammar
