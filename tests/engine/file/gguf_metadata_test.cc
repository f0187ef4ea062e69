#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/file/gguf.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNull;

template <class T>
void ExpectWrongKind(const absl::StatusOr<T>& result, const std::string& key) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(key));
}

TEST(GgufMetadataTest, AbsentKeysHaveNoValueAndAreNoError) {
  const GgufMetadata metadata;
  EXPECT_FALSE(metadata.Has("k"));
  EXPECT_THAT(metadata.Find("k"), IsNull());
  EXPECT_THAT(metadata.FindStrings("k"), IsNull());
  EXPECT_EQ(*metadata.GetUint("k"), std::nullopt);
  EXPECT_EQ(*metadata.GetFloat("k"), std::nullopt);
  EXPECT_EQ(*metadata.GetString("k"), std::nullopt);
  EXPECT_EQ(*metadata.GetInts("k"), std::nullopt);
}

TEST(GgufMetadataTest, IntegersConvertWhereTheyFit) {
  GgufMetadata metadata;
  metadata.Set("five", int64_t{5});
  metadata.Set("minus", int64_t{-5});
  metadata.Set("huge", ~uint64_t{0});
  EXPECT_EQ(metadata.GetUint("five")->value(), 5u);
  EXPECT_EQ(metadata.GetInt("minus")->value(), -5);
  EXPECT_EQ(metadata.GetFloat("minus")->value(), -5.0f);
  ExpectWrongKind(metadata.GetUint("minus"), "minus");
  ExpectWrongKind(metadata.GetInt("huge"), "huge");
}

TEST(GgufMetadataTest, FloatsAreNoIntegers) {
  GgufMetadata metadata;
  metadata.Set("pi", 3.14);
  metadata.Set("huge", 1e300);
  EXPECT_FLOAT_EQ(metadata.GetFloat("pi")->value(), 3.14f);
  ExpectWrongKind(metadata.GetUint("pi"), "pi");
  ExpectWrongKind(metadata.GetInt("pi"), "pi");
  ExpectWrongKind(metadata.GetFloat("huge"), "huge");
}

TEST(GgufMetadataTest, ZeroAndOneAreBools) {
  GgufMetadata metadata;
  metadata.Set("yes", true);
  metadata.Set("zero", uint64_t{0});
  metadata.Set("one", int64_t{1});
  metadata.Set("two", uint64_t{2});
  EXPECT_TRUE(metadata.GetBool("yes")->value());
  EXPECT_FALSE(metadata.GetBool("zero")->value());
  EXPECT_TRUE(metadata.GetBool("one")->value());
  EXPECT_EQ(metadata.GetUint("yes")->value(), 1u);
  ExpectWrongKind(metadata.GetBool("two"), "two");
}

TEST(GgufMetadataTest, StringsAreOnlyStrings) {
  GgufMetadata metadata;
  metadata.Set("text", std::string("12"));
  metadata.Set("number", uint64_t{12});
  EXPECT_EQ(metadata.GetString("text")->value(), "12");
  ExpectWrongKind(metadata.GetUint("text"), "text");
  ExpectWrongKind(metadata.GetUints("text"), "text");
  ExpectWrongKind(metadata.GetString("number"), "number");
}

TEST(GgufMetadataTest, ScalarsAreArraysOfOne) {
  GgufMetadata metadata;
  metadata.Set("n", uint64_t{7});
  EXPECT_THAT(metadata.GetUints("n")->value(), ElementsAre(7));
  EXPECT_THAT(metadata.GetFloats("n")->value(), ElementsAre(7.0f));
}

TEST(GgufMetadataTest, ArraysConvertElementByElement) {
  GgufMetadata metadata;
  metadata.Set("bools", std::vector<bool>{true, false});
  metadata.Set("ints", std::vector<int64_t>{3, 4});
  metadata.Set("mixed", std::vector<int64_t>{3, -4});
  metadata.Set("doubles", std::vector<double>{0.5, 2});
  EXPECT_THAT(metadata.GetUints("bools")->value(), ElementsAre(1, 0));
  EXPECT_THAT(metadata.GetUints("ints")->value(), ElementsAre(3, 4));
  EXPECT_THAT(metadata.GetInts("mixed")->value(), ElementsAre(3, -4));
  EXPECT_THAT(metadata.GetFloats("doubles")->value(), ElementsAre(0.5f, 2.0f));
  ExpectWrongKind(metadata.GetUints("mixed"), "mixed");
  ExpectWrongKind(metadata.GetInts("doubles"), "doubles");
  ExpectWrongKind(metadata.GetUint("ints"), "ints");
}

TEST(GgufMetadataTest, StringArraysAreBorrowed) {
  GgufMetadata metadata;
  metadata.Set("tokens", std::vector<std::string>{"a", "b"});
  ASSERT_NE(metadata.FindStrings("tokens"), nullptr);
  EXPECT_THAT(*metadata.FindStrings("tokens"), ElementsAre("a", "b"));
  metadata.Set("number", uint64_t{1});
  EXPECT_THAT(metadata.FindStrings("number"), IsNull());
  ExpectWrongKind(metadata.GetInts("tokens"), "tokens");
}

TEST(GgufMetadataTest, SetReplacesAndKeepsThePlace) {
  GgufMetadata metadata;
  metadata.Set("a", uint64_t{1});
  metadata.Set("b", uint64_t{2});
  metadata.Set("a", uint64_t{3});
  EXPECT_THAT(metadata.keys(), ElementsAre("a", "b"));
  EXPECT_EQ(metadata.GetUint("a")->value(), 3u);
}

}  // namespace
}  // namespace hearth
