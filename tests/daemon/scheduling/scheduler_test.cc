#include "daemon/scheduling/scheduler.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/fakes.h"

namespace hearth {
namespace {

using testing::HasSubstr;

// Collects a stream's events; the test waits for them.
class Collector final : public GenerationSink {
 public:
  void Started() override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(started_);
    started_ = true;
    changed_.notify_all();
  }
  void Delta(GenerationDelta delta) override {
    std::lock_guard lock(mutex_);
    EXPECT_TRUE(started_);
    EXPECT_FALSE(ended());
    text_ += delta.text;
    tokens_.insert(tokens_.end(), delta.tokens.begin(), delta.tokens.end());
    logprobs_.insert(logprobs_.end(), delta.logprobs.begin(), delta.logprobs.end());
    deltas_.push_back(delta);
    changed_.notify_all();
  }
  void Finished(const GenerationSummary& summary) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended());
    summary_ = summary;
    changed_.notify_all();
  }
  void Failed(const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended());
    failure_ = status;
    changed_.notify_all();
  }
  bool Blocked() const override { return blocked_; }
  void set_blocked(bool blocked) { blocked_ = blocked; }

  void AwaitEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended(); });
  }
  void AwaitTokens(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_.size() >= count || ended(); });
  }

  bool started() {
    std::lock_guard lock(mutex_);
    return started_;
  }

  // To be read after AwaitEnd.
  const std::string& text() const { return text_; }
  const std::vector<TokenId>& tokens() const { return tokens_; }
  const std::vector<GenerationDelta::Logprobs>& logprobs() const { return logprobs_; }
  const std::vector<GenerationDelta>& deltas() const { return deltas_; }
  const std::optional<GenerationSummary>& summary() const { return summary_; }
  const absl::Status& failure() const { return failure_; }

 private:
  bool ended() const { return summary_.has_value() || !failure_.ok(); }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> blocked_ = false;
  bool started_ = false;
  std::string text_;
  std::vector<TokenId> tokens_;
  std::vector<GenerationDelta::Logprobs> logprobs_;
  std::vector<GenerationDelta> deltas_;
  std::optional<GenerationSummary> summary_;
  absl::Status failure_;
};

class SchedulerTest : public testing::Test {
 protected:
  GenerationRequest Request(RequestId id, std::string_view prompt = "x", uint32_t max_tokens = 5) {
    GenerationRequest request;
    request.id = id;
    request.prompt = Bytes(prompt);
    request.max_tokens = max_tokens;
    request.arrived = absl::Now();
    return request;
  }
  static Sampler Greedy() { return Sampling(0, 0); }
  static Sampler Sampling(float temperature, uint64_t seed) {
    SamplingOptions options;
    options.temperature = temperature;
    options.seed = seed;
    return *Sampler::Create(options, 258);
  }
  std::shared_ptr<Collector> Submit(Scheduler& scheduler, GenerationRequest request,
                                    Sampler sampler = Greedy()) {
    auto sink = std::make_shared<Collector>();
    const absl::Status status = scheduler.Submit(std::move(request), std::move(sampler), sink);
    EXPECT_TRUE(status.ok()) << status;
    return sink;
  }

  std::shared_ptr<FakeModel> model_ = std::make_shared<FakeModel>();
};

TEST_F(SchedulerTest, GoesOnBehindWhatAnEarlierRunGenerated) {
  Scheduler scheduler(model_, {});
  GenerationRequest request = Request(1, "x", 6);
  request.generated = Bytes("abc");
  request.cut = 2;
  const auto resumed = Submit(scheduler, request);
  resumed->AwaitEnd();
  EXPECT_EQ(resumed->text(), "abcdef");
  EXPECT_EQ(resumed->tokens(), Bytes("abcdef"));
  ASSERT_GE(resumed->deltas().size(), 3u);
  EXPECT_EQ(resumed->deltas()[0].tokens, Bytes("ab"));  // none reaches over the cut
  EXPECT_EQ(resumed->deltas()[1].offset, 2u);
  EXPECT_EQ(resumed->summary()->generated_tokens, 6u);
}

TEST_F(SchedulerTest, WhatWasGeneratedToItsEndEndsWithoutAStep) {
  Scheduler scheduler(model_, {});
  GenerationRequest whole = Request(1, "x", 3), stopped = Request(2, "x", 9);
  whole.generated = Bytes("bcd");
  stopped.generated = Bytes("bcd");
  stopped.stops = {"cd"};
  const auto at_length = Submit(scheduler, whole), at_stop = Submit(scheduler, stopped);
  at_length->AwaitEnd();
  at_stop->AwaitEnd();
  EXPECT_EQ(at_length->text(), "bcd");
  EXPECT_EQ(at_length->summary()->reason, EndReason::kLength);
  EXPECT_EQ(at_stop->text(), "b");
  EXPECT_EQ(at_stop->summary()->stop, "cd");
  EXPECT_TRUE(at_stop->deltas().back().last);
  EXPECT_EQ(model_->decoder().steps(), 0);
}

