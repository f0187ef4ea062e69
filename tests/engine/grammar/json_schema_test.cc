#include "engine/grammar/json_schema.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

void Expect(std::string_view schema, std::initializer_list<const char*> whole,
            std::initializer_list<const char*> others) {
  const auto grammar = CompileSchema(schema);
  ASSERT_TRUE(grammar.ok()) << grammar.status() << " " << schema;
  for (const char* text : whole) EXPECT_EQ(Judge(grammar, text), Verdict::kWhole) << schema << " " << text;
  for (const char* text : others) EXPECT_NE(Judge(grammar, text), Verdict::kWhole) << schema << " " << text;
}

std::string SchemaError(std::string_view schema) {
  return std::string(CompileSchema(schema).status().message());
}

TEST(JsonSchemaTest, TypesAndListsOfTypes) {
  Expect(R"({"type":"integer"})", {"0", "-17"}, {"01", "1.5", "+1", "", "\"1\"", "12345678901234567"});
  Expect(R"({"type":"number"})", {"0", "-17.25", "1e5", "2.5E-3"}, {"1.", ".5", "1e999", "NaN"});
  Expect(R"({"type":"boolean"})", {"true", "false"}, {"True", "null"});
  Expect(R"({"type":["string","null"]})", {"null", "\"a\\n\\u00e4\\\"\""}, {"\"\n\"", "\"\\x\"", "1"});
  Expect(R"({"type":"string"})", {R"("\ud83d\ude00")", "\"😀\""}, {R"("\ud83d")", R"("\ude00")"});
  Expect(R"({})", {"null", "[1, {\"a\":[]}]", "{\n  \"a\": \"b\"\n}"}, {"[1,]", "{a:1}", ""});
}

TEST(JsonSchemaTest, PropertiesInTheirOrderWithOptionalOnes) {
  const char* const schema = R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"},
                                 "c":{"type":"null"}},"required":["b"]})";
  Expect(schema,
         {R"({"a":1,"b":true,"c":null})", R"({"b":true})", R"({ "b": true, "c": null })",
          "{\n  \"a\": 1,\n  \"b\": false\n}"},
         {R"({"a":1})", R"({"b":true,"a":1})", R"({"b":true,})", R"({,"b":true})", "{}",
          R"({"b":true,"d":1})", R"({"a":1 "b":true})"});
  Expect(R"({"properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
         {"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"}, {R"({"b":1,"a":2})", R"({"c":1})"});
}

TEST(JsonSchemaTest, FurtherPropertiesHaveOtherNames) {
  const char* const schema =
      R"({"type":"object","properties":{"ab":{"type":"integer"}},"required":["ab"],"additionalProperties":{"type":"boolean"}})";
  Expect(schema, {R"({"ab":1})", R"({"ab":1,"a":true})", R"({"ab":1,"abc":true,"":false})"},
         {R"({"ab":1,"ab":true})", R"({"ab":1,"x":1})", R"({"a":true})", "{\"ab\":1,\"\\u0061b\":true}"});
  Expect(R"({"type":"object","additionalProperties":{"type":"integer"}})", {"{}", R"({"x":1,"y":2})"},
         {R"({"x":true})"});
  Expect(R"({"type":"object","additionalProperties":false})", {"{}"}, {R"({"x":1})"});
  Expect(R"({"type":"object","required":["x"]})", {R"({"x":[]})"}, {"{}", R"({"y":1})"});
}

TEST(JsonSchemaTest, ArraysWithCountsAndItemsInFront) {
  Expect(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})", {"[1]", "[1, 2,3]"},
         {"[]", "[1,2,3,4]", "[true]"});
  Expect(R"({"items":{"type":"null"}})", {"[]", "[null,null]"}, {"[1]"});
  Expect(R"({"prefixItems":[{"type":"integer"},{"type":"boolean"}],"items":{"type":"null"}})",
         {"[]", "[1]", "[1,true]", "[1,true,null,null]"}, {"[true]", "[1,null]"});
  Expect(R"({"prefixItems":[{"type":"integer"},{"type":"boolean"}],"items":false,"minItems":1})",
         {"[1]", "[1,false]"}, {"[]", "[1,false,1]"});
  Expect(R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"});
  Expect(R"({"type":"array","minItems":2})", {"[1,\"x\"]", "[1,2,3]"}, {"[1]"});
}

