#include "engine/grammar/gbnf_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

using enum Verdict;

std::string ErrorOf(std::string_view text) { return std::string(CompileGbnf(text).status().message()); }

TEST(GbnfParserTest, TextsWithEscapes) {
  const auto grammar = CompileGbnf(R"(root ::= "a\n\"\\\x41\u00e4\U0001F600[")");
  EXPECT_EQ(Judge(grammar, "a\n\"\\Aä😀["), kWhole);
  EXPECT_EQ(Judge(grammar, "a\n\"\\Aä😀"), kBegun);
  EXPECT_EQ(Judge(grammar, "a\n\"\\Aä😀]"), kRefused);
}

TEST(GbnfParserTest, ClassesWithRangesNegationAndEscapes) {
  const auto grammar = CompileGbnf(R"(root ::= [a-cX\]\-] [^a-z"] [-+] .)");
  EXPECT_EQ(Judge(grammar, "b0-ä"), kWhole);
  EXPECT_EQ(Judge(grammar, "]é+\n"), kWhole);
  EXPECT_EQ(Judge(grammar, "-"), kBegun);
  EXPECT_EQ(Judge(grammar, "d"), kRefused);
  EXPECT_EQ(Judge(grammar, "az"), kRefused);
  EXPECT_EQ(Judge(grammar, "b0*"), kRefused);
}

TEST(GbnfParserTest, RepetitionsOfAllKinds) {
  const auto grammar = CompileGbnf(R"(root ::= "a"* "b"+ "c"? "d"{2} "e"{1,} "f"{0,2} "g"{3,3})");
  EXPECT_EQ(Judge(grammar, "bddeggg"), kWhole);
  EXPECT_EQ(Judge(grammar, "aaabbcddeeeffggg"), kWhole);
  EXPECT_EQ(Judge(grammar, "bccdd"), kRefused);
  EXPECT_EQ(Judge(grammar, "bddefffg"), kRefused);
  EXPECT_EQ(Judge(grammar, "bdddeggg"), kRefused);
  EXPECT_EQ(Judge(grammar, "add"), kRefused);
}

TEST(GbnfParserTest, AlternativesAndGroupsOverSeveralLinesWithComments) {
  const auto grammar = CompileGbnf(
      "# of two kinds\r\n"
      "root ::= (  # grouped\n  \"x\" |\n  \"y\"\n) rest |\n  \"z\"   # behind a bar\n"
      "rest ::=\n  [0-9] | \"\"\n\n");
  EXPECT_EQ(Judge(grammar, "x"), kWhole);
  EXPECT_EQ(Judge(grammar, "y7"), kWhole);
  EXPECT_EQ(Judge(grammar, "z"), kWhole);
  EXPECT_EQ(Judge(grammar, "z7"), kRefused);
}

TEST(GbnfParserTest, RulesMayBeRecursiveAndComeInAnyOrder) {
  const auto grammar =
      CompileGbnf("root ::= pair*\npair ::= \"(\" root \")\" | other-one\nother-one ::= \"[\" root \"]\"");
  EXPECT_EQ(Judge(grammar, "([()][])()"), kWhole);
  EXPECT_EQ(Judge(grammar, "([("), kBegun);
  EXPECT_EQ(Judge(grammar, "([)]"), kRefused);
}

TEST(GbnfParserTest, ErrorsSayWhere) {
  EXPECT_EQ(ErrorOf("root ::= \"a\n"), "line 1, column 10: the text that begins here has no closing `\"`");
  EXPECT_EQ(ErrorOf("root ::= \"a\"\n  [a-"),
            "line 2, column 3: `[` stands where the name of a rule should stand");
  EXPECT_EQ(ErrorOf("root ::= [a-"), "line 1, column 10: the class that begins here has no closing `]`");
  EXPECT_EQ(ErrorOf("root ::= [z-a]"), "line 1, column 11: the range ends before it begins");
  EXPECT_EQ(ErrorOf("root ::= []"), "line 1, column 10: no character belongs to this class");
  EXPECT_EQ(ErrorOf("root ::= (\"a\""), "line 1, column 10: the parenthesis that opens here is never closed");
  EXPECT_EQ(ErrorOf("root ::= \"\\q\""),
            "line 1, column 11: there is no such escape; write a backslash as `\\\\`");
  EXPECT_EQ(ErrorOf("root ::= \"\\uD800\""), "line 1, column 11: this escape names no character");
  EXPECT_EQ(ErrorOf("root ::= \"\\x4\""), "line 1, column 11: this escape needs 2 hexadecimal digits");
  EXPECT_EQ(ErrorOf("root = \"a\""), "line 1, column 6: `=` stands where `::=` should stand");
  EXPECT_EQ(ErrorOf("root ::= \"a\" )"),
            "line 1, column 14: `)` stands where the end of the rule should stand");
  EXPECT_EQ(ErrorOf("root ::= *"), "line 1, column 10: `*` stands where the end of the rule should stand");
  EXPECT_EQ(ErrorOf("root ::= \"a\"{3,2}"),
            "line 1, column 13: the repetition's end is less than its beginning");
  EXPECT_EQ(ErrorOf("root ::= \"a\"{x}"), "line 1, column 14: `x` stands where a number should stand");
  EXPECT_EQ(ErrorOf("root ::= \"\xff\""), "line 1, column 11: the grammar is not UTF-8");
}

TEST(GbnfParserTest, RulesThatAreMissingOrDoubleAreNamed) {
  EXPECT_EQ(ErrorOf("root ::= a b\na ::= \"x\""), "line 1, column 12: there is no rule `b`");
  EXPECT_EQ(ErrorOf("a ::= \"x\""), "line 1, column 10: the grammar needs a rule `root` to begin with");
  EXPECT_EQ(ErrorOf(""), "line 1, column 1: the grammar needs a rule `root` to begin with");
  EXPECT_EQ(ErrorOf("root ::= \"x\"\nroot ::= \"y\""),
            "line 2, column 1: the rule `root` is defined a second time");
}

TEST(GbnfParserTest, SizesAreBounded) {
  EXPECT_EQ(ErrorOf("root ::= " + std::string(65, '(') + "\"a\""),
            "line 1, column 74: more than 64 open parentheses");
  EXPECT_EQ(ErrorOf("root ::= \"a\"{100001}"),
            "line 1, column 14: at most 100000 repetitions can be asked for");
  EXPECT_EQ(ErrorOf("root ::= \"a\"{99999999999}"),
            "line 1, column 14: at most 100000 repetitions can be asked for");
  EXPECT_EQ(ErrorOf(std::string(kMaxGrammarBytes + 1, ' ')),
            "the grammar has 1048577 bytes; at most 1048576 are read");
  EXPECT_EQ(ErrorOf("root ::= \"a\"" + std::string(100, '*')),
            "line 1, column 78: too many repetitions of one part");
}

}  // namespace
}  // namespace hearth::grammar
