#include "engine/chat/tool_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Json = nlohmann::ordered_json;

std::vector<ToolCall> Read(std::string_view text) {
  const auto calls = ReadToolCalls(text);
  EXPECT_TRUE(calls.has_value()) << text;
  return calls.value_or(std::vector<ToolCall>{});
}

const ToolCall kPlusCall{"plus", R"({"a":1,"b":"}]"})"};

TEST(ToolCallsTest, ReadsTheObjectsThatModelsWrite) {
  for (const char* text :
       {R"({"name": "plus", "arguments": {"a": 1, "b": "}]"}})",
        R"({"name": "plus", "parameters": {"a": 1, "b": "}]"}})",
        R"({"type": "function", "function": {"name": "plus", "arguments": {"a": 1, "b": "}]"}}})",
        R"({"function": "plus", "parameters": {"a": 1, "b": "}]"}})",
        R"({"tool_call_id": "0", "tool_name": "plus", "parameters": {"a": 1, "b": "}]"}})",
        R"({"name": "plus", "arguments": "{\"a\": 1, \"b\": \"}]\"}"})",
        "```json\n{\"name\": \"plus\", \"arguments\": {\"a\": 1, \"b\": \"}]\"}}\n```"}) {
    EXPECT_THAT(Read(text), ElementsAre(kPlusCall)) << text;
  }
}

TEST(ToolCallsTest, ReadsNamesBeforeArguments) {
  for (const char* text :
       {R"(plus[ARGS]{"a": 1, "b": "}]"})", R"(plus{"a": 1, "b": "}]"})",
        R"(plus[CALL_ID]abcdefghi[ARGS]{"a": 1, "b": "}]"})",
        R"(<｜tool▁call▁begin｜>plus<｜tool▁sep｜>{"a": 1, "b": "}]"}<｜tool▁call▁end｜>)",
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>plus\n```json\n{\"a\": 1, \"b\": \"}]\"}\n```"
        "<｜tool▁call▁end｜>"}) {
    EXPECT_THAT(Read(text), ElementsAre(kPlusCall)) << text;
  }
}

TEST(ToolCallsTest, ReadsSeveralCalls) {
  const ToolCall one{"one", "{}"}, two{"two", R"({"x":[1,{"y":null}]})"};
  for (const char* text :
       {R"([{"name": "one"}, {"name": "two", "arguments": {"x": [1, {"y": null}]}}])",
        R"({"name": "one", "parameters": {}}; {"name": "two", "parameters": {"x": [1, {"y": null}]}})",
        R"(one[ARGS]{}[TOOL_CALLS]two[ARGS]{"x": [1, {"y": null}]})",
        "<｜tool▁call▁begin｜>one<｜tool▁sep｜>{}<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>two<｜tool▁sep｜>"
        "{\"x\": [1, {\"y\": null}]}<｜tool▁call▁end｜>"}) {
    EXPECT_THAT(Read(text), ElementsAre(one, two)) << text;
  }
}

TEST(ToolCallsTest, AnythingElseIsNoCall) {
  for (const char* text : {"",
                           "  ",
                           "[]",
                           "{}",
                           "null",
                           "plus",
                           "plus(1)",
                           R"({"name": 3})",
                           R"({"name": ""})",
                           R"({"name": "a")",
                           R"({"name": "a", "arguments": [1]})",
                           R"({"name": "a", "arguments": "x"})",
                           R"({"name": "a"} and more)",
                           R"([{"name": "a"}, 3])",
                           R"(two words{"a": 1})",
                           R"({"arguments": {}})",
                           "{\"name\": \"a\xff\"}",
                           "]",
                           "\"",
                           "print(1){}",
                           "```json\n```"}) {
    EXPECT_EQ(ReadToolCalls(text), std::nullopt) << text;
  }
  EXPECT_EQ(ReadToolCalls(std::string(100'000, '[')), std::nullopt);
}

const Json kFunctions = Json::parse(R"([
  {"type": "function", "function": {"name": "plus", "parameters": {"type": "object", "properties": {"a": {}}}}},
  {"name": "now"}, {"type": "function"}])");

TEST(ToolCallsTest, NamesAreThoseOfFunctions) {
  EXPECT_THAT(ToolNames(kFunctions), ElementsAre("plus", "now"));
  EXPECT_TRUE(ToolNames(Json()).empty());
}

TEST(ToolCallsTest, SchemaIsOfTheToolThatIsNamedOrOfAny) {
  const Json plus = ToolCallSchema(kFunctions, "plus").value();
  EXPECT_EQ(plus["properties"]["name"]["const"], "plus");
  EXPECT_EQ(plus["properties"]["arguments"]["properties"].size(), 1u);
  EXPECT_EQ(ToolCallSchema(kFunctions, "now").value()["properties"]["arguments"],
            Json::parse(R"({"type": "object", "properties": {}, "additionalProperties": false})"));
  EXPECT_EQ(ToolCallSchema(kFunctions, "*").value()["anyOf"].size(), 2u);
}

TEST(ToolCallsTest, ToolsThatAreNotThereCannotBeRequired) {
  EXPECT_THAT(std::string(ToolCallSchema(kFunctions, "minus\n").status().message()),
              HasSubstr("there is no tool called \"minus"));
  EXPECT_THAT(std::string(ToolCallSchema(Json(), "*").status().message()),
              HasSubstr("there are no tools to call"));
}

TEST(ToolCallSchemaTest, ReferencesOfParametersMoveWithThem) {
  const Json tools = Json::parse(R"([
    {"type": "function", "function": {"name": "a", "parameters": {"$defs": {"P": {"type": "integer"}}, "properties": {"p": {"$ref": "#/$defs/P"}}}}},
    {"type": "function", "function": {"name": "b", "parameters": {"properties": {"q": {"$ref": "#"}}}}}])");
  EXPECT_EQ(ToolCallSchema(tools, "a").value()["properties"]["arguments"]["properties"]["p"]["$ref"],
            "#/properties/arguments/$defs/P");
  EXPECT_EQ(
      ToolCallSchema(tools, "*").value()["anyOf"][1]["properties"]["arguments"]["properties"]["q"]["$ref"],
      "#/anyOf/1/properties/arguments");
}

}  // namespace
}  // namespace hearth
