// Generation.Chat over gRPC, in process.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"
#include "tests/support/sanitizers.h"

namespace hearth {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

// The first letters of roles before contents, and what else the template was given.
constexpr char kTemplate[] =
    "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}{{ 'T' if tools }}{{ more }}"
    "{{ '>' if add_generation_prompt }}";

std::shared_ptr<FakeModel> ModelWith(const std::string& chat_template) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate(chat_template);
  return model;
}

TEST(ChatTest, TheTemplatesTextIsContinued) {
  Served served(ModelWith(kTemplate));
  const Outcome outcome = Chat(*served.generation, Saying("hi"));  // "uhi>"
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.started.prompt_tokens(), 4u);
  EXPECT_THAT(outcome.tokens, ElementsAre('d', 'e', 'f', 'g'));
  EXPECT_EQ(outcome.text, "defg");
  EXPECT_EQ(outcome.finished.reason(), v1::FINISH_REASON_LENGTH);
}

TEST(ChatTest, ToolsVariablesAndThePromptReachTheTemplate) {
  Served served(ModelWith(kTemplate));
  v1::ChatRequest request = Saying("hi");
  request.set_tools(R"([{"type": "function", "function": {"name": "f"}}])");
  request.set_variables(R"({"more": "..."})");
  request.set_add_generation_prompt(false);
  EXPECT_EQ(Chat(*served.generation, request).started.prompt_tokens(), 7u);  // "uhiT..."
}

TEST(ChatTest, OptionsAreThoseOfGenerate) {
  Served served(ModelWith(kTemplate));
  v1::ChatRequest request = Saying("hi", 100);
  request.add_stop("gh");
  request.set_logprobs(0);
  const Outcome outcome = Chat(*served.generation, request);
  EXPECT_EQ(outcome.text, "def");
  EXPECT_EQ(outcome.finished.stop(), "gh");
  request.set_max_tokens(5000);
  EXPECT_EQ(Chat(*served.generation, request).status.error_code(), StatusCode::OUT_OF_RANGE);
}

TEST(ChatTest, AModelWithoutTemplateStillContinuesTexts) {
  Served served;
  const Outcome outcome = Chat(*served.generation, Saying("hi"));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("the model's file has no chat template"));
  EXPECT_EQ(Generate(*served.generation, TextRequest("xy", 4)).text, "cdef");
}

TEST(ChatTest, ABrokenTemplateIsNamedAndTextsAreStillContinued) {
  Served served(ModelWith("{% for %}"));
  const Outcome outcome = Chat(*served.generation, Saying("hi"));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("chat template 'default' cannot be read: line 1"));
  EXPECT_EQ(Generate(*served.generation, TextRequest("xy", 4)).text, "cdef");
}

TEST(ChatTest, WhatTheTemplateRefusesIsInvalid) {
  Served served(ModelWith("{{ raise_exception('roles must alternate') }}"));
  const Outcome outcome = Chat(*served.generation, Saying("hi"));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("the template says: roles must alternate"));
}

TEST(ChatTest, ATemplateThatNeverEndsHoldsNobodyUp) {
  // Most steps are those of comparing long strings, which takes no time under sanitizers either.
  Served served(
      ModelWith("{% set s = 'x' * 500000 %}{% set t = s ~ 'y' %}{% for i in range(100000) %}"
                "{% if s == t[:-1] %}{% endif %}{% endfor %}"));
  const auto endless = Start(*served.generation, Saying("hi"));
  EXPECT_EQ(Generate(*served.generation, TextRequest("xy", 4)).text, "cdef");
  const Outcome outcome = ReadAll(*endless);
  EXPECT_EQ(outcome.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("steps"));
}

TEST(ChatTest, AnUnknownModelIsNamed) {
  Served served(ModelWith(kTemplate));
  v1::ChatRequest request = Saying("hi");
  request.set_model("other");
  EXPECT_EQ(Chat(*served.generation, request).status.error_code(), StatusCode::NOT_FOUND);
}

TEST(ChatTest, CancelledConversationsLeaveTheDaemonFree) {
  Served served(ModelWith(kTemplate));
  for (int round = 0; round < 10; ++round) {
    std::vector<std::unique_ptr<Call>> calls;
    for (int i = 0; i < 20; ++i) calls.push_back(Start(*served.generation, Saying("hi", 900)));
    for (const auto& call : calls) call->context.TryCancel();
    for (const auto& call : calls) {
      v1::GenerateResponse event;
      while (call->reader->Read(&event)) {
      }
      const StatusCode code = call->reader->Finish().error_code();
      EXPECT_TRUE(code == StatusCode::CANCELLED || code == StatusCode::OK) << code;
    }
  }
  EXPECT_EQ(Chat(*served.generation, Saying("hi")).text, "defg");
}

