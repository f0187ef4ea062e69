// Generation over gRPC, in process.
#include <atomic>
#include <latch>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "daemon/serving/services.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

DecoderOptions Slots(uint32_t slots) {
  DecoderOptions options = FakeModel::SmallOptions();
  options.sequences = slots;
  return options;
}

// A model whose steps wait for the gate.
std::shared_ptr<FakeModel> GatedModel(Gate& gate, uint32_t slots) {
  auto model = std::make_shared<FakeModel>(Bytes("abcdefghij"), Slots(slots));
  model->decoder().set_before_step([&gate](absl::Span<const BatchRow>) {
    gate.Pass();
    return absl::OkStatus();
  });
  return model;
}

// A model that loses its plan with its first step: streams start and do not end by themselves.
std::shared_ptr<FakeModel> StallingModel() {
  auto model = std::make_shared<FakeModel>();
  model->decoder().set_before_step([raw = model.get()](absl::Span<const BatchRow>) {
    raw->SetReady(absl::UnavailableError("no plan"));
    return absl::OkStatus();
  });
  return model;
}

TEST(GenerateTest, StreamsStartedDeltasAndFinished) {
  Served served;
  auto request = TextRequest("xy", 4);  // BOS, x, y
  request.mutable_sampling()->set_seed(42);
  const Outcome outcome = Generate(*served.generation, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.started.model(), "fake");
  EXPECT_EQ(outcome.started.digest(), "sha256:00ff");
  EXPECT_EQ(outcome.started.seed(), 42u);
  EXPECT_EQ(outcome.started.prompt_tokens(), 3u);
  EXPECT_FALSE(outcome.started.request_id().empty());
  EXPECT_EQ(outcome.text, "cdef");
  EXPECT_THAT(outcome.tokens, ElementsAre('c', 'd', 'e', 'f'));
  EXPECT_EQ(outcome.finished.reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(outcome.finished.usage().prompt_tokens(), 3u);
  EXPECT_EQ(outcome.finished.usage().generated_tokens(), 4u);
  EXPECT_GE(outcome.finished.timings().prompt_ms(), 0);
}

v1::GenerateRequest GrammarRequest(const std::string& grammar) {
  v1::GenerateRequest request = TextRequest("xy", 200);
  request.set_grammar(grammar);
  return request;
}

TEST(ConstrainedGenerateTest, TextFollowsTheGrammarAndEndsWithIt) {
  Served served;
  const Outcome outcome = Generate(*served.generation, GrammarRequest(R"(root ::= "say " [a-z]{2})"));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.text, "say gh");  // where it is free the model decides
  EXPECT_EQ(outcome.tokens.size(), 6u);
  EXPECT_EQ(outcome.finished.reason(), v1::FINISH_REASON_STOP_TOKEN);
}