TEST_F(SchedulerTest, TextThatWasHeldBackComesWithTheLastTokenOfARepeatedGeneration) {
  Scheduler scheduler(model_, {});
  GenerationRequest request = Request(1, "x", 3);
  request.stops = {"de"};
  request.generated = Bytes("bcd");
  request.cut = 3;
  const auto repeated = Submit(scheduler, request);
  repeated->AwaitEnd();
  ASSERT_EQ(repeated->deltas().size(), 1u);  // who has three tokens has the text as well
  EXPECT_EQ(repeated->deltas()[0].text, "bcd");
}

TEST_F(SchedulerTest, TokensBehindTheEndAreRefused) {
  Scheduler scheduler(model_, {});
  for (const uint32_t max_tokens : {2u, 9u}) {
    GenerationRequest request = Request(1, "x", max_tokens);
    request.stops = {"bc"};
    request.generated = Bytes("bcd");
    const auto sink = std::make_shared<Collector>();
    const absl::Status status = scheduler.Submit(request, Greedy(), sink);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_FALSE(sink->started());
  }
}

TEST_F(SchedulerTest, LogitsThatAreNoNumbersEndTheirStreamAlone) {
  model_->decoder().set_damaged_position(7);
  Scheduler scheduler(model_, {});
  const auto damaged = Submit(scheduler, Request(1, "xyzxyz", 5));
  const auto whole = Submit(scheduler, Request(2, "xyz", 4));
  damaged->AwaitEnd();
  whole->AwaitEnd();
  EXPECT_TRUE(absl::IsDataLoss(damaged->failure())) << damaged->failure();
  EXPECT_EQ(damaged->text(), "fg");
  EXPECT_EQ(whole->text(), "cdef");
  const auto next = Submit(scheduler, Request(3, "x", 3));
  next->AwaitEnd();
  EXPECT_EQ(next->text(), "abc");
}

TEST_F(SchedulerTest, GeneratesUntilTheLengthIsReached) {
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "xyz", 5));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "cdefg");  // what follows positions 2 to 6
  ASSERT_TRUE(sink->summary());
  EXPECT_EQ(sink->summary()->reason, EndReason::kLength);
  EXPECT_EQ(sink->summary()->prompt_tokens, 3u);
  EXPECT_EQ(sink->summary()->generated_tokens, 5u);
}

TEST_F(SchedulerTest, StepsThatReadPromptsAreToldFromThoseThatGenerate) {
  Scheduler scheduler(model_, {});
  Submit(scheduler, Request(1, std::string(100, 'x'), 5))->AwaitEnd();
  Submit(scheduler, Request(2, "yz", 5))->AwaitEnd();
  EXPECT_THAT(model_->prompt_steps(), testing::ElementsAre(64, 36)) << "as many as a step has";
}

TEST_F(SchedulerTest, OneOfSixteenStepsThatGenerateIsRecorded) {
  SchedulerOptions none;
  none.draft_tokens = 0;
  Scheduler scheduler(model_, none);
  std::vector<Timeline*> current;  // of each step
  model_->decoder().set_before_step([&](absl::Span<const BatchRow>) {
    current.push_back(Timeline::Current());
    const Timeline::Span span(Timeline::Kind::kComputed, "cpu", [] { return "output"; });
    return absl::OkStatus();
  });
  EXPECT_FALSE(scheduler.recorded_step());
  Submit(scheduler, Request(1, "x", 40))->AwaitEnd();
  const auto step = scheduler.recorded_step();
  ASSERT_TRUE(step);
  EXPECT_EQ(step->rows, 1u);
  ASSERT_EQ(step->events.size(), 1u);
  EXPECT_LE(step->begin, step->events[0].begin);
  EXPECT_LE(step->events[0].end, step->end);
  EXPECT_EQ(current.size() - static_cast<size_t>(std::count(current.begin(), current.end(), nullptr)), 3u)
      << "the second, and each sixteenth from there on";
}

// A model whose tokens may be computed ahead. Its steps take a millisecond, however many rows they have.
class GuessingTest : public SchedulerTest {
 protected:
  GuessingTest() { LetGuess(); }
  void LetGuess() {
    model_->set_reuse({.rows_alike = true, .can_cut = true, .rows_independent = true});
    model_->decoder().set_before_step([](absl::Span<const BatchRow>) {
      const absl::Time end = absl::Now() + absl::Milliseconds(1);
      while (absl::Now() < end) continue;
      return absl::OkStatus();
    });
  }
};

