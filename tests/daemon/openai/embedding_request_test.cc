#include "daemon/openai/embedding_request.h"

#include <string>

#include "daemon/http/json_input.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

EmbeddingApiRequest Read(const json& body) {
  const absl::StatusOr<EmbeddingApiRequest> request = ReadEmbeddingRequest(body);
  EXPECT_TRUE(request.ok()) << request.status();
  return request.value_or(EmbeddingApiRequest());
}

void ExpectRefused(const json& body, const std::string& param, const std::string& words) {
  const absl::Status status = ReadEmbeddingRequest(body).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << body;
  EXPECT_EQ(ParamOf(status), param);
  EXPECT_THAT(status.message(), HasSubstr(words));
}

TEST(EmbeddingRequestTest, InputIsATextOrTokensOrManyOfThem) {
  EXPECT_EQ(Read({{"input", "a"}}).request.inputs(0).text(), "a");
  const v1::EmbedRequest texts = Read({{"input", {"a", "b"}}}).request;
  ASSERT_EQ(texts.inputs_size(), 2);
  EXPECT_EQ(texts.inputs(1).text(), "b");
  const v1::EmbedRequest ids = Read({{"input", {1, 2}}}).request;
  ASSERT_EQ(ids.inputs_size(), 1);
  EXPECT_THAT(ids.inputs(0).tokens().ids(), ElementsAre(1, 2));
  const v1::EmbedRequest lists = Read({{"input", json::parse("[[1, 2], [3]]")}}).request;
  ASSERT_EQ(lists.inputs_size(), 2);
  EXPECT_THAT(lists.inputs(1).tokens().ids(), ElementsAre(3));
}

TEST(EmbeddingRequestTest, FieldsHaveTheirMeaning) {
  const EmbeddingApiRequest request = Read({{"model", "m"},
                                            {"input", "a"},
                                            {"dimensions", 7},
                                            {"encoding_format", "base64"},
                                            {"pooling", "last"},
                                            {"user", "u"}});
  EXPECT_EQ(request.request.model(), "m");
  EXPECT_EQ(request.request.dimensions(), 7u);
  EXPECT_EQ(request.request.pooling(), v1::POOLING_LAST);
  EXPECT_TRUE(request.base64);
  EXPECT_FALSE(Read({{"input", "a"}}).base64);
  EXPECT_FALSE(Read({{"input", "a"}}).request.has_dimensions());
}

TEST(EmbeddingRequestTest, WrongFieldsAreNamed) {
  ExpectRefused(json::object(), "input", "is missing");
  ExpectRefused({{"input", json::array()}}, "input", "empty list");
  ExpectRefused({{"input", 7}}, "input", "not the number 7");
  ExpectRefused({{"input", json::parse("[[1.5]]")}}, "input", "token ids only");
  ExpectRefused({{"input", json::parse("[\"a\", null]")}}, "input", "not null");
  ExpectRefused({{"input", "a"}, {"dimensions", 0}}, "dimensions", "is 0");
  ExpectRefused({{"input", "a"}, {"encoding_format", "int8"}}, "encoding_format", "float or base64");
  ExpectRefused({{"input", "a"}, {"pooling", "max"}}, "pooling", "mean, cls or last");
  ExpectRefused({{"input", "a"}, {"model", 3}}, "model", "a text");
}

v1::EmbedResponse TwoVectors() {
  v1::EmbedResponse response;
  response.set_model("m");
  for (const float value : {1.0f, -2.5f}) {
    v1::Embedding* embedding = response.add_embeddings();
    embedding->add_values(value);
    embedding->add_values(0.5f);
    embedding->set_tokens(3);
  }
  return response;
}

TEST(EmbeddingAnswerTest, IsAListInTheOrderOfTheInputs) {
  const json answer = json::parse(EmbeddingAnswer(TwoVectors(), false));
  EXPECT_EQ(answer["object"], "list");
  EXPECT_EQ(answer["model"], "m");
  EXPECT_EQ(answer["data"][1],
            json::parse(R"({"object": "embedding", "index": 1, "embedding": [-2.5, 0.5]})"));
  EXPECT_EQ(answer["usage"], json::parse(R"({"prompt_tokens": 6, "total_tokens": 6})"));
}

TEST(EmbeddingAnswerTest, Base64HasTheBytesOfFloats) {
  const json answer = json::parse(EmbeddingAnswer(TwoVectors(), true));
  EXPECT_EQ(answer["data"][0]["embedding"], "AACAPwAAAD8=");  // 00 00 80 3f, 00 00 00 3f
}

}  // namespace
}  // namespace hearth