TEST(ConstrainedGenerateTest, TextFitsTheJsonSchema) {
  Served served;
  v1::GenerateRequest request = TextRequest("xy", 200);
  request.set_json_schema(
      R"({"type":"object","properties":{"ok":{"type":"boolean"},"n":{"const":7}},"required":["ok","n"]})");
  for (const uint64_t seed : {1, 2, 3}) {
    request.mutable_sampling()->set_temperature(1);
    request.mutable_sampling()->set_seed(seed);
    const Outcome outcome = Generate(*served.generation, request);
    const auto json = nlohmann::json::parse(outcome.text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(json.is_object()) << outcome.text << outcome.status.error_message();
    EXPECT_TRUE(json["ok"].is_boolean());
    EXPECT_EQ(json["n"], 7);
    EXPECT_EQ(Generate(*served.generation, request).text, outcome.text);
  }
}

TEST(ConstrainedGenerateTest, EndTokensWaitUntilTheTextIsComplete) {
  Served served(std::make_shared<FakeModel>(std::vector<TokenId>{ByteTokenizer::kEos}));
  EXPECT_EQ(Generate(*served.generation, GrammarRequest(R"(root ::= "ab" "c"*)")).text, "ab");
}

TEST(ConstrainedGenerateTest, OthersAreFreeBesideIt) {
  Served served;
  const auto constrained = Start(*served.generation, GrammarRequest(R"(root ::= "say"+ "!")"));
  const auto free = Start(*served.generation, TextRequest("xy", 4));
  EXPECT_EQ(ReadAll(*free).text, "cdef");
  EXPECT_THAT(ReadAll(*constrained).text, testing::StartsWith("say"));
}

TEST(ConstrainedGenerateTest, AStepThatIsRepeatedChangesNothing) {
  auto model = std::make_shared<FakeModel>();
  std::atomic<int> steps = 0;
  model->decoder().set_before_step([&](absl::Span<const BatchRow>) {
    return ++steps % 3 == 0 ? absl::UnavailableError("a host was lost") : absl::OkStatus();
  });
  Served served(model);
  EXPECT_EQ(Generate(*served.generation, GrammarRequest(R"(root ::= "say " [a-z]{2})")).text, "say gh");
}

TEST(ConstrainedGenerateTest, LogprobsAreThoseOfTheFreeModel) {
  Served served;
  v1::GenerateRequest request = GrammarRequest(R"(root ::= "x")");
  request.set_logprobs(1);
  const auto call = Start(*served.generation, request);
  std::vector<v1::TokenLogprobs> logprobs;
  for (v1::GenerateResponse event; call->reader->Read(&event);) {
    logprobs.insert(logprobs.end(), event.delta().logprobs().begin(), event.delta().logprobs().end());
  }
  ASSERT_EQ(logprobs.size(), 1u);
  EXPECT_EQ(logprobs[0].chosen().text(), "x");
  EXPECT_EQ(logprobs[0].top(0).text(), "c");
  EXPECT_LT(logprobs[0].chosen().logprob(), logprobs[0].top(0).logprob());
}

TEST(ConstrainedGenerateTest, GrammarsAndSchemasThatCannotBeUsedAreRefusedInOneLine) {
  Served served;
  const Outcome grammar = Generate(*served.generation, GrammarRequest("root ::= \"a\"\n  [z"));
  EXPECT_EQ(grammar.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(grammar.status.error_message(),
            "the grammar cannot be used: line 2, column 3: `[` stands where the name of a rule should stand");
  v1::GenerateRequest request = TextRequest("x", 4);
  request.set_json_schema(R"({"type":"object","properties":{"a":{"not":{}}}})");
  EXPECT_EQ(Generate(*served.generation, request).status.error_message(),
            "the JSON schema at #/properties/a: \"not\" is not supported");
  request.set_json_schema("{");
  EXPECT_EQ(Generate(*served.generation, request).status.error_message(),
            "the JSON schema is not JSON in UTF-8");
}

TEST(ConstrainedGenerateTest, ABiasAgainstAllThatFitsIsAnErrorOfTheRequestAlone) {
  Served served;
  v1::GenerateRequest request = GrammarRequest(R"(root ::= "ab")");
  v1::LogitBias* const bias = request.mutable_sampling()->add_logit_bias();
  bias->set_token('b');
  bias->set_bias(-std::numeric_limits<float>::infinity());
  const Outcome outcome = Generate(*served.generation, request);
  EXPECT_EQ(outcome.status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(outcome.status.error_message(),
              HasSubstr("logit_bias forbids every token that fits the grammar"));
  EXPECT_EQ(outcome.text, "a");
  EXPECT_EQ(Generate(*served.generation, TextRequest("xy", 4)).text, "cdef");
}

TEST(GenerateTest, TokenIdsAreTakenAsTheyAre) {
  Served served;
  v1::GenerateRequest request = TextRequest("", 2);
  request.mutable_tokens()->add_ids('x');
  const Outcome outcome = Generate(*served.generation, request);
  EXPECT_EQ(outcome.started.prompt_tokens(), 1u);
  EXPECT_EQ(outcome.text, "ab");
}

TEST(GenerateTest, WithoutMaxTokensTheContextIsFilled) {
  Served served;
  auto request = TextRequest("xy", 1);
  request.clear_max_tokens();
  const Outcome outcome = Generate(*served.generation, request);
  EXPECT_EQ(outcome.started.max_tokens(), 997u);
  EXPECT_EQ(outcome.tokens.size(), 997u);
  EXPECT_EQ(outcome.finished.reason(), v1::FINISH_REASON_LENGTH);
}

TEST(GenerateTest, RandomSeedIsReportedAndGivesTheSameTextAgain) {
  Served served;
  auto request = TextRequest("x", 50);
  request.mutable_sampling()->set_temperature(100);  // nearly even
  request.mutable_sampling()->set_top_k(0);
  request.mutable_sampling()->set_top_p(1);
  request.mutable_sampling()->set_min_p(0);
  request.set_ignore_eos(true);
  const Outcome first = Generate(*served.generation, request);
  request.mutable_sampling()->set_seed(first.started.seed());
  const Outcome second = Generate(*served.generation, request);
  EXPECT_EQ(first.tokens, second.tokens);
  request.mutable_sampling()->set_seed(first.started.seed() + 1);
  EXPECT_NE(Generate(*served.generation, request).tokens, first.tokens);
}

TEST(GenerateTest, StopStringIsNamed) {
  Served served;
  auto request = TextRequest("x", 100);
  request.add_stop("efg");
  const Outcome outcome = Generate(*served.generation, request);
  EXPECT_EQ(outcome.text, "bcd");
  EXPECT_EQ(outcome.finished.reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(outcome.finished.stop(), "efg");
}

struct BadRequest {
  const char* name;
  std::function<void(v1::GenerateRequest&)> spoil;
  StatusCode code;
  const char* message;
};

class BadRequestTest : public testing::TestWithParam<BadRequest> {};

TEST_P(BadRequestTest, IsRefusedWithAMessage) {
  Served served;
  auto request = TextRequest("x", 4);
  GetParam().spoil(request);
  const Outcome outcome = Generate(*served.generation, request);
  EXPECT_EQ(outcome.status.error_code(), GetParam().code);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr(GetParam().message));
  EXPECT_EQ(outcome.text, "");
}

INSTANTIATE_TEST_SUITE_P(
    GenerateTest, BadRequestTest,
    testing::Values(
        BadRequest{"NoPrompt", [](auto& r) { r.clear_prompt(); }, StatusCode::INVALID_ARGUMENT, "no prompt"},
        BadRequest{"NoTokens", [](auto& r) { r.mutable_tokens(); }, StatusCode::INVALID_ARGUMENT, "empty"},
        BadRequest{"TokenTooLarge", [](auto& r) { r.mutable_tokens()->add_ids(258); },
                   StatusCode::INVALID_ARGUMENT, "258 at position 0"},
        BadRequest{"TokenNegative", [](auto& r) { r.mutable_tokens()->add_ids(-1); },
                   StatusCode::INVALID_ARGUMENT, "outside the vocabulary of 0 to 257"},
        BadRequest{"MaxTokensZero", [](auto& r) { r.set_max_tokens(0); }, StatusCode::INVALID_ARGUMENT,
                   "at least 1"},
        BadRequest{"EmptyStop", [](auto& r) { r.add_stop(""); }, StatusCode::INVALID_ARGUMENT, "stop string"},
        BadRequest{"LongStop", [](auto& r) { r.add_stop(std::string(257, 's')); },
                   StatusCode::INVALID_ARGUMENT, "257 bytes"},
        BadRequest{"ManyStops",
                   [](auto& r) {
                     for (int i = 0; i < 17; ++i) r.add_stop("s");
                   },
                   StatusCode::INVALID_ARGUMENT, "17 stop strings"},
        BadRequest{"ManyLogprobs", [](auto& r) { r.set_logprobs(21); }, StatusCode::INVALID_ARGUMENT,
                   "logprobs"},
        BadRequest{"NegativeTemperature", [](auto& r) { r.mutable_sampling()->set_temperature(-1); },
                   StatusCode::INVALID_ARGUMENT, "temperature"},
        BadRequest{"NanTopP",
                   [](auto& r) { r.mutable_sampling()->set_top_p(std::numeric_limits<float>::quiet_NaN()); },
                   StatusCode::INVALID_ARGUMENT, "top_p"},
        BadRequest{"UnknownModel", [](auto& r) { r.set_model("other"); }, StatusCode::NOT_FOUND, "'other'"},
        BadRequest{"TooMuch", [](auto& r) { r.set_max_tokens(999); }, StatusCode::OUT_OF_RANGE,
                   "2 tokens leave room for 998"},
        BadRequest{"MuchTooMuch", [](auto& r) { r.set_max_tokens(0xFFFFFFFF); }, StatusCode::OUT_OF_RANGE,
                   "4294967295"},
        BadRequest{"PromptFillsContext", [](auto& r) { r.set_text(std::string(999, 'x')); },
                   StatusCode::OUT_OF_RANGE, "1000 tokens"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(GenerateTest, FullQueueIsRefused) {
  Gate gate;
  SchedulerOptions options;
  options.queue = 1;
  Served served(GatedModel(gate, 1), options);
  const auto running = Start(*served.generation, TextRequest("x", 2));
  gate.AwaitArrival();
  // Of four more requests one finds room in the queue.
  std::latch three_refused(3);
  std::atomic<int> finished = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      const Outcome outcome = Generate(*served.generation, TextRequest("x", 2));
      finished += outcome.status.ok();
      if (outcome.status.error_code() == StatusCode::RESOURCE_EXHAUSTED) three_refused.count_down();
    });
  }
  three_refused.wait();
  gate.Open();
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(finished, 1);
  EXPECT_TRUE(ReadAll(*running).status.ok());
}

TEST(GenerateTest, CancelledStreamGivesItsSlotToTheNext) {
  Served served(std::make_shared<FakeModel>(Bytes("abcdefghij"), Slots(1)));
  auto endless = TextRequest("x", 998);
  const auto first = Start(*served.generation, endless);
  v1::GenerateResponse event;
  ASSERT_TRUE(first->reader->Read(&event));
  first->context.TryCancel();
  EXPECT_EQ(Generate(*served.generation, TextRequest("x", 3)).text, "bcd");
  while (first->reader->Read(&event)) {
  }
  first->reader->Finish();
}

TEST(GenerateTest, StreamThatEndsByItsDeadlineFreesItsSlot) {
  Gate gate;
  Served served(GatedModel(gate, 1));
  auto call = std::make_unique<Call>();
  call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  call->reader = served.generation->Generate(&call->context, TextRequest("x", 500));
  v1::GenerateResponse event;
  while (call->reader->Read(&event)) {
  }
  EXPECT_EQ(call->reader->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  gate.Open();
  EXPECT_EQ(Generate(*served.generation, TextRequest("x", 3)).text, "bcd");
}

// Over a connection that takes little of what nobody reads, so that it soon stays with the daemon.
std::unique_ptr<v1::Generation::Stub> NarrowStub(const Served& served) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4096);
  return v1::Generation::NewStub(
      grpc::CreateCustomChannel(served.server->address(), grpc::InsecureChannelCredentials(), arguments));
}

class SlowReaderTest : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Slots, SlowReaderTest, testing::Values(1, 2));

// With one slot it gives that away and gets it back.
TEST_P(SlowReaderTest, HoldsNobodyUpAndGetsEverythingInBoundedPieces) {
  DecoderOptions options = Slots(GetParam());
  options.context_length = 300000;
  Served served(std::make_shared<FakeModel>(Bytes("abcdefghij"), options));
  constexpr uint32_t kTokens = 40'000;
  const auto stub = NarrowStub(served);
  const auto slow = Start(*stub, TextRequest("x", kTokens));
  v1::GenerateResponse event;
  ASSERT_TRUE(slow->reader->Read(&event));  // Started; and then nothing is read for a while
  EXPECT_EQ(Generate(*served.generation, TextRequest("x", 5000)).tokens.size(), 5000u);
  size_t tokens = 0;
  while (slow->reader->Read(&event)) {
    EXPECT_LE(static_cast<size_t>(event.delta().tokens_size()), kMaxUnreadTokens);
    for (int32_t token : event.delta().tokens()) ASSERT_EQ(token, "abcdefghij"[(1 + tokens++) % 10]);
  }
  EXPECT_TRUE(slow->reader->Finish().ok());
  EXPECT_EQ(tokens, kTokens);
}

// For how long: see TwoBlockedSequencesBothGiveTheirSlotsWithinASecond.
TEST(GenerateTest, TwoClientsThatNeverReadHoldNobodyUp) {
  DecoderOptions options = Slots(2);
  options.context_length = 300000;
  Served served(std::make_shared<FakeModel>(Bytes("abcdefghij"), options));
  const auto stub = NarrowStub(served);
  std::vector<std::unique_ptr<Call>> silent;
  for (int i = 0; i < 2; ++i) silent.push_back(Start(*stub, TextRequest("x", 299000)));
  v1::GenerateResponse event;
  for (const auto& call : silent) ASSERT_TRUE(call->reader->Read(&event));  // Started: both slots are taken
  const Outcome outcome = Generate(*served.generation, TextRequest("x", 50));
  EXPECT_EQ(outcome.tokens.size(), 50u);
  for (const auto& call : silent) call->context.TryCancel();
}

// What would hold others up is read on threads of its own.
TEST(GenerateTest, LongTextsAreReadLikeShortOnes) {
  DecoderOptions options = Slots(2);
  options.context_length = 30000;
  Served served(std::make_shared<FakeModel>(Bytes("abcdefghij"), options));
  const std::string text(20001, 'x');
  const Outcome outcome = Generate(*served.generation, TextRequest(text, 3));
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.text, "bcd");

  v1::TokenizeRequest request;
  request.set_text(text);
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(served.generation->Tokenize(&context, request, &response).ok());
  EXPECT_EQ(response.tokens_size(), 20002);  // with BOS
}

