// Requests that are gone on with, over gRPC in process.
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/stream_metadata.h"
#include "tests/daemon/serving/served.h"
#include "tests/daemon/state/temporary_store.h"

namespace hearth {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kId[] = "0123456789abcdef0123456789abcdef";

v1::GenerateRequest Named(uint32_t max_tokens, const std::string& text = "xy") {
  v1::GenerateRequest request = TextRequest(text, max_tokens);  // greedy: "cdefghijab..."
  request.set_request_id(kId);
  return request;
}

v1::ResumeRequest From(uint32_t offset, const std::string& id = kId) {
  v1::ResumeRequest request;
  request.set_request_id(id);
  request.set_offset(offset);
  return request;
}

v1::ResumeRequest Behind(const std::string& tokens) {
  v1::ResumeRequest request = From(static_cast<uint32_t>(tokens.size()));
  for (TokenId token : Bytes(tokens)) request.mutable_generated()->add_ids(token);
  return request;
}

Outcome Resume(Served& served, const v1::ResumeRequest& request) {
  return ReadAll(*Start(*served.generation, request));
}

// Reads until there are so many tokens, then goes away without a word.
std::string BreakAfter(Call& call, size_t tokens) {
  std::string text;
  v1::GenerateResponse event;
  while (text.size() < tokens && call.reader->Read(&event)) text += event.delta().text();
  call.context.TryCancel();
  while (call.reader->Read(&event)) {
  }
  call.reader->Finish();
  return text;
}

// A model of which each step waits until the test lets it.
class Steps {
 public:
  std::shared_ptr<FakeModel> Model() {
    auto model = std::make_shared<FakeModel>();
    model->decoder().set_before_step([this](absl::Span<const BatchRow>) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return allowed_ > 0; });
      --allowed_;
      return absl::OkStatus();
    });
    return model;
  }
  void Allow(int steps) {
    std::lock_guard lock(mutex_);
    allowed_ += steps;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int allowed_ = 0;
};

TEST(ResumeTest, GoesOnBehindAnyOffsetOfARequestThatHasEnded) {
  Served served;
  const Outcome whole = Generate(*served.generation, Named(8));
  EXPECT_EQ(whole.text, "cdefghij");
  for (uint32_t offset = 0; offset <= 8; ++offset) {
    const Outcome rest = Resume(served, From(offset));
    ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
    EXPECT_EQ(rest.text, whole.text.substr(offset));
    EXPECT_EQ(rest.started.seed(), whole.started.seed());
    EXPECT_EQ(rest.finished.usage().generated_tokens(), 8u);
    EXPECT_EQ(rest.finished.reason(), v1::FINISH_REASON_LENGTH);
  }
}

TEST(ResumeTest, DeltasTellTheirOffset) {
  Served served;
  const auto call = Start(*served.generation, Named(5));
  v1::GenerateResponse event;
  uint32_t tokens = 0;
  while (call->reader->Read(&event)) {
    if (!event.has_delta()) continue;
    EXPECT_EQ(event.delta().offset(), tokens);
    tokens += static_cast<uint32_t>(event.delta().tokens_size());
  }
  EXPECT_EQ(tokens, 5u);
}

TEST(ResumeTest, GoesOnAfterItsConnectionBroke) {
  Steps steps;
  Served served(steps.Model());
  const auto call = Start(*served.generation, Named(9));
  steps.Allow(3);
  EXPECT_EQ(BreakAfter(*call, 3), "cde");
  steps.Allow(1000);
  const Outcome rest = Resume(served, From(3));
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_EQ(rest.text, "fghija");
}

TEST(ResumeTest, OneWhoLeadsNoMoreGivesNoTokenAndTheStreamMayGoOn) {
  Steps steps;
  std::atomic<bool> leads = true;
  Served served(steps.Model(), {}, nullptr, "127.0.0.1:0", [&] { return leads.load(); });
  const auto call = Start(*served.generation, Named(9));
  steps.Allow(3);
  v1::GenerateResponse event;
  std::string text;
  while (text.size() < 3 && call->reader->Read(&event)) text += event.delta().text();
  leads = false;
  steps.Allow(1000);
  EXPECT_FALSE(call->reader->Read(&event));
  const grpc::Status status = call->reader->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("leads the cluster no more"));
  EXPECT_EQ(call->context.GetServerTrailingMetadata().count(kFinalKey), 0u);
  leads = true;
  const Outcome rest = Resume(served, From(3));
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_EQ(text + rest.text, "cdefghija");
}