TEST_F(GuessingTest, TextThatRepeatsItselfNeedsFewerStepsThanTokens) {
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "x", 200));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text().substr(0, 12), "abcdefghijab");
  EXPECT_EQ(sink->tokens().size(), 200u);
  EXPECT_LE(model_->decoder().steps(), 150);
  EXPECT_EQ(sink->summary()->accepted_draft_tokens, 200u - static_cast<unsigned>(model_->decoder().steps()));
  EXPECT_GE(sink->summary()->drafted_tokens, sink->summary()->accepted_draft_tokens);
  EXPECT_EQ(scheduler.usage().drafted.right, sink->summary()->accepted_draft_tokens);
}

TEST_F(GuessingTest, NoneIsGuessedWhereThatIsTurnedOff) {
  SchedulerOptions options;
  options.draft_tokens = 0;
  Scheduler scheduler(model_, options);
  const auto sink = Submit(scheduler, Request(1, "x", 50));
  sink->AwaitEnd();
  EXPECT_EQ(model_->decoder().steps(), 50);
  EXPECT_EQ(sink->summary()->drafted_tokens, 0u);
}

TEST_F(GuessingTest, StopStringAmongTokensComputedAheadEndsTheText) {
  Scheduler scheduler(model_, {});
  GenerationRequest request = Request(1, "abcdefghijabcdefghijabcdefghi", 500);
  request.stops = {"ja"};
  const auto stopped = Submit(scheduler, request);
  stopped->AwaitEnd();
  EXPECT_EQ(stopped->text(), "i");
  const auto next = Submit(scheduler, Request(2, "abcdefghijabcdefghijabcdefghij", 30));
  next->AwaitEnd();
  EXPECT_EQ(next->text(), "jabcdefghijabcdefghijabcdefghi");
}

TEST_F(GuessingTest, SampledTextIsThatOfItsSeed) {
  SchedulerOptions none;
  none.draft_tokens = 0;
  for (uint64_t seed = 1; seed < 6; ++seed) {
    Scheduler plain(model_, none), guessing(model_, {});
    const auto expected = Submit(plain, Request(1, "x", 60), Sampling(1.2F, seed));
    expected->AwaitEnd();
    plain.Stop(absl::CancelledError("done"));
    const auto sampled = Submit(guessing, Request(1, "x", 60), Sampling(1.2F, seed));
    sampled->AwaitEnd();
    EXPECT_EQ(sampled->tokens(), expected->tokens()) << "seed " << seed;
  }
}

// What no text of a few hundred tokens says twice.
std::vector<TokenId> NewText() {
  std::vector<TokenId> script;
  for (uint32_t i = 0; i < 997; ++i) script.push_back(static_cast<TokenId>(i * i * 7919 / 31 % 200));
  return script;
}

// A model that another one guesses for, whose steps take no time.
class DraftModelTest : public GuessingTest {
 protected:
  DraftModelTest() {
    model_ = std::make_shared<FakeModel>(NewText());
    LetGuess();
  }
  // Its text is what it is without guesses.
  std::shared_ptr<Collector> Generate(const std::string& prompt, uint32_t tokens) {
    Scheduler scheduler(model_, {});
    const auto sink = Submit(scheduler, Request(1, prompt, tokens));
    sink->AwaitEnd();
    const std::vector<TokenId> script = NewText();
    for (size_t i = 0; i < sink->tokens().size(); ++i) {
      EXPECT_EQ(sink->tokens()[i], script[(prompt.size() - 1 + i) % script.size()]) << i;
    }
    EXPECT_EQ(sink->tokens().size(), tokens);
    return sink;
  }
  void SetDraft(std::shared_ptr<FakeModel> draft) {
    draft_ = std::move(draft);
    model_->set_draft(draft_);
  }

  std::shared_ptr<FakeModel> draft_;
};

TEST_F(DraftModelTest, WhatTheOtherModelExpectsRightlyNeedsNoStepsOfItsOwn) {
  SetDraft(std::make_shared<FakeModel>(NewText()));
  const auto sink = Generate("x", 300);
  EXPECT_LE(model_->decoder().steps(), 200);
  EXPECT_GE(sink->summary()->accepted_draft_tokens, 100u);
}