TEST(GenerateTest, LongTextsAreRefusedLikeShortOnes) {
  Served served;
  const std::string text(20001, 'x');
  EXPECT_EQ(Generate(*served.generation, TextRequest(text, 3)).status.error_code(), StatusCode::OUT_OF_RANGE);
  v1::GenerateRequest request = TextRequest(text, 3);
  request.set_model("other");
  EXPECT_EQ(Generate(*served.generation, request).status.error_code(), StatusCode::NOT_FOUND);
}

TEST(GenerateTest, TwoHundredStreamsAtOnceFinish) {
  Served served;
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 200; ++i) calls.push_back(Start(*served.generation, TextRequest("x", 20)));
  for (const auto& call : calls) EXPECT_EQ(ReadAll(*call).text, "bcdefghijabcdefghija");
}

TEST(GenerateTest, FiveHundredCancelledStreamsLeaveTheDaemonFree) {
  Served served;
  for (int i = 0; i < 500; ++i) {
    const auto call = Start(*served.generation, TextRequest(std::string(i % 50, 'x'), 900));
    v1::GenerateResponse event;
    if (i % 2 == 0) call->reader->Read(&event);  // some in the queue, some running
    call->context.TryCancel();
    while (call->reader->Read(&event)) {
    }
    EXPECT_FALSE(call->reader->Finish().ok());
  }
  EXPECT_EQ(Generate(*served.generation, TextRequest("x", 5)).text, "bcdef");
}