TEST(JsonSchemaTest, StringsWithLengthsPatternsAndFormats) {
  Expect(R"({"type":"string","minLength":2,"maxLength":3})", {"\"ab\"", "\"äöü\"", R"("\n\ud83d\ude00")"},
         {"\"a\"", "\"abcd\""});
  Expect(R"({"pattern":"^[a-z]+$"})", {"\"abc\""}, {"\"\"", "\"aB\""});
  Expect(R"({"type":"string","format":"date"})", {"\"2024-02-28\"", "\"1999-12-31\""},
         {"\"2023-02-29\"", "\"2023-04-31\"", "\"2023-13-01\"", "\"23-01-01\""});
  Expect(R"({"type":"string","format":"date-time"})",
         {"\"2024-01-02T03:04:05Z\"", "\"2024-01-02T03:04:05.5+01:30\""},
         {"\"2024-01-02 03:04:05Z\"", "\"2024-01-02T24:00:00Z\""});
  Expect(R"({"type":"string","format":"uuid"})", {"\"01234567-89ab-cdef-0123-456789ABCDEF\""}, {"\"0123\""});
  Expect(R"({"type":"string","format":"email"})", {"\"a.b@c.org\""},
         {"\"a.b\"", "\"@c.org\"", "\"a..b@c.org\""});
  Expect(R"({"type":"string","format":"ipv4"})", {"\"0.25.250.255\""}, {"\"1.2.3.256\"", "\"01.2.3.4\""});
}

TEST(JsonSchemaTest, IntegersBetweenBounds) {
  for (const auto& [least, most] : {std::pair{0, 0}, {-3, 12}, {7, 1234}, {-205, -17}, {95, 105}, {-1, 0}}) {
    const auto grammar = CompileSchema("{\"type\":\"integer\",\"minimum\":" + std::to_string(least) +
                                       ",\"maximum\":" + std::to_string(most) + "}");
    for (int value = -1300; value <= 1300; ++value) {
      ASSERT_EQ(Judge(grammar, std::to_string(value)) == Verdict::kWhole, least <= value && value <= most)
          << least << " " << most << " " << value;
    }
  }
  Expect(R"({"type":"integer","exclusiveMinimum":0})", {"1", "9999999999999999"}, {"0", "-1"});
  Expect(R"({"type":"integer","minimum":0.5,"exclusiveMaximum":3})", {"1", "2"}, {"0", "3"});
  Expect(R"({"type":"integer","minimum":-9000000000000000000,"maximum":8999999999999999999})",
         {"-9000000000000000000", "8999999999999999999"}, {"-9000000000000000001", "9000000000000000000"});
}

TEST(JsonSchemaTest, NumbersBetweenWholeBounds) {
  Expect(R"({"type":"number","minimum":0,"maximum":1})", {"0", "0.5", "1", "1.0"},
         {"1.01", "-0.5", "2", "1e-1"});
  Expect(R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1})", {"0.01"},
         {"0", "0.0", "1", "1.0"});
  Expect(R"({"type":"number","minimum":-2,"exclusiveMaximum":10})", {"-2", "-1.75", "-0.5", "0", "9.99"},
         {"-2.1", "10", "-3"});
  Expect(R"({"type":"number","maximum":-5})", {"-5", "-5.0", "-7.5"}, {"-4.9", "5"});
  Expect(R"({"type":"number","minimum":3})", {"3", "3.5", "400"}, {"2.9", "-3"});
}

TEST(JsonSchemaTest, ValuesThatAreListed) {
  Expect(R"({"enum":["a\"b",1,null,[1,{"x":2}]]})", {"\"a\\\"b\"", "1", "null", R"([1,{"x":2}])"},
         {"\"a\"", "2"});
  Expect(R"({"const":{"k":1.5}})", {R"({"k":1.5})"}, {"{}"});
  Expect(R"({"type":"string","enum":["x",1]})", {"\"x\""}, {"1"});
}

TEST(JsonSchemaTest, AlternativesAndConjunctions) {
  Expect(R"({"anyOf":[{"type":"integer"},{"type":"boolean"}]})", {"1", "true"}, {"null"});
  Expect(R"({"oneOf":[{"const":"a"},{"type":"null"}]})", {"\"a\"", "null"}, {"\"b\""});
  Expect(R"({"type":"object","properties":{"k":{"type":"integer"},"l":{"type":"integer"}},
             "anyOf":[{"required":["k"]},{"required":["l"]}]})",
         {R"({"k":1})", R"({"l":1})", R"({"k":1,"l":2})"}, {"{}"});
  Expect(R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":1}}},
             {"properties":{"a":{"maximum":3},"b":{"type":"null"}},"required":["a"]}]})",
         {R"({"a":2})", R"({"a":3,"b":null})"}, {R"({"a":4})", "{}"});
}

