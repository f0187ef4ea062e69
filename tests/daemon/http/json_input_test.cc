#include "daemon/http/json_input.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// The message of an INVALID_ARGUMENT; "" for anything else.
std::string ParseRefusal(const std::string& text) {
  const auto parsed = ParseJsonObject(text);
  return absl::IsInvalidArgument(parsed.status()) ? std::string(parsed.status().message()) : "";
}

std::string Nested(int depth) {
  return absl::StrCat(R"({"a":)", std::string(static_cast<size_t>(depth - 1), '['),
                      std::string(static_cast<size_t>(depth - 1), ']'), "}");
}

TEST(ParseJsonObjectTest, GivesWhatIsWritten) {
  const auto parsed = ParseJsonObject(R"({"a":[1,2.5,null,true,"\u00e9"],"b":{"a":{}}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)["a"][4], "é");
  EXPECT_TRUE((*parsed)["b"]["a"].is_object());
}

TEST(ParseJsonObjectTest, SaysWhereTextIsNoJson) {
  EXPECT_THAT(ParseRefusal(R"({"a":})"), HasSubstr("the body is not JSON: parse error at line 1, column 6"));
  EXPECT_THAT(ParseRefusal(""), HasSubstr("the body is not JSON"));
  EXPECT_THAT(ParseRefusal(R"({"a":1} {"b":2})"), HasSubstr("the body is not JSON"));
  EXPECT_THAT(ParseRefusal(R"({"a":1)"), HasSubstr("the body is not JSON"));
}

TEST(ParseJsonObjectTest, RefusesNumbersThatAreNone) {
  for (const char* number : {"NaN", "Infinity", "-", "01", "1e999", "0x10", "+1"}) {
    EXPECT_THAT(ParseRefusal(absl::StrCat(R"({"a":)", number, "}")), HasSubstr("the body is not JSON"))
        << number;
  }
}

TEST(ParseJsonObjectTest, RefusesTextThatIsNoUtf8) {
  EXPECT_THAT(ParseRefusal("{\"a\":\"\xff\"}"), HasSubstr("the body is not JSON"));
  EXPECT_THAT(ParseRefusal("{\"a\":\"\xed\xa0\x80\"}"), HasSubstr("the body is not JSON"));
  EXPECT_THAT(ParseRefusal(R"({"a":"\ud800"})"), HasSubstr("the body is not JSON"));
}

TEST(ParseJsonObjectTest, RefusesAKeyThatComesTwiceInAnObject) {
  EXPECT_THAT(ParseRefusal(R"({"a":1,"b":2,"a":3})"), HasSubstr("has the key \"a\" twice"));
  EXPECT_THAT(ParseRefusal(R"({"x":[{"b":1,"b":1}]})"), HasSubstr("has the key \"b\" twice"));
  EXPECT_TRUE(ParseJsonObject(R"({"a":{"a":1},"b":[{"a":1},{"a":2}],"c":{"a":{"a":1}}})").ok());
}

TEST(ParseJsonObjectTest, RefusesDeepNesting) {
  EXPECT_TRUE(ParseJsonObject(Nested(kMaxJsonDepth)).ok());
  EXPECT_THAT(ParseRefusal(Nested(kMaxJsonDepth + 1)), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(ParseRefusal(Nested(100000)), HasSubstr("nested deeper than 64"));
}

TEST(ParseJsonObjectTest, RefusesWhatIsNoObject) {
  EXPECT_THAT(ParseRefusal("[1]"), HasSubstr("must be a JSON object, not an array"));
  EXPECT_THAT(ParseRefusal("null"), HasSubstr("must be a JSON object, not null"));
  EXPECT_THAT(ParseRefusal("12"), HasSubstr("must be a JSON object, not the number 12"));
}

TEST(ParseJsonObjectTest, QuotesHostileTextPrintably) {
  const std::string message = ParseRefusal("{\"a\x1b[2J\":1,\"a\x1b[2J\":1}");
  EXPECT_NE(message, "");
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

TEST(JsonFieldsTest, GivesFieldsByTheirType) {
  const json object = json::parse(R"({"b":true,"n":1.5,"w":7,"t":"x","o":{},"none":null})");
  const JsonFields fields(object);
  EXPECT_EQ(*fields.Bool("b"), true);
  EXPECT_EQ(*fields.Number("n"), 1.5f);
  EXPECT_EQ(*fields.Number("w"), 7.0f);
  EXPECT_EQ(*fields.Whole("w", 0, 7), 7);
  EXPECT_EQ(*fields.Text("t"), "x");
  EXPECT_NE(*fields.Object("o"), nullptr);
}

TEST(JsonFieldsTest, NullCountsAsAbsent) {
  const json object = json::parse(R"({"none":null})");
  const JsonFields fields(object);
  for (const char* name : {"none", "missing"}) {
    EXPECT_EQ(*fields.Bool(name), std::nullopt);
    EXPECT_EQ(*fields.Number(name), std::nullopt);
    EXPECT_EQ(*fields.Whole(name, 1, 2), std::nullopt);
    EXPECT_EQ(*fields.Text(name), std::nullopt);
    EXPECT_EQ(*fields.Object(name), nullptr);
  }
}

TEST(ParseFieldInOrderTest, KeepsTheOrderOfKeysOfOneField) {
  const auto field = ParseFieldInOrder(R"({"x":{"f":1},"f":{"z":[{"b":1,"a":2}],"y":3},"g":{"z":1}})", "f");
  ASSERT_TRUE(field.ok()) << field.status();
  EXPECT_EQ(field->dump(), R"({"z":[{"b":1,"a":2}],"y":3})");
  EXPECT_TRUE(ParseFieldInOrder(R"({"x":{"f":1}})", "f")->is_null());
}

TEST(ParseFieldInOrderTest, RefusesFieldsWithTooManyKeys) {
  std::string keys;
  for (int i = 0; i < 10'001; ++i) keys += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
  EXPECT_EQ(ParamOf(ParseFieldInOrder("{\"f\":{" + keys + "}}", "f").status()), "f");
  EXPECT_EQ(*ParseFieldInOrder("{\"g\":{" + keys + "},\"f\":1}", "f"), 1);
}

TEST(JsonFieldsTest, NamesTheFieldOfAnotherType) {
  const json object = json::parse(R"({"a":"1"})");
  const absl::Status status = JsonFields(object).Number("a").status();
  EXPECT_EQ(status.message(), "a must be a number, not a text");
  EXPECT_EQ(ParamOf(status), "a");
  EXPECT_EQ(JsonFields(object).Bool("a").status().message(), "a must be true or false, not a text");
  EXPECT_EQ(JsonFields(object).Object("a").status().message(), "a must be an object, not a text");
}

TEST(JsonFieldsTest, RefusesNumbersBeyondTheirRange) {
  const json object = json::parse(R"({"a":5,"half":0.5,"huge":1e300,"above":18446744073709551615})");
  const JsonFields fields(object);
  EXPECT_EQ(fields.Whole("a", 6, 9).status().message(), "a is 5; 6 to 9 are allowed");
  EXPECT_EQ(fields.Whole("a", 1, 4).status().message(), "a is 5; 1 to 4 are allowed");
  EXPECT_THAT(fields.Whole("half", 0, 9).status().message(), HasSubstr("a whole number, not the number 0.5"));
  EXPECT_THAT(fields.Number("huge").status().message(), HasSubstr("a number of ordinary size"));
  EXPECT_FALSE(fields.Whole("above", 0, std::numeric_limits<int64_t>::max()).ok());
}

}  // namespace
}  // namespace hearth