TEST(GenerateTest, LostWorkerChangesNothingAboutTheStream) {
  auto model = std::make_shared<FakeModel>();
  model->decoder().set_before_step([lost = false](absl::Span<const BatchRow> rows) mutable {
    if (rows[0].position < 5 || std::exchange(lost, true)) return absl::OkStatus();
    return absl::UnavailableError("host b does not answer");
  });
  Served served(model);
  const Outcome outcome = Generate(*served.generation, TextRequest("x", 12));
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.text, "bcdefghijabc");
}

TEST(GenerateTest, ModelThatNoPlanFitsAnyMoreEndsTheStreamAndSaysWhatIsMissing) {
  SchedulerOptions options;
  options.replan_wait = absl::Milliseconds(1);
  Served served(StallingModel(), options);
  const Outcome outcome = Generate(*served.generation, TextRequest("x", 100));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("no plan"));
  EXPECT_EQ(outcome.text, "b");
}

TEST(GenerateTest, UnloadingTheModelEndsItsStreams) {
  Served served(StallingModel());
  const auto call = Start(*served.generation, TextRequest("x", 998));
  v1::GenerateResponse event;
  ASSERT_TRUE(call->reader->Read(&event));
  ASSERT_TRUE(served.models.Unload("fake").ok());
  while (call->reader->Read(&event)) {
  }
  const grpc::Status status = call->reader->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("'fake' was unloaded"));
  EXPECT_EQ(Generate(*served.generation, TextRequest("x", 1)).status.error_code(), StatusCode::NOT_FOUND);
}