TEST_F(DraftModelTest, WhatItExpectsWronglyChangesNothingAndItIsAskedSeldom) {
  SetDraft(std::make_shared<FakeModel>(std::vector<TokenId>{201, 202, 203}));
  const auto sink = Generate("x", 300);
  EXPECT_EQ(sink->summary()->accepted_draft_tokens, 0u);
  EXPECT_LE(sink->summary()->drafted_tokens, 100u);
}

TEST_F(DraftModelTest, LongPromptIsReadInPartsBeforeItGuesses) {
  SetDraft(std::make_shared<FakeModel>(NewText()));
  std::atomic<size_t> most = 0;
  draft_->decoder().set_before_step([&](absl::Span<const BatchRow> rows) {
    most = std::max<size_t>(most, rows.size());
    return absl::OkStatus();
  });
  const auto sink = Generate(std::string(400, 'x'), 300);
  EXPECT_GT(sink->summary()->accepted_draft_tokens, 0u);
  EXPECT_LT(most, 400u);
}

TEST_F(DraftModelTest, TextsBeyondItsContextAreNotGuessed) {
  DecoderOptions options = FakeModel::SmallOptions();
  options.context_length = 40;
  SetDraft(std::make_shared<FakeModel>(NewText(), options));
  const auto sink = Generate(std::string(60, 'x'), 50);
  EXPECT_EQ(draft_->decoder().steps(), 0);
  EXPECT_EQ(sink->summary()->drafted_tokens, 0u);
}

TEST_F(DraftModelTest, WithoutAPlanItGuessesNothingAndTheTextGoesOn) {
  SetDraft(std::make_shared<FakeModel>(NewText()));
  draft_->SetReady(absl::UnavailableError("no plan"));
  Generate("x", 50);
  EXPECT_EQ(draft_->decoder().steps(), 0);
}

TEST_F(DraftModelTest, LostDeviceOfItsIsReportedThereAndTheTextGoesOn) {
  SetDraft(std::make_shared<FakeModel>(NewText()));
  int steps = 0;
  draft_->decoder().set_before_step([&](absl::Span<const BatchRow>) {
    return ++steps == 7 ? absl::UnavailableError("host b is lost") : absl::OkStatus();
  });
  const auto sink = Generate("x", 300);
  EXPECT_TRUE(absl::IsUnavailable(draft_->reported()));
  EXPECT_TRUE(model_->reported().ok());
  EXPECT_GE(sink->summary()->accepted_draft_tokens, 100u);
}

TEST_F(DraftModelTest, StepThatFailsForGoodEndsItsGuessesAndTheTextGoesOn) {
  SetDraft(std::make_shared<FakeModel>(NewText()));
  draft_->decoder().set_before_step(
      [](absl::Span<const BatchRow>) { return absl::DataLossError("damaged"); });
  const auto sink = Generate("x", 100);
  EXPECT_EQ(draft_->decoder().steps(), 1);
  EXPECT_EQ(sink->summary()->drafted_tokens, 0u);
}

TEST_F(DraftModelTest, SeveralTextsAreGuessedTogether) {
  SetDraft(std::make_shared<FakeModel>(NewText()));
  Scheduler scheduler(model_, {});
  std::vector<std::shared_ptr<Collector>> sinks;
  for (RequestId id = 1; id <= 4; ++id)
    sinks.push_back(Submit(scheduler, Request(id, std::string(10 * id, 'x'), 200)));
  const std::vector<TokenId> script = NewText();
  for (size_t id = 1; id <= 4; ++id) {
    sinks[id - 1]->AwaitEnd();
    const std::vector<TokenId> tokens = sinks[id - 1]->tokens();
    ASSERT_EQ(tokens.size(), 200u);
    for (size_t i = 0; i < tokens.size(); ++i)
      ASSERT_EQ(tokens[i], script[10 * id - 1 + i]) << id << " " << i;
  }
  EXPECT_GT(scheduler.usage().drafted.right, 100u);
}

TEST_F(SchedulerTest, StopTokenEndsAndAddsNoText) {
  model_ = std::make_shared<FakeModel>(std::vector<TokenId>{'h', 'i', ByteTokenizer::kEos});
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "x", 100));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "hi");
  EXPECT_THAT(sink->tokens(), testing::ElementsAre('h', 'i', ByteTokenizer::kEos));
  EXPECT_EQ(sink->summary()->reason, EndReason::kStopToken);
}

TEST_F(SchedulerTest, IgnoredStopTokenGoesOn) {
  model_ = std::make_shared<FakeModel>(std::vector<TokenId>{'h', 'i', ByteTokenizer::kEos});
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 6);
  request.ignore_eos = true;
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "hihi");
  EXPECT_EQ(sink->summary()->reason, EndReason::kLength);
}

