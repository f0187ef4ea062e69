// What templates mean, in small; corpus_test.py and random_templates_test.py compare much more with jinja2.

#include <gtest/gtest.h>

#include "tests/engine/jinja/render_fixture.h"

namespace hearth::jinja {
namespace {

TEST(DisplayTest, ValuesAreWrittenAsPythonWritesThem) {
  EXPECT_EQ(TextOf("{{ [none, true, 1, 1.0, 1e16, 1e-5, 0.1, 'a\\'b', \"q\\n\", (1,), {'k': []}] }}"),
            "[None, True, 1, 1.0, 1e+16, 1e-05, 0.1, \"a'b\", 'q\\n', (1,), {'k': []}]");
  EXPECT_EQ(TextOf("{{ missing }}|{{ none }}|{{ range(3) }}|{{ {}.items() }}"),
            "|None|range(0, 3)|dict_items([])");
}

TEST(DisplayTest, JsonIsWrittenAsPythonWritesIt) {
  EXPECT_EQ(TextOf("{{ {'a': [1, 2.0, none, 'é\\n'], 'b': {}} | tojson }}"),
            "{\"a\": [1, 2.0, null, \"é\\n\"], \"b\": {}}");
  EXPECT_EQ(TextOf("{{ {'b': 1, 'a': [1]} | tojson(indent=1, sort_keys=true) }}"),
            "{\n \"a\": [\n  1\n ],\n \"b\": 1\n}");
  EXPECT_EQ(TextOf("{{ missing | tojson }}"),
            "error: line 1, column 14: a value of type Undefined cannot be written as JSON ('missing' is "
            "undefined)");
}

TEST(OperatorsTest, IntegersDivideAsInPython) {
  EXPECT_EQ(TextOf("{{ -7 // 2 }} {{ -7 % 2 }} {{ 7 / 2 }} {{ 2 ** -1 }} {{ -7.5 // 2 }} {{ -1 % 0.5 }}"),
            "-4 1 3.5 0.5 -4.0 0.0");
  EXPECT_EQ(TextOf("{{ 1 // 0 }}"), "error: line 1, column 6: division by zero");
}

TEST(OperatorsTest, ComparisonsChainAndMixNumbers) {
  EXPECT_EQ(
      TextOf(
          "{{ 1 < 2 < 3 }}{{ 1 == 1.0 == true }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ 3 < 2 < missing }}"),
      "TrueTrueTrueTrueFalse");
  EXPECT_EQ(TextOf("{{ 1 < 'a' }}"), "error: line 1, column 4: '<' does not work between 'int' and 'str'");
}

TEST(OperatorsTest, SlicesCountCharacters) {
  EXPECT_EQ(TextOf("{{ 'aé日b'[1:3] }} {{ 'aé日b'[::-1] }} {{ [1, 2, 3][-2:] }} {{ 'abc'[5:] }}"),
            "é日 b日éa [2, 3] ");
  EXPECT_EQ(TextOf("{{ 'abc'[::0] }}"), "error: line 1, column 9: the step of a slice is 0");
}

TEST(LookupTest, DotsFindMethodsFirstAndBracketsKeys) {
  EXPECT_EQ(TextOf("{{ d['items'] }} {{ d.items() | list }} {{ d.k }} {{ d.none is defined }}",
                   R"({"d": {"items": 1, "k": 2}})"),
            "1 [('items', 1), ('k', 2)] 2 False");
}

TEST(LookupTest, UndefinedPrintsAsNothingButCannotBeUsed) {
  EXPECT_EQ(TextOf("{{ x }}{{ x is defined }}{{ x | default('d') }}{% for i in x %}{% endfor %}{{ not x }}"),
            "FalsedTrue");
  EXPECT_EQ(TextOf("{{ x.y }}"), "error: line 1, column 5: 'x' is undefined");
  EXPECT_EQ(TextOf("{{ {}.a.b }}"), "error: line 1, column 8: 'dict' has no attribute 'a'");
}

TEST(ScopeTest, LoopsKeepTheirAssignmentsToThemselves) {
  EXPECT_EQ(TextOf("{% set x = 0 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}"),
            "120");
  EXPECT_EQ(TextOf("{% set ns = namespace(x=0) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor "
                   "%}{{ ns.x }}"),
            "3");
  EXPECT_EQ(TextOf("{% if true %}{% set x = 1 %}{% endif %}{{ x }}"), "1");
  EXPECT_EQ(TextOf("{% set d = {} %}{% set d.x = 1 %}"),
            "error: line 1, column 20: 'd' is no namespace: its attributes cannot be set");
}

TEST(ScopeTest, MacrosSeeWhereTheyStandAndNotWhereTheyAreCalled) {
  EXPECT_EQ(
      TextOf("{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{% for x in [2] %}{{ m() }}{% endfor %}"),
      "1");
}

TEST(MacroTest, ArgumentsAreBoundByPositionNameAndDefault) {
  EXPECT_EQ(TextOf("{% macro m(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ "
                   "m(1, 2, 3, c=4) }}"),
            "11(){}12(3,){'c': 4}");
  EXPECT_EQ(TextOf("{% macro m() %}{% endmacro %}{{ m(1) }}"),
            "error: line 1, column 34: the macro 'm' takes at most 0 arguments");
  EXPECT_EQ(TextOf("{% macro m() %}{% endmacro %}{{ m(k=1) }}"),
            "error: line 1, column 34: the macro 'm' has no parameter 'k'");
}

TEST(LoopTest, LoopTellsWhereItStands) {
  EXPECT_EQ(TextOf("{% for x in 'abc' %}{{ loop.index }}{{ loop.previtem }}{{ loop.nextitem }}{{ ',' if not "
                   "loop.last }}{% endfor %}"),
            "1b,2ac,3b");
  EXPECT_EQ(
      TextOf("{% for x in [1, 2, 3, 4] if x is even %}{{ loop.length }}{{ loop.revindex }}{% endfor %}"),
      "2221");
  EXPECT_EQ(TextOf("{% for x in [] %}{% else %}none{% endfor %}"), "none");
}

TEST(LoopTest, ConditionsAreAskedWhenTheirItemComes) {
  EXPECT_EQ(TextOf("{% set ns = namespace(on=true) %}{% for x in [1, 2, 3] if ns.on %}{{ x }}{% set ns.on = "
                   "false %}{% endfor %}"),
            "1");
}

TEST(LoopTest, AnErrorWhileLookingAheadIsNotLost) {
  EXPECT_EQ(TextOf("{% for x in [1, 'a'] if x + 1 %}{{ loop.last }}{% endfor %}"),
            "error: line 1, column 27: '+' does not work between 'str' and 'int'");
}

TEST(FiltersTest, GeneratorsAreTrueAndGiveTheirElementsOnce) {
  EXPECT_EQ(TextOf("{% set g = [] | map('upper') %}{{ 1 if g }}{% set h = ['a'] | map('upper') %}{{ h | list "
                   "}}{{ h | list }}"),
            "1['A'][]");
}

TEST(FormatTest, PercentAndBraces) {
  EXPECT_EQ(TextOf("{{ '%5.1f|%-4s|%03d|%x|%%|%(k)s' % {'k': 1} if false else '%5.1f|%-4s|%03d|%x|%%' % "
                   "(2.25, 'é', -5, 255) }}"),
            "  2.2|é   |-05|ff|%");
  EXPECT_EQ(TextOf("{{ '{0}{x}{{}}{1[0]:>3}{2:,.1f}'.format('a', ['b'], 1234.56, x=1) }}"), "a1{}  b1,234.6");
  EXPECT_EQ(TextOf("{{ '%s%s' % 'a' }}"), "error: line 1, column 11: a format has more fields than values");
  EXPECT_EQ(TextOf("{{ '%999999999d' % 1 }}"),
            "error: line 1, column 18: a format asks for too many characters");
}

TEST(TestsTest, TestsOfTypes) {
  EXPECT_EQ(TextOf("{{ 1 is integer }}{{ true is integer }}{{ true is number }}{{ x is sequence }}{{ 'a' is "
                   "in 'abc' }}{{ {} is mapping }}"),
            "TrueFalseTrueTrueTrueTrue");
}

}  // namespace
}  // namespace hearth::jinja