TEST(GenerateTest, StoppingDaemonEndsStreamsWithUnavailable) {
  Served served(StallingModel());
  const auto call = Start(*served.generation, TextRequest("x", 998));
  v1::GenerateResponse event;
  ASSERT_TRUE(call->reader->Read(&event));
  served.server->Shutdown(absl::Seconds(5));
  while (call->reader->Read(&event)) {
  }
  const grpc::Status status = call->reader->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("the daemon is stopping"));
}

TEST(TokenizeTest, GivesIdsAndTheirTextBack) {
  Served served;
  v1::TokenizeRequest request;
  request.set_text("hé");
  v1::TokenizeResponse tokens;
  grpc::ClientContext first;
  ASSERT_TRUE(served.generation->Tokenize(&first, request, &tokens).ok());
  EXPECT_THAT(tokens.tokens(), ElementsAre(ByteTokenizer::kBos, 'h', 0xC3, 0xA9));
  v1::DetokenizeRequest back;
  *back.mutable_tokens() = tokens.tokens();
  v1::DetokenizeResponse text;
  grpc::ClientContext second;
  ASSERT_TRUE(served.generation->Detokenize(&second, back, &text).ok());
  EXPECT_EQ(text.text(), "hé");
}

TEST(TokenizeTest, SpecialTokensCanBeLeftOut) {
  Served served;
  v1::TokenizeRequest request;
  request.set_text("h");
  request.set_add_special(false);
  v1::TokenizeResponse tokens;
  grpc::ClientContext context;
  ASSERT_TRUE(served.generation->Tokenize(&context, request, &tokens).ok());
  EXPECT_THAT(tokens.tokens(), ElementsAre('h'));
}

TEST(TokenizeTest, BytesThatAreNoTextBecomeReplacementCharacters) {
  Served served;
  v1::DetokenizeRequest request;
  request.add_tokens(0xC3);
  v1::DetokenizeResponse text;
  grpc::ClientContext context;
  ASSERT_TRUE(served.generation->Detokenize(&context, request, &text).ok());
  EXPECT_EQ(text.text(), "\uFFFD");
}

TEST(TokenizeTest, UnknownIdIsRefused) {
  Served served;
  v1::DetokenizeRequest request;
  request.add_tokens(1000);
  v1::DetokenizeResponse text;
  grpc::ClientContext context;
  const grpc::Status status = served.generation->Detokenize(&context, request, &text);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("1000"));
}

}  // namespace
}  // namespace hearth
