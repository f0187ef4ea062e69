#include "engine/grammar/schema_pattern.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

// Whether the content of a JSON string, as it is written there, matches.
Verdict Match(std::string_view pattern, const std::string& content) {
  GrammarRules rules;
  JsonRules json(rules);
  const auto expression = CompilePattern(pattern, rules, json);
  EXPECT_TRUE(expression.ok()) << expression.status();
  if (!expression.ok()) return Verdict::kRefused;
  const RuleId root = rules.Declare("root");
  rules.Define(root, *expression);
  rules.SetRoot(root);
  return Judge(Grammar::Compile(rules), content);
}

std::string PatternError(std::string_view pattern) {
  GrammarRules rules;
  JsonRules json(rules);
  return std::string(CompilePattern(pattern, rules, json).status().message());
}

TEST(SchemaPatternTest, AnchorsBindTheEnds) {
  EXPECT_EQ(Match("^ab$", "ab"), Verdict::kWhole);
  EXPECT_EQ(Match("^ab$", "abc"), Verdict::kRefused);
  EXPECT_EQ(Match("ab", "xabx"), Verdict::kWhole);
  EXPECT_EQ(Match("ab", "xa"), Verdict::kBegun);
  EXPECT_EQ(Match("^a|b$", "ax"), Verdict::kWhole);
  EXPECT_EQ(Match("^a|b$", "xb"), Verdict::kWhole);
  EXPECT_EQ(Match("^(a|b)$", "ab"), Verdict::kRefused);
  EXPECT_EQ(Match("", "anything"), Verdict::kWhole);
}

TEST(SchemaPatternTest, ClassesEscapesAndRepetitions) {
  EXPECT_EQ(Match("^\\d{3}-\\w+$", "123-a_B9"), Verdict::kWhole);
  EXPECT_EQ(Match("^\\d{3}-\\w+$", "12-a"), Verdict::kRefused);
  EXPECT_EQ(Match("^[^a-c\\d]+?$", "xyzä"), Verdict::kWhole);
  EXPECT_EQ(Match("^[^a-c\\d]+$", "b"), Verdict::kRefused);
  EXPECT_EQ(Match("^[A-Z\\-.]{2,}$", "A-."), Verdict::kWhole);
  EXPECT_EQ(Match("^(?:ab)?\\u00e4\\x41$", "äA"), Verdict::kWhole);
  EXPECT_EQ(Match("^\\$\\.$", "$."), Verdict::kWhole);
  EXPECT_EQ(Match("^a{2}b{0,1}$", "aab"), Verdict::kWhole);
  EXPECT_EQ(Match("^\\S\\D\\W$", "ab-"), Verdict::kWhole);
}

TEST(SchemaPatternTest, CharactersThatJsonEscapesAreWrittenSo) {
  EXPECT_EQ(Match("^a\"\\\\$", "a\\\"\\\\"), Verdict::kWhole);
  EXPECT_EQ(Match("^\"$", "\""), Verdict::kRefused);
  EXPECT_EQ(Match("^\\n$", "\\n"), Verdict::kWhole);
  EXPECT_EQ(Match("^\\n$", "\n"), Verdict::kRefused);
}

TEST(SchemaPatternTest, WhatIsNotKnownIsNamed) {
  const std::string begin = "the pattern ";
  EXPECT_EQ(PatternError("(?=a)b"),
            begin + "(?=a)b cannot be used: of groups that begin with (? only (?: is known");
  EXPECT_TRUE(absl::StrContains(PatternError("\\bword"), "\\b is not known"));
  EXPECT_TRUE(absl::StrContains(PatternError("(a)\\1"), "\\1 is not known"));
  EXPECT_TRUE(absl::StrContains(PatternError("a^b"), "^ is known at its beginning only"));
  EXPECT_TRUE(absl::StrContains(PatternError("a$b"), "at character 3 is not known"));
  EXPECT_TRUE(absl::StrContains(PatternError("(a$)"), "$ is known at its end only"));
  EXPECT_TRUE(absl::StrContains(PatternError("(a"), "a group is never closed"));
  EXPECT_TRUE(absl::StrContains(PatternError("a)"), "at character 2 is not known"));
  EXPECT_TRUE(absl::StrContains(PatternError("[a"), "a class has no closing ]"));
  EXPECT_TRUE(absl::StrContains(PatternError("[b-a]"), "ends before it begins"));
  EXPECT_TRUE(absl::StrContains(PatternError("*a"), "repeats nothing"));
  EXPECT_TRUE(absl::StrContains(PatternError("a**"), "a repetition is repeated"));
  EXPECT_TRUE(absl::StrContains(PatternError("a{2,1}"), "a repetition {m,n} is wrong"));
  EXPECT_TRUE(absl::StrContains(PatternError("a{100001}"), "more than 100000 repetitions"));
  EXPECT_TRUE(absl::StrContains(PatternError("a\\"), "it ends with a backslash"));
  EXPECT_TRUE(absl::StrContains(PatternError(std::string(70, '(')), "more than 64 groups"));
}

}  // namespace
}  // namespace hearth::grammar