TEST(ResumeTest, TheSameRequestSentAgainTakesOverFromItsBeginning) {
  Steps steps;
  Served served(steps.Model());
  const auto first = Start(*served.generation, Named(6));
  steps.Allow(2);
  v1::GenerateResponse event;
  while (first->reader->Read(&event) && !event.has_delta()) {
  }
  const auto second = Start(*served.generation, Named(6));
  while (first->reader->Read(&event)) {
  }
  EXPECT_EQ(first->reader->Finish().error_code(), StatusCode::ABORTED);
  steps.Allow(1000);
  EXPECT_EQ(ReadAll(*second).text, "cdefgh");
}

TEST(ResumeTest, OfTwoWhoResumeTheLastOneGetsAll) {
  Steps steps;
  Served served(steps.Model());
  const auto call = Start(*served.generation, Named(6));
  steps.Allow(1);
  BreakAfter(*call, 1);
  const auto one = Start(*served.generation, From(1));
  one->reader->WaitForInitialMetadata();  // it is accepted
  v1::GenerateResponse event;
  const auto two = Start(*served.generation, From(1));
  while (one->reader->Read(&event)) {
  }
  EXPECT_EQ(one->reader->Finish().error_code(), StatusCode::ABORTED);
  steps.Allow(1000);
  EXPECT_EQ(ReadAll(*two).text, "defgh");
}

TEST(ResumeTest, AnotherRequestOfTheSameIdIsRefused) {
  Served served;
  Generate(*served.generation, Named(4));
  EXPECT_EQ(Generate(*served.generation, Named(5)).status.error_code(), StatusCode::ALREADY_EXISTS);
  v1::ChatRequest chat = Saying("x");
  chat.set_request_id(kId);
  EXPECT_EQ(Chat(*served.generation, chat).status.error_code(), StatusCode::ALREADY_EXISTS);
  v1::GenerateRequest seed = Named(4);
  seed.mutable_sampling()->set_seed(12345);
  EXPECT_EQ(Generate(*served.generation, seed).status.error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Resume(served, From(0)).text, "cdef");
}

