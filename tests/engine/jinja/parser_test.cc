#include "engine/jinja/parser.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"

namespace hearth::jinja {
namespace {

std::string ErrorOf(std::string_view source) { return std::string(Parse(source).status().message()); }

std::string Repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(ParserTest, ReadsEveryStatement) {
  EXPECT_TRUE(
      Parse("{% if a %}{% elif b %}{% else %}{% endif %}{% for a, (b, c) in x if a recursive %}{% break %}"
            "{% continue %}{% else %}{% endfor %}{% set a, b = 1, 2 %}{% set ns.x = 1 %}{% set y | upper %}"
            "{% endset %}{% macro m(a, b=1) %}{% endmacro %}{% call(x) m(1) %}{% endcall %}{% filter trim %}"
            "{% endfilter %}{% with a = 1, b = 2 %}{% endwith %}{% generation %}{% endgeneration %}{% print "
            "1 %}")
          .ok());
}

TEST(ParserTest, ErrorsSayWhatWasExpected) {
  EXPECT_EQ(ErrorOf("{{ }}"), "line 1, column 4: expected an expression, found '}}'");
  EXPECT_EQ(ErrorOf("{{ a b }}"), "line 1, column 6: expected '}}', found 'b'");
  EXPECT_EQ(ErrorOf("{% if a %}x"), "line 1, column 11: the block that begins here has no {% endif %}");
  EXPECT_EQ(ErrorOf("{% endif %}"), "line 1, column 4: unknown tag 'endif'");
  EXPECT_EQ(ErrorOf("{% for x y %}{% endfor %}"), "line 1, column 10: expected 'in', found 'y'");
  EXPECT_EQ(ErrorOf("{% set none = 1 %}"), "line 1, column 8: nothing can be assigned to 'none'");
  EXPECT_EQ(ErrorOf("{{ f(a=1, 2) }}"),
            "line 1, column 11: an argument without name stands behind named ones");
  EXPECT_EQ(ErrorOf("{% break %}"), "line 1, column 4: 'break' stands outside of a loop");
  EXPECT_EQ(ErrorOf("{% macro m(a=1, b) %}{% endmacro %}"),
            "line 1, column 18: a parameter without default follows one with a default");
  EXPECT_EQ(ErrorOf("{{ x is defined is true }}"), "line 1, column 17: tests cannot be chained with 'is'");
}

TEST(ParserTest, ALoopAroundAMacroIsNotLeftFromWithin) {
  EXPECT_FALSE(Parse("{% for x in y %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}").ok());
  EXPECT_TRUE(Parse("{% for x in y %}{% if x %}{% break %}{% endif %}{% endfor %}").ok());
}

TEST(ParserTest, OtherTemplatesAreUnimplemented) {
  for (const char* source :
       {"{% extends 'x' %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% block b %}"}) {
    EXPECT_EQ(Parse(source).status().code(), absl::StatusCode::kUnimplemented) << source;
  }
}

TEST(ParserTest, DeepNestingIsRefusedWithoutMuchStack) {
  constexpr int kMany = 50'000;
  const std::pair<std::string, std::string> kParts[] = {{"(", ")"},   {"[", "]"}, {"{'a':", "}"},
                                                        {"not ", ""}, {"-", ""},  {"a if b else ", ""},
                                                        {"f(", ")"},  {"a[", "]"}};
  for (const auto& [open, close] : kParts) {
    EXPECT_TRUE(absl::StrContains(
        ErrorOf("{{ " + Repeated(open, kMany) + "1" + Repeated(close, kMany) + " }}"), "levels deep"))
        << open;
  }
  for (const char* open : {"{% if a %}", "{% for a in b %}"}) {
    EXPECT_TRUE(absl::StrContains(ErrorOf(Repeated(open, kMany)), "levels deep")) << open;
  }
  const std::string targets = "{% set " + Repeated("(", kMany) + "a" + Repeated(")", kMany) + " = 1 %}";
  EXPECT_TRUE(absl::StrContains(ErrorOf(targets), "levels deep"));
}

TEST(ParserTest, LongChainsAreReadAndDestroyedWithoutMuchStack) {
  EXPECT_TRUE(Parse("{{ 1" + Repeated("+1", 200'000) + " }}").ok());
  EXPECT_TRUE(Parse("{{ a" + Repeated("|f", 200'000) + " }}").ok());
  EXPECT_TRUE(Parse("{{ a" + Repeated(".b", 200'000) + " }}").ok());
}

TEST(ParserTest, ALargeTemplateIsRefused) {
  EXPECT_EQ(ErrorOf(std::string(kMaxTemplateBytes + 1, 'x')),
            "it has 1048577 bytes; at most 1048576 are read");
}

}  // namespace
}  // namespace hearth::jinja