TEST_F(SchedulerTest, StopStringAcrossTokensIsReportedAndLeftOut) {
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 100);
  request.stops = {"zz", "efg"};
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "abcd");
  EXPECT_EQ(sink->summary()->reason, EndReason::kStopString);
  EXPECT_EQ(sink->summary()->stop, "efg");
}

TEST_F(SchedulerTest, HeldBackTextComesOutAtTheLengthLimit) {
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 3);
  request.stops = {"bcX"};
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "abc");
}

TEST_F(SchedulerTest, TextIsSentInWholeCharacters) {
  model_ = std::make_shared<FakeModel>(Bytes("世界"));
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "x", 5));  // cuts the second character
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "世\uFFFD");
}

TEST_F(SchedulerTest, LogprobsAreOfTheModelsDistribution) {
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 2);
  request.logprobs = 2;
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  ASSERT_EQ(sink->logprobs().size(), 2u);
  const auto& first = sink->logprobs()[0];
  EXPECT_EQ(first.chosen.token, 'a');
  // One logit of 10 among 257 of 0.
  EXPECT_NEAR(first.chosen.logprob, 10 - std::log(std::exp(10) + 257), 1e-4);
  ASSERT_EQ(first.top.size(), 2u);
  EXPECT_EQ(first.top[0].token, 'a');
}

TEST_F(SchedulerTest, TwoHundredConcurrentStreamsAllGetTheirOwnText) {
  Scheduler scheduler(model_, {});
  std::vector<std::shared_ptr<Collector>> sinks;
  for (RequestId id = 1; id <= 200; ++id) {
    sinks.push_back(Submit(scheduler, Request(id, std::string(1 + id % 7, 'x'), 10)));
  }
  for (RequestId id = 1; id <= 200; ++id) {
    sinks[id - 1]->AwaitEnd();
    const std::string twice = "abcdefghijabcdefghij";
    EXPECT_EQ(sinks[id - 1]->text(), twice.substr(id % 7, 10)) << id;
  }
}

TEST_F(SchedulerTest, FiveHundredCancelledRequestsFreeEverySlot) {
  Gate gate;
  model_->decoder().set_before_step([&](absl::Span<const BatchRow>) {
    gate.Pass();
    return absl::OkStatus();
  });
  SchedulerOptions options;
  options.queue = 500;
  Scheduler scheduler(model_, options);
  std::vector<std::shared_ptr<Collector>> sinks;
  for (RequestId id = 1; id <= 500; ++id) {
    sinks.push_back(Submit(scheduler, Request(id, std::string(500, 'x'), 400)));
    scheduler.Cancel(id);
  }
  gate.Open();
  for (const auto& sink : sinks) {
    sink->AwaitEnd();
    EXPECT_TRUE(absl::IsCancelled(sink->failure()));
  }
  const auto after = Submit(scheduler, Request(1000));
  after->AwaitEnd();
  EXPECT_EQ(after->text(), "abcde");
  EXPECT_EQ(scheduler.usage().running + scheduler.usage().waiting, 0u);
}

TEST_F(SchedulerTest, CancelWhileThePromptIsReadTakesEffectAfterTheStep) {
  Gate gate;
  model_->decoder().set_before_step([&](absl::Span<const BatchRow>) {
    gate.Pass();
    return absl::OkStatus();
  });
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, std::string(900, 'x')));
  gate.AwaitArrival();
  scheduler.Cancel(1);
  gate.Open();
  sink->AwaitEnd();
  EXPECT_TRUE(absl::IsCancelled(sink->failure()));
  EXPECT_TRUE(sink->tokens().empty());
  EXPECT_EQ(model_->decoder().steps(), 1);
}

TEST_F(SchedulerTest, DeadlineInTheQueueIsAFailureThatSaysSo) {
  Scheduler scheduler(model_, {});
  auto request = Request(1);
  request.deadline = absl::Now() - absl::Seconds(1);
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(sink->failure()));
}

TEST_F(SchedulerTest, DeadlineWhileGeneratingFinishesWithWhatThereIs) {
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 900);
  request.deadline = absl::Now() + absl::Seconds(1);
  model_->decoder().set_before_step([deadline = request.deadline](absl::Span<const BatchRow> rows) {
    // Time passes in the second step.
    while (rows[0].position > 0 && absl::Now() < deadline) std::this_thread::yield();
    return absl::OkStatus();
  });
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  ASSERT_TRUE(sink->summary()) << sink->failure();
  EXPECT_EQ(sink->summary()->reason, EndReason::kDeadline);
  EXPECT_EQ(sink->text(), "ab");
}