TEST(JsonSchemaTest, ReferencesMayBeRecursive) {
  Expect(R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},
             "next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"]}}})",
         {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"}, {R"({"v":1})"});
  Expect(R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"});
  Expect(R"({"properties":{"a/b":{"type":"null"},"c":{"$ref":"#/properties/a~1b"}}})", {R"({"c":null})"}, {});
  Expect(R"({"$ref":"#/$defs/n","maximum":5,"$defs":{"n":{"type":"integer","minimum":3}}})", {"3", "5"},
         {"2", "6"});
}

TEST(JsonSchemaTest, WhatIsNotSupportedIsNamedWithItsPlace) {
  EXPECT_EQ(SchemaError(R"({"type":"object","properties":{"x":{"not":{}}}})"),
            "the JSON schema at #/properties/x: \"not\" is not supported");
  for (const char* keyword :
       {"patternProperties", "uniqueItems", "multipleOf", "if", "contains", "minProperties",
        "dependentRequired", "unevaluatedProperties", "propertyNames"}) {
    EXPECT_EQ(SchemaError(absl::StrCat("{\"", keyword, "\":1}")),
              absl::StrCat("the JSON schema at #: \"", keyword, "\" is not supported"));
  }
  EXPECT_EQ(
      SchemaError(R"({"type":"string","format":"uri"})").find("the JSON schema at #: this \"format\" is not"),
      0u);
  EXPECT_EQ(SchemaError(R"({"type":"text"})"), "the JSON schema at #: there is no type \"text\"");
  EXPECT_EQ(SchemaError(R"({"type":"string","minLength":1,"pattern":"a"})"),
            "the JSON schema at #: of lengths, \"pattern\" and \"format\" one alone is supported");
  EXPECT_EQ(SchemaError(R"({"$ref":"http://x"})"),
            "the JSON schema at #: $ref \"http://x\" does not begin with \"#/\": only references within the "
            "schema are known");
  EXPECT_EQ(SchemaError(R"({"$ref":"#/$defs/x"})"),
            "the JSON schema at #: there is nothing at $ref \"#/$defs/x\"");
  EXPECT_EQ(SchemaError(R"({"enum":[1,2],"minimum":2})"),
            "the JSON schema at #: \"enum\" and \"minimum\" together are not supported");
  EXPECT_EQ(SchemaError(R"({"type":"number","minimum":0.5})"),
            "the JSON schema at #: \"minimum\" of numbers that need not be whole must be whole");
}

TEST(JsonSchemaTest, SchemasThatNothingFitsAreRefused) {
  EXPECT_EQ(SchemaError("false"), "the JSON schema at #: no value fits `false`");
  EXPECT_EQ(SchemaError("3"), "the JSON schema at #: a schema is an object, true or false");
  EXPECT_EQ(SchemaError(R"({"enum":[]})"), "the JSON schema at #: no value of \"enum\" fits");
  EXPECT_EQ(SchemaError(R"({"type":"string","const":1})"),
            "the JSON schema at #: no value of \"const\" fits");
  EXPECT_EQ(SchemaError(R"({"type":"integer","minimum":3,"maximum":2})"),
            "the JSON schema at #: no number is as large as the minimum and as small as the maximum");
  EXPECT_EQ(SchemaError(R"({"type":"array","minItems":3,"maxItems":2})"),
            "the JSON schema at #: \"minItems\" is more than \"maxItems\"");
  EXPECT_EQ(SchemaError(R"({"allOf":[{"type":"string"},{"type":"null"}]})"),
            "the JSON schema at #: no type is left that fits");
  EXPECT_EQ(SchemaError(R"({"$ref":"#"})"), "the rule `#` never ends: it always calls itself again");
  EXPECT_EQ(SchemaError(R"({"type":"object","properties":{"x":{"$ref":"#"}},"required":["x"]})"),
            "the rule `#` never ends: it always calls itself again");
  EXPECT_EQ(SchemaError(R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})"),
            "the JSON schema at #: two schemas that are to hold together both have \"pattern\", which cannot "
            "be joined");
}

TEST(JsonSchemaTest, SizesAreBounded) {
  EXPECT_EQ(SchemaError(R"({"type":"string","maxLength":100001})"),
            "the JSON schema at #: \"maxLength\" is at most 100000");
  EXPECT_NE(SchemaError(R"({"type":"array","maxItems":100000})").find("larger than 262144 states"),
            std::string::npos);
  // Alternatives within alternatives, merged again and again.
  std::string schema = R"({"type":"object","$defs":{"x0":{"type":"object"})";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "{\"$ref\":\"#/$defs/x" + std::to_string(i - 1) + "\",\"required\":[\"y\"]}";
    schema += ",\"x" + std::to_string(i) + "\":{\"anyOf\":[" + before + "," + before + "]}";
  }
  EXPECT_NE(SchemaError(schema + R"(},"anyOf":[{"$ref":"#/$defs/x29","required":["z"]}]})")
                .find("more than 5000 schemas"),
            std::string::npos);
}

TEST(JsonSchemaTest, AnObjectOfWhichNothingIsSaidIsAnyObject) {
  Expect(R"({"type":"object"})", {"{}", R"({"a": [1, {"b": null}]})"}, {"[]", "1"});
}

}  // namespace
}  // namespace hearth::grammar
