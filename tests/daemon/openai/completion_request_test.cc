#include "daemon/openai/completion_request.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

CompletionRequest Read(const char* text) {
  auto request = ReadCompletionRequest(json::parse(text));
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? *std::move(request) : CompletionRequest();
}

absl::Status Refusal(const json& body) { return ReadCompletionRequest(body).status(); }

TEST(CompletionRequestTest, AbsentFieldsAreLeftToGrpc) {
  const CompletionRequest request =
      Read(R"({"prompt":"x","model":null,"temperature":null,"user":"someone"})");
  ASSERT_EQ(request.choices.size(), 1u);
  v1::GenerateRequest expected;
  expected.set_text("x");
  expected.set_max_tokens(16);
  expected.mutable_sampling();
  EXPECT_EQ(request.choices[0].DebugString(), expected.DebugString());
  EXPECT_FALSE(request.answer.stream);
}

TEST(CompletionRequestTest, EveryFieldArrives) {
  const CompletionRequest request =
      Read(R"({"prompt":"x","model":"m","max_tokens":5,"temperature":0.5,"top_p":0.25,
      "top_k":3,"min_p":0.125,"repetition_penalty":2,"presence_penalty":-1,"frequency_penalty":0.75,"seed":-1,
      "stop":["a","b"],"logprobs":2,"logit_bias":{"7":-100,"8":1.5},"ignore_eos":true,"stream":true,
      "stream_options":{"include_usage":true},"best_of":1,"suffix":""})");
  const v1::GenerateRequest& generate = request.choices.at(0);
  EXPECT_EQ(generate.model(), "m");
  EXPECT_EQ(generate.max_tokens(), 5u);
  EXPECT_EQ(generate.logprobs(), 2u);
  EXPECT_TRUE(generate.ignore_eos());
  EXPECT_THAT(generate.stop(), ElementsAre("a", "b"));
  const v1::Sampling& sampling = generate.sampling();
  EXPECT_EQ(sampling.temperature(), 0.5f);
  EXPECT_EQ(sampling.top_p(), 0.25f);
  EXPECT_EQ(sampling.top_k(), 3u);
  EXPECT_EQ(sampling.min_p(), 0.125f);
  EXPECT_EQ(sampling.repetition_penalty(), 2.0f);
  EXPECT_EQ(sampling.presence_penalty(), -1.0f);
  EXPECT_EQ(sampling.frequency_penalty(), 0.75f);
  EXPECT_EQ(sampling.seed(), std::numeric_limits<uint64_t>::max());
  ASSERT_EQ(sampling.logit_bias_size(), 2);
  EXPECT_EQ(sampling.logit_bias(0).token(), 7);
  EXPECT_EQ(sampling.logit_bias(0).bias(), -100.0f);
  EXPECT_TRUE(request.answer.stream);
  EXPECT_TRUE(request.answer.include_usage);
}

TEST(CompletionRequestTest, PromptsComeInFourShapes) {
  EXPECT_EQ(Read(R"({"prompt":"x"})").choices.at(0).text(), "x");
  EXPECT_EQ(Read(R"({"prompt":["x","y"]})").choices.at(1).text(), "y");
  EXPECT_THAT(Read(R"({"prompt":[1,2]})").choices.at(0).tokens().ids(), ElementsAre(1, 2));
  const CompletionRequest lists = Read(R"({"prompt":[[1,2],[3]]})");
  ASSERT_EQ(lists.choices.size(), 2u);
  EXPECT_THAT(lists.choices[1].tokens().ids(), ElementsAre(3));
}

TEST(CompletionRequestTest, PromptsOfOtherShapesAreNamed) {
  for (const char* prompt : {"7", "true", "{}", "[]", "[1,\"x\"]", "[\"x\",7]", "[[\"x\"]]", "[null]",
                             "[1.5]", "[-1]", "[99999999999]", "[[[1]]]"}) {
    const absl::Status status = Refusal(json::parse(absl::StrCat(R"({"prompt":)", prompt, "}")));
    EXPECT_EQ(ParamOf(status), "prompt") << prompt << ": " << status;
  }
  EXPECT_EQ(Refusal(json::object()).message(), "prompt is missing; give a text or token ids");
}

TEST(CompletionRequestTest, EachChoiceOfAPromptHasASeedOfItsOwn) {
  const CompletionRequest request = Read(R"({"prompt":["x","y"],"n":2,"seed":5})");
  ASSERT_EQ(request.choices.size(), 4u);
  EXPECT_EQ(request.choices[1].text(), "x");
  EXPECT_EQ(request.choices[1].sampling().seed(), 6u);
  EXPECT_EQ(request.choices[2].text(), "y");
  EXPECT_EQ(request.choices[2].sampling().seed(), 5u);
}

TEST(CompletionRequestTest, EchoIsForTexts) {
  EXPECT_THAT(Read(R"({"prompt":["x","y"],"echo":true})").echo, ElementsAre("x", "y"));
  EXPECT_EQ(ParamOf(Refusal({{"prompt", {1}}, {"echo", true}})), "echo");
  EXPECT_EQ(ParamOf(Refusal({{"prompt", "x"}, {"echo", true}, {"logprobs", 1}})), "echo");
}

TEST(CompletionRequestTest, WhatHearthDoesNotHaveIsRefusedInWords) {
  EXPECT_EQ(ParamOf(Refusal({{"prompt", "x"}, {"best_of", 2}})), "best_of");
  EXPECT_EQ(ParamOf(Refusal({{"prompt", "x"}, {"suffix", "end"}})), "suffix");
}

TEST(CompletionRequestTest, FieldsOfAnotherTypeAreNamed) {
  const json wrong = {{"model", 1},
                      {"max_tokens", "5"},
                      {"temperature", "hot"},
                      {"top_k", 1.5},
                      {"n", 0},
                      {"stream", "yes"},
                      {"stop", {1}},
                      {"logprobs", true},
                      {"logit_bias", {1, 2}},
                      {"seed", 0.5},
                      {"stream_options", 1},
                      {"echo", "no"}};
  for (const auto& [name, value] : wrong.items()) {
    const json body = {{"prompt", "x"}, {name, value}};
    EXPECT_EQ(ParamOf(Refusal(body)), name) << Refusal(body);
  }
}

TEST(CompletionRequestTest, BiasesAreNumbersByTokenId) {
  for (const char* bias :
       {R"({"x":1})", R"({"1":"x"})", R"({"1":null})", R"({"1":1e300})", R"({"99999999999":1})"}) {
    EXPECT_EQ(ParamOf(Refusal({{"prompt", "x"}, {"logit_bias", json::parse(bias)}})), "logit_bias") << bias;
  }
}

TEST(CompletionRequestTest, HowMuchOneRequestMayAskIsBounded) {
  EXPECT_EQ(ParamOf(Refusal({{"prompt", "x"}, {"n", kMaxChoices + 1}})), "n");
  EXPECT_EQ(ParamOf(Refusal({{"prompt", {"x", "y"}}, {"n", kMaxChoices}})), "n");
  EXPECT_EQ(ParamOf(Refusal({{"prompt", std::vector<std::string>(kMaxChoices + 1, "x")}})), "prompt");
  EXPECT_EQ(ParamOf(Refusal({{"prompt", std::string(1 << 20, 'x')}, {"n", 20}})), "n");
}

TEST(CompletionRequestTest, StreamOptionsNeedAStream) {
  EXPECT_EQ(ParamOf(Refusal({{"prompt", "x"}, {"stream_options", {{"include_usage", true}}}})),
            "stream_options");
}

}  // namespace
}  // namespace hearth