// Fails the first attempt of every step whose first row is at one of the positions.
std::function<absl::Status(absl::Span<const BatchRow>)> FailOnceAt(std::set<uint32_t> positions) {
  return [left = std::move(positions)](absl::Span<const BatchRow> rows) mutable {
    return left.erase(rows[0].position) > 0 ? absl::UnavailableError("host b is gone") : absl::OkStatus();
  };
}

TEST_F(SchedulerTest, StepOfALostDeviceIsRepeatedAndTheStreamGoesOn) {
  model_->decoder().set_before_step(FailOnceAt({0, 3, 4}));
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "x", 10));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "abcdefghij");
  EXPECT_EQ(model_->decoder().steps(), 13);
  EXPECT_THAT(std::string(model_->reported().message()), HasSubstr("host b is gone"));
}

TEST_F(SchedulerTest, RepeatedStepChoosesTheTokensOfAnUnbrokenRun) {
  std::vector<std::vector<TokenId>> runs;
  const std::vector<std::set<uint32_t>> failures_of_run = {{}, {0, 1, 2, 20, 40}};
  for (const std::set<uint32_t>& failures : failures_of_run) {
    model_ = std::make_shared<FakeModel>();
    model_->decoder().set_before_step(FailOnceAt(failures));
    Scheduler scheduler(model_, {});
    SamplingOptions options;
    options.temperature = 100;  // nearly even
    options.top_k = 0;
    options.top_p = 1;
    options.min_p = 0;
    options.repetition_penalty = 1.5;
    options.seed = 7;
    auto sink = std::make_shared<Collector>();
    auto request = Request(1, "x", 60);
    request.ignore_eos = true;
    ASSERT_TRUE(scheduler.Submit(std::move(request), *Sampler::Create(options, 258), sink).ok());
    sink->AwaitEnd();
    runs.push_back(sink->tokens());
  }
  EXPECT_THAT(runs[0], testing::SizeIs(60));
  EXPECT_EQ(runs[0], runs[1]);
}

TEST_F(SchedulerTest, StopStringIsFoundAcrossARepeatedStep) {
  model_->decoder().set_before_step(FailOnceAt({5, 6}));
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 100);
  request.stops = {"efg"};
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "abcd");
  EXPECT_EQ(sink->summary()->stop, "efg");
}

TEST_F(SchedulerTest, WhatALostDeviceHeldOfTheSequencesIsComputedAgain) {
  auto& decoder = model_->decoder();
  decoder.set_before_step(FailOnceAt({6}));
  model_->set_before_prepare([&, told = absl::Status()]() mutable {
    if (model_->reported() == told) return;
    told = model_->reported();
    ASSERT_TRUE(decoder.Truncate(0, 0).ok());  // all of one, a part of the other
    ASSERT_TRUE(decoder.Truncate(1, 4).ok());
  });
  Scheduler scheduler(model_, {});
  const auto first = Submit(scheduler, Request(1, "x", 20));
  const auto second = Submit(scheduler, Request(2, "xyz", 20));
  first->AwaitEnd();
  second->AwaitEnd();
  EXPECT_EQ(first->text(), "abcdefghijabcdefghij");
  EXPECT_EQ(second->text(), "cdefghijabcdefghijab");
  EXPECT_EQ(first->tokens().size(), 20u);
}

TEST_F(SchedulerTest, ErrorOfTheDecoderItselfIsNoLostWorker) {
  model_->decoder().set_before_step([](absl::Span<const BatchRow>) { return absl::InternalError("broken"); });
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1));
  sink->AwaitEnd();
  EXPECT_EQ(sink->failure().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(model_->reported().ok());
}

TEST_F(SchedulerTest, RequestWaitsForAPlan) {
  model_->SetReady(absl::UnavailableError("weights are being sent"));
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1));
  model_->SetReady(absl::OkStatus());
  sink->AwaitEnd();
  EXPECT_EQ(sink->text(), "abcde");
}

TEST_F(SchedulerTest, RequestThatWaitsForAPlanForTooLongFails) {
  model_->SetReady(absl::UnavailableError("host b is missing"));
  SchedulerOptions options;
  options.replan_wait = absl::ZeroDuration();
  Scheduler scheduler(model_, options);
  const auto sink = Submit(scheduler, Request(1));
  sink->AwaitEnd();
  EXPECT_TRUE(absl::IsUnavailable(sink->failure()));
  EXPECT_THAT(std::string(sink->failure().message()), HasSubstr("host b is missing"));
  EXPECT_FALSE(sink->started());
  model_->SetReady(absl::OkStatus());
  const auto next = Submit(scheduler, Request(2));
  next->AwaitEnd();
  EXPECT_EQ(next->text(), "abcde");
}