TEST(ResumeTest, IdsThatAreNoneAndThoseNobodyKnowsAreRefused) {
  Served served;
  for (const std::string& id :
       {std::string(), std::string("short"), std::string(200, 'a'), std::string("0123456789abcde ")}) {
    EXPECT_EQ(Resume(served, From(0, id)).status.error_code(), StatusCode::INVALID_ARGUMENT) << id;
    v1::GenerateRequest request = Named(4);
    request.set_request_id(id);
    const StatusCode expected = id.empty() ? StatusCode::OK : StatusCode::INVALID_ARGUMENT;
    EXPECT_EQ(Generate(*served.generation, request).status.error_code(), expected) << id;
  }
  const Outcome unknown = Resume(served, From(0, "fedcba9876543210"));
  EXPECT_EQ(unknown.status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(unknown.status.error_message(), HasSubstr("send it again"));
}

TEST(ResumeTest, OffsetsBeyondTheEndAreRefused) {
  Served served;
  v1::GenerateRequest request = Named(100);
  request.add_stop("fg");
  EXPECT_EQ(Generate(*served.generation, request).text, "cde");
  EXPECT_EQ(Resume(served, From(5)).text, "");
  const Outcome behind = Resume(served, From(6));
  EXPECT_EQ(behind.status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_THAT(behind.status.error_message(), HasSubstr("ended after 5 tokens"));
  EXPECT_EQ(Resume(served, From(101)).status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Resume(served, From(~0u)).status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Resume(served, From(0)).text, "cde");  // nothing of it did harm
}

TEST(ResumeTest, TokensThatCannotBeTheRequestsAreRefusedAndDoNoHarm) {
  Served served;
  Generate(*served.generation, Named(4));
  v1::ResumeRequest count = Behind("cd"), id = Behind("cd");
  count.set_offset(3);
  id.mutable_generated()->set_ids(1, 258);
  EXPECT_EQ(Resume(served, count).status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Resume(served, id).status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Resume(served, Behind("cdefg")).status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Resume(served, From(0)).text, "cdef");
}

TEST(ResumeTest, TokensThatTheClientHasCount) {
  Served served;
  Generate(*served.generation, Named(6));
  const Outcome rest = Resume(served, Behind("cXY"));  // as hosts that round differently would have chosen
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_EQ(rest.text, "fgh");
  EXPECT_EQ(Resume(served, From(0)).text, "cXYfgh");
}

TEST(ResumeTest, TokensThatAreSentAlongNeedNoId) {
  Served served;
  v1::GenerateRequest request = TextRequest("xy", 6);
  for (TokenId token : Bytes("cd")) request.mutable_generated()->add_ids(token);
  const Outcome rest = Generate(*served.generation, request);
  EXPECT_EQ(rest.text, "efgh");
  EXPECT_THAT(rest.tokens, ElementsAre('e', 'f', 'g', 'h'));
  EXPECT_EQ(rest.finished.usage().generated_tokens(), 6u);
}

TEST(ResumeTest, GrammarStopsAndHeldBackTextGoOn) {
  Served served;
  v1::GenerateRequest request = Named(100);
  request.set_grammar(R"(root ::= "say " [a-z]{8})");
  request.add_stop("jz");  // holds the j back
  const std::string whole = Generate(*served.generation, request).text;
  EXPECT_EQ(whole, "say ghijabcd");
  for (uint32_t offset = 0; offset <= whole.size(); ++offset) {
    const Outcome rest = Resume(served, From(offset));
    ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
    const size_t sent = offset == 8 ? 7 : offset;  // "say ghij": the j comes with the next token
    EXPECT_EQ(rest.text, whole.substr(sent)) << offset;
  }
  EXPECT_EQ(Resume(served, Behind("say X")).status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Resume(served, From(0)).text, whole);
}

TEST(ResumeTest, LogProbabilitiesAreComputedAgain) {
  Served served;
  v1::GenerateRequest request = Named(5);
  request.set_logprobs(2);
  Generate(*served.generation, request);
  const auto call = Start(*served.generation, From(2));
  v1::GenerateResponse event;
  int logprobs = 0;
  while (call->reader->Read(&event)) logprobs += event.delta().logprobs_size();
  EXPECT_TRUE(call->reader->Finish().ok());
  EXPECT_EQ(logprobs, 3);
}

TEST(ResumeTest, CancelForgetsTheRequestAndEndsItsStream) {
  Steps steps;
  Served served(steps.Model());
  const auto call = Start(*served.generation, Named(6));
  steps.Allow(1);
  v1::GenerateResponse event;
  while (call->reader->Read(&event) && !event.has_delta()) {
  }
  v1::CancelRequest cancel;
  cancel.set_request_id(kId);
  v1::CancelResponse response;
  for (int i = 0; i < 2; ++i) {  // nobody is told whether there was one
    grpc::ClientContext context;
    EXPECT_TRUE(served.generation->Cancel(&context, cancel, &response).ok());
  }
  while (call->reader->Read(&event)) {
  }
  EXPECT_EQ(call->reader->Finish().error_code(), StatusCode::CANCELLED);
  steps.Allow(1000);
  EXPECT_EQ(Resume(served, From(1)).status.error_code(), StatusCode::NOT_FOUND);
  cancel.set_request_id("?");
  grpc::ClientContext context;
  EXPECT_EQ(served.generation->Cancel(&context, cancel, &response).error_code(),
            StatusCode::INVALID_ARGUMENT);
}

TEST(ResumeTest, TheNextServerGoesOnWithWhatTheStoreHas) {
  const TemporaryStore folder;
  v1::GenerateRequest request = Named(40);
  request.mutable_sampling()->set_temperature(5);
  std::string whole;
  uint64_t seed = 0;
  {
    const auto store = folder.Open();
    Served served(std::make_shared<FakeModel>(), {}, store.get());
    const Outcome outcome = Generate(*served.generation, request);
    whole = outcome.text;
    seed = outcome.started.seed();
  }
  const auto store = folder.Open();
  Served served(std::make_shared<FakeModel>(), {}, store.get());
  const Outcome rest = Resume(served, From(20));
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_EQ(rest.started.seed(), seed);
  EXPECT_EQ(rest.tokens.size(), 20u);
  EXPECT_EQ(Resume(served, From(0)).text, whole);
}

TEST(ResumeTest, WhatTheStoreLacksIsComputedAgainWithTheSameSeed) {
  Served served;
  v1::GenerateRequest request = TextRequest("xy", 30);
  request.mutable_sampling()->set_temperature(5);
  request.mutable_sampling()->set_seed(3);
  const Outcome whole = Generate(*served.generation, request);
  request.set_request_id(kId);
  const auto call = Start(*served.generation, request);
  BreakAfter(*call, 1);
  Served other;  // knows the request, and no token of it
  const auto begun = Start(*other.generation, request);
  v1::GenerateResponse event;
  begun->reader->Read(&event);
  const Outcome rest = Resume(other, From(20));
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_EQ(rest.tokens, std::vector<int32_t>(whole.tokens.begin() + 20, whole.tokens.end()));
  while (begun->reader->Read(&event)) {
  }
  begun->reader->Finish();
}

TEST(ResumeTest, AnotherFileOfTheModelIsNotGoneOnWith) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  RequestChanges changes;
  KeptRequest& kept = changes.put.emplace_back();
  kept.name.id = kId;
  v1::GenerateRequest content = TextRequest("xy", 4);
  content.mutable_sampling()->clear_seed();
  kept.content = content.SerializeAsString();
  kept.digest = "sha256:another";
  kept.seed = 1;
  kept.arrived = kept.used = absl::Now();
  ASSERT_TRUE(store->Write(changes).ok());
  Served served(std::make_shared<FakeModel>(), {}, store.get());
  const Outcome rest = Resume(served, From(0));
  EXPECT_EQ(rest.status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(rest.status.error_message(), HasSubstr("another file of this model"));
}

TEST(ResumeTest, WhatSomebodyHasWrittenIntoTheStoreIsRefusedInWords) {
  const TemporaryStore folder;
  const auto store = folder.Open();
  RequestChanges changes;
  KeptRequest& garbage = changes.put.emplace_back();
  garbage.name.id = kId;
  garbage.content = "\xff\xff no message";
  garbage.digest = "sha256:00ff";
  garbage.seed = 1;
  garbage.used = absl::Now();
  KeptRequest tokens = garbage;
  tokens.name.id = "fedcba9876543210";
  tokens.content = TextRequest("xy", 4).SerializeAsString();
  tokens.tokens = {-5, 1 << 30};
  changes.put.push_back(tokens);
  ASSERT_TRUE(store->Write(changes).ok());
  Served served(std::make_shared<FakeModel>(), {}, store.get());
  EXPECT_EQ(Resume(served, From(0)).status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Resume(served, From(0, tokens.name.id)).status.error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST(ResumeTest, AChatGoesOnWithItsReasoningAndCallsOnce) {
  auto model = std::make_shared<FakeModel>(
      Bytes("<think>hm</think>Yes.<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>~"));
  model->SetChatTemplate("{{ 'x' }}");
  Served served(model);
  v1::ChatRequest request = Saying("x", 60);
  request.set_request_id(kId);
  request.set_parsed(true);
  request.set_tools(R"([{"type": "function", "function": {"name": "f"}}])");
  const Outcome whole = Chat(*served.generation, request);
  ASSERT_TRUE(whole.status.ok()) << whole.status.error_message();
  for (uint32_t offset = 0; offset <= whole.tokens.size(); ++offset) {
    const Outcome rest = Resume(served, From(offset));
    ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
    EXPECT_TRUE(whole.text.ends_with(rest.text)) << offset;
    EXPECT_TRUE(whole.reasoning.ends_with(rest.reasoning)) << offset;
    EXPECT_EQ(rest.finished.tool_calls(), whole.calls.size());
    EXPECT_EQ(rest.tokens.size(), whole.tokens.size() - offset);
  }
  EXPECT_EQ(Resume(served, From(static_cast<uint32_t>(whole.tokens.size()))).text, "");
}

TEST(ResumeTest, ARequestThatWasRefusedIsNotKept) {
  Served served;
  EXPECT_EQ(Generate(*served.generation, Named(5000)).status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Resume(served, From(0)).status.error_code(), StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace hearth