TEST(ChatTest, MoreConversationsThanTheQueueHoldsAreAnsweredOrRefused) {
  // Each takes the reading threads a while; what they do not come to is refused at once.
#if HEARTH_SANITIZED
  constexpr int kLoops = 3000;
#else
  constexpr int kLoops = 60000;
#endif
  Served served(ModelWith(absl::StrCat("{% for i in range(", kLoops, ") %}{% endfor %}x")));
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(Start(*served.generation, Saying("hi", 1)));
  int answered = 0;
  for (const auto& call : calls) {
    const Outcome outcome = ReadAll(*call);
    answered += outcome.status.ok() ? 1 : 0;
    if (outcome.status.ok()) continue;
    EXPECT_EQ(outcome.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(outcome.status.error_message(), HasSubstr("try again later"));
  }
  EXPECT_GE(answered, 64);
}

// ---- Answers that are taken apart.

// Answers the prompt "uhi>" with this text.
std::shared_ptr<FakeModel> ModelThatSays(const std::string& text) {
  std::vector<TokenId> script = Bytes("???" + text);
  script.push_back(ByteTokenizer::kEos);
  auto model = std::make_shared<FakeModel>(std::move(script));
  model->SetChatTemplate(
      "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}{{ '>' if add_generation_prompt }}");
  return model;
}

v1::ChatRequest Parsed(bool with_tools) {
  v1::ChatRequest request = Saying("hi", 200);
  request.set_parsed(true);
  if (with_tools) {
    request.set_tools(R"([{"type": "function", "function": {"name": "now", "parameters":
        {"type": "object", "properties": {}, "additionalProperties": false}}}])");
  }
  return request;
}

TEST(ChatTest, CallsOfToolsAreTakenOutOfTheText) {
  Served served(ModelThatSays("See.\n<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": 1}}</tool_call>"));
  const Outcome outcome = Chat(*served.generation, Parsed(true));
  EXPECT_EQ(outcome.text, "See.");
  ASSERT_EQ(outcome.calls.size(), 1u);
  EXPECT_EQ(outcome.calls[0].name(), "now");
  EXPECT_EQ(outcome.calls[0].arguments(), R"({"a":1})");
  EXPECT_EQ(outcome.calls[0].id().size(), 9u);
}

TEST(ChatTest, ReasoningIsTakenOutOfTheText) {
  Served served(ModelThatSays("<think>So.</think>\n\nYes."));
  const Outcome outcome = Chat(*served.generation, Parsed(false));
  EXPECT_EQ(outcome.reasoning, "So.");
  EXPECT_EQ(outcome.text, "Yes.");
}

TEST(ChatTest, WithoutParsingAllOfItIsText) {
  const std::string text = "<think>So.</think><tool_call>{\"name\": \"now\"}</tool_call>";
  Served served(ModelThatSays(text));
  v1::ChatRequest request = Parsed(true);
  request.set_parsed(false);
  EXPECT_EQ(Chat(*served.generation, request).text, text);
}

TEST(ChatTest, RequiredToolIsCalledWhateverTheModelWouldSay) {
  Served served(ModelThatSays("I will not."));
  v1::ChatRequest request = Parsed(true);
  request.set_required_tool("now");
  const Outcome outcome = Chat(*served.generation, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.text, "");
  ASSERT_EQ(outcome.calls.size(), 1u);
  EXPECT_EQ(outcome.calls[0].name(), "now");
  EXPECT_EQ(outcome.calls[0].arguments(), "{}");
}

TEST(ChatTest, RequiredToolThatIsNotThereIsRefused) {
  Served served(ModelThatSays("x"));
  v1::ChatRequest request = Parsed(true);
  request.set_required_tool("then");
  EXPECT_THAT(Chat(*served.generation, request).status.error_message(), HasSubstr("no tool called \"then\""));
  request.set_required_tool("*");
  request.set_json_schema("{}");
  EXPECT_THAT(Chat(*served.generation, request).status.error_message(), HasSubstr("required_tool"));
}

}  // namespace
}  // namespace hearth