TEST_F(SchedulerTest, StepsThatNeverSucceedEndTheRequestsToo) {
  model_->decoder().set_before_step(
      [](absl::Span<const BatchRow>) { return absl::UnavailableError("host b is gone"); });
  SchedulerOptions options;
  options.replan_wait = absl::Milliseconds(1);
  Scheduler scheduler(model_, options);
  const auto sink = Submit(scheduler, Request(1));
  sink->AwaitEnd();
  EXPECT_TRUE(absl::IsUnavailable(sink->failure()));
  EXPECT_THAT(std::string(sink->failure().message()), HasSubstr("host b is gone"));
}

// A model with one slot that loses its plan at position 3 of the first request.
class OutageTest : public SchedulerTest {
 protected:
  OutageTest() {
    DecoderOptions one_slot = FakeModel::SmallOptions();
    one_slot.sequences = 1;
    model_ = std::make_shared<FakeModel>(Bytes("abcdefghij"), one_slot);
    model_->decoder().set_before_step([this, lost = false](absl::Span<const BatchRow> rows) mutable {
      if (rows[0].position != 3 || std::exchange(lost, true)) return absl::OkStatus();
      model_->SetReady(absl::UnavailableError("no plan"));
      return absl::UnavailableError("host b is gone");
    });
    model_->set_before_prepare([this] {
      if (model_->reported().ok()) return;
      std::lock_guard lock(mutex_);
      ++prepared_;
      changed_.notify_all();
    });
  }
  // Waits until the scheduler has found several times that there is no plan.
  void AwaitOutage() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return prepared_ >= 3; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int prepared_ = 0;
};

TEST_F(OutageTest, RunningAndQueuedRequestsWaitAndGoOn) {
  Scheduler scheduler(model_, {});
  const auto running = Submit(scheduler, Request(1, "x", 10));
  const auto queued = Submit(scheduler, Request(2, "x", 2));
  AwaitOutage();
  EXPECT_FALSE(queued->started());
  EXPECT_EQ(scheduler.usage().running, 1u);
  EXPECT_EQ(scheduler.usage().waiting, 1u);
  model_->SetReady(absl::OkStatus());
  running->AwaitEnd();
  queued->AwaitEnd();
  EXPECT_EQ(running->text(), "abcdefghij");
  EXPECT_EQ(queued->text(), "ab");
}

TEST_F(OutageTest, RequestsWaitForAPlanThatIsOnItsWayHoweverLongThatTakes) {
  model_->set_plan_is_on_its_way(true);
  SchedulerOptions options;
  options.replan_wait = absl::ZeroDuration();
  Scheduler scheduler(model_, options);
  const auto running = Submit(scheduler, Request(1, "x", 10));
  AwaitOutage();
  model_->SetReady(absl::OkStatus());
  running->AwaitEnd();
  EXPECT_EQ(running->text(), "abcdefghij");
}

TEST_F(OutageTest, CancelledRequestFreesItsSlotAtOnce) {
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "x", 10));
  AwaitOutage();
  scheduler.Cancel(1);
  sink->AwaitEnd();
  EXPECT_TRUE(absl::IsCancelled(sink->failure()));
  EXPECT_EQ(scheduler.usage().running, 0u);
}

TEST_F(OutageTest, DeadlineEndsARequestThatWaits) {
  Scheduler scheduler(model_, {});
  auto request = Request(1, "x", 10);
  request.deadline = absl::Now() + absl::Seconds(1);
  const auto sink = Submit(scheduler, std::move(request));
  sink->AwaitEnd();
  ASSERT_TRUE(sink->summary()) << sink->failure();
  EXPECT_EQ(sink->summary()->reason, EndReason::kDeadline);
  EXPECT_EQ(sink->text(), "abc");
  EXPECT_EQ(scheduler.usage().running, 0u);
}

TEST_F(OutageTest, RequestsOfAStoppedSchedulerEndDuringTheWait) {
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1, "x", 10));
  AwaitOutage();
  scheduler.Stop(absl::UnavailableError("the daemon is stopping"));
  sink->AwaitEnd();
  EXPECT_THAT(std::string(sink->failure().message()), HasSubstr("stopping"));
}

TEST_F(SchedulerTest, TimeInTheQueueLastsUntilTheModelCanCompute) {
  std::atomic<int> asked = 0;
  model_->set_before_prepare([&] { ++asked; });
  model_->SetReady(absl::UnavailableError("weights are being sent"));
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1));
  const absl::Time submitted = absl::Now();
  while (asked < 2) std::this_thread::yield();
  EXPECT_FALSE(sink->started());
  const absl::Time ready = absl::Now();
  model_->SetReady(absl::OkStatus());
  sink->AwaitEnd();
  EXPECT_GE(sink->summary()->queued, ready - submitted);
}

TEST_F(SchedulerTest, CancelTakesEffectWhileThereIsNoPlan) {
  model_->SetReady(absl::UnavailableError("no plan"));
  Scheduler scheduler(model_, {});
  const auto sink = Submit(scheduler, Request(1));
  scheduler.Cancel(1);
  sink->AwaitEnd();
  EXPECT_TRUE(absl::IsCancelled(sink->failure()));
}

TEST_F(SchedulerTest, BlockedStreamPausesAloneAndGoesOnWhenWoken) {
  Scheduler scheduler(model_, {});
  auto slow = std::make_shared<Collector>();
  slow->set_blocked(true);
  ASSERT_TRUE(scheduler.Submit(Request(1), Greedy(), slow).ok());
  const auto other = Submit(scheduler, Request(2));
  other->AwaitEnd();
  EXPECT_EQ(scheduler.usage().running, 1u);
  slow->set_blocked(false);
  scheduler.Wake();
  slow->AwaitEnd();
  EXPECT_EQ(slow->text(), "abcde");
}

TEST_F(SchedulerTest, BlockedStreamGivesItsOnlySlotAwayAndGoesOnLater) {
  DecoderOptions one_slot = FakeModel::SmallOptions();
  one_slot.sequences = 1;
  model_ = std::make_shared<FakeModel>(Bytes("abcdefghij"), one_slot);
  auto slow = std::make_shared<Collector>();
  model_->decoder().set_before_step([&](absl::Span<const BatchRow> rows) {
    if (rows[0].position == 4) slow->set_blocked(true);
    return absl::OkStatus();
  });
  SchedulerOptions options;
  options.park_after = absl::ZeroDuration();
  Scheduler scheduler(model_, options);
  ASSERT_TRUE(scheduler.Submit(Request(1, "x", 20), Greedy(), slow).ok());
  slow->AwaitTokens(5);
  const auto other = Submit(scheduler, Request(2, "x", 3));
  other->AwaitEnd();
  EXPECT_EQ(other->text(), "abc");
  slow->set_blocked(false);
  scheduler.Wake();
  slow->AwaitEnd();
  EXPECT_EQ(slow->text(), "abcdefghijabcdefghij");
}

TEST_F(SchedulerTest, StreamBlockedForTooLongFails) {
  SchedulerOptions options;
  options.slow_reader = absl::Milliseconds(1);
  Scheduler scheduler(model_, options);
  auto slow = std::make_shared<Collector>();
  slow->set_blocked(true);
  ASSERT_TRUE(scheduler.Submit(Request(1), Greedy(), slow).ok());
  const auto other = Submit(scheduler, Request(2));
  slow->AwaitEnd();
  EXPECT_TRUE(absl::IsResourceExhausted(slow->failure()));
  other->AwaitEnd();
}

TEST_F(SchedulerTest, StopFailsRunningAndWaitingAndRefusesLaterRequests) {
  Scheduler scheduler(model_, {});
  std::vector<std::shared_ptr<Collector>> sinks;
  for (RequestId id = 1; id <= 10; ++id) {
    sinks.push_back(std::make_shared<Collector>());
    sinks.back()->set_blocked(true);  // keeps its slot, or its place in the queue
    ASSERT_TRUE(scheduler.Submit(Request(id), Greedy(), sinks.back()).ok());
  }
  scheduler.Stop(absl::UnavailableError("the daemon is stopping"));
  for (const auto& sink : sinks) {
    sink->AwaitEnd();
    EXPECT_TRUE(absl::IsUnavailable(sink->failure()));
  }
  EXPECT_TRUE(absl::IsUnavailable(scheduler.Submit(Request(11), Greedy(), std::make_shared<Collector>())));
}

TEST_F(SchedulerTest, FullQueueRefusesWithoutAnEvent) {
  Gate gate;
  model_->decoder().set_before_step([&](absl::Span<const BatchRow>) {
    gate.Pass();
    return absl::OkStatus();
  });
  SchedulerOptions options;
  options.queue = 1;
  Scheduler scheduler(model_, options);
  const auto first = Submit(scheduler, Request(1));
  gate.AwaitArrival();  // it has its slot
  const auto second = Submit(scheduler, Request(2));
  EXPECT_TRUE(
      absl::IsResourceExhausted(scheduler.Submit(Request(3), Greedy(), std::make_shared<Collector>())));
  gate.Open();
  second->AwaitEnd();
}

}  // namespace
}  // namespace hearth
