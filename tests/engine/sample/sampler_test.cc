#include "engine/sample/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Lt;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Every filter off: draws from softmax(logits) as it is.
SamplingOptions Plain() {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 0;
  options.top_p = 1;
  options.min_p = 0;
  return options;
}

SamplingOptions Greedy() {
  SamplingOptions options = Plain();
  options.temperature = 0;
  return options;
}

Sampler Make(SamplingOptions options, size_t vocab_size) {
  auto sampler = Sampler::Create(std::move(options), static_cast<int32_t>(vocab_size));
  EXPECT_TRUE(sampler.ok()) << sampler.status();
  return *std::move(sampler);
}

int32_t SampleOnce(const SamplingOptions& options, std::vector<float> logits) {
  return Make(options, logits.size()).Sample(absl::MakeSpan(logits));
}

// How often each token comes in `draws` draws.
std::vector<int> Histogram(const SamplingOptions& options, const std::vector<float>& logits,
                           int draws = 2000) {
  Sampler sampler = Make(options, logits.size());
  std::vector<int> histogram(logits.size());
  for (int i = 0; i < draws; ++i) {
    std::vector<float> scratch = logits;
    ++histogram[static_cast<size_t>(sampler.Sample(absl::MakeSpan(scratch)))];
  }
  return histogram;
}

TEST(SamplerTest, GreedyTakesTheLargestLogit) { EXPECT_EQ(SampleOnce(Greedy(), {1, 5, -3, 4.9f}), 1); }

TEST(SamplerTest, GreedyTakesTheLowestIdOnATie) { EXPECT_EQ(SampleOnce(Greedy(), {1, 7, 7, 7}), 1); }

TEST(SamplerTest, DrawsFollowTheSoftmax) {
  const std::vector<int> histogram =
      Histogram(Plain(), {std::log(1.0f), std::log(2.0f), std::log(5.0f)}, 8000);
  // Four standard deviations of a binomial count are below 170 here.
  EXPECT_NEAR(histogram[0], 1000, 170);
  EXPECT_NEAR(histogram[1], 2000, 170);
  EXPECT_NEAR(histogram[2], 5000, 170);
}

TEST(SamplerTest, TemperatureSharpensTheSoftmax) {
  SamplingOptions options = Plain();
  options.temperature = 0.5f;  // squares the odds of 1 : 3
  const std::vector<int> histogram = Histogram(options, {0, std::log(3.0f)}, 8000);
  EXPECT_NEAR(histogram[0], 800, 110);
}

TEST(SamplerTest, TinyTemperatureIsGreedy) {
  SamplingOptions options = Plain();
  options.temperature = 1e-30f;
  EXPECT_THAT(Histogram(options, {1, 1.001f, 0}, 50), ElementsAre(0, 50, 0));
}

TEST(SamplerTest, TopKLeavesTheKLargest) {
  SamplingOptions options = Plain();
  options.top_k = 2;
  const std::vector<int> histogram = Histogram(options, {1, 1.2f, 1.1f, 1.05f});
  EXPECT_EQ(histogram[0], 0);
  EXPECT_EQ(histogram[3], 0);
  EXPECT_GT(histogram[1], 0);
  EXPECT_GT(histogram[2], 0);
}

TEST(SamplerTest, TopKOfATieKeepsTheLowerIds) {
  SamplingOptions options = Plain();
  options.top_k = 2;
  const std::vector<int> histogram = Histogram(options, {1, 1, 1, 1});
  EXPECT_EQ(histogram[2] + histogram[3], 0);
}

TEST(SamplerTest, TopPLeavesTheFewestTokensThatReachTheMass) {
  SamplingOptions options = Plain();
  options.top_p = 0.7f;  // 0.5 is not enough, 0.8 is
  const std::vector<int> histogram = Histogram(options, {std::log(0.2f), std::log(0.5f), std::log(0.3f)});
  EXPECT_EQ(histogram[0], 0);
  EXPECT_GT(histogram[1], 0);
  EXPECT_GT(histogram[2], 0);
}

TEST(SamplerTest, TinyTopPLeavesTheBest) {
  SamplingOptions options = Plain();
  options.top_p = 1e-9f;
  EXPECT_THAT(Histogram(options, {0, 0.1f, 0}, 50), ElementsAre(0, 50, 0));
}

TEST(SamplerTest, MinPDropsTokensFarBelowTheBest) {
  SamplingOptions options = Plain();
  options.min_p = 0.5f;
  const std::vector<int> histogram = Histogram(options, {std::log(4.0f), std::log(2.1f), std::log(1.9f)});
  EXPECT_GT(histogram[1], 0);
  EXPECT_EQ(histogram[2], 0);
}

TEST(SamplerTest, MinPOfOneLeavesTheBest) {
  SamplingOptions options = Plain();
  options.min_p = 1;
  EXPECT_THAT(Histogram(options, {0, 0.1f, 0}, 50), ElementsAre(0, 50, 0));
}

TEST(SamplerTest, LogitBiasForcesAndBans) {
  SamplingOptions options = Greedy();
  options.logit_bias = {{2, 10.0f}};
  EXPECT_EQ(SampleOnce(options, {5, 4, 0}), 2);
  options.logit_bias = {{0, -kInfinity}};
  EXPECT_EQ(SampleOnce(options, {5, 4, 0}), 1);
  options.logit_bias = {{0, -kInfinity}, {1, -kInfinity}};
  EXPECT_EQ(SampleOnce(options, {5, 4, 0}), 2);
}

TEST(SamplerTest, LogitBiasThatCannotBeMetIsRefusedByName) {
  const auto refusal = [](std::vector<std::pair<int32_t, float>> biases) {
    SamplingOptions options;
    options.logit_bias = std::move(biases);
    const auto sampler = Sampler::Create(options, 3);
    EXPECT_EQ(sampler.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(sampler.status().message());
  };
  EXPECT_EQ(refusal({{1, kInfinity}}),
            "logit_bias: token 1 has the bias inf; a finite number or -infinity is allowed");
  EXPECT_THAT(refusal({{2, kNan}}), HasSubstr("token 2 has the bias nan"));
  EXPECT_EQ(refusal({{3, 1}}), "logit_bias: token 3 is outside the vocabulary of 0 to 2");
  EXPECT_EQ(refusal({{-1, 1}}), "logit_bias: token -1 is outside the vocabulary of 0 to 2");
  EXPECT_EQ(refusal({{1, 1}, {1, 2}}), "logit_bias: token 1 is there twice");
  EXPECT_EQ(refusal({{0, -kInfinity}, {1, -kInfinity}, {2, -kInfinity}}),
            "logit_bias: every token is forbidden; leave at least one");
}

TEST(SamplerTest, RepetitionPenaltyWeakensSeenTokensOfBothSigns) {
  SamplingOptions options = Greedy();
  options.repetition_penalty = 2;
  Sampler sampler = Make(options, 3);
  sampler.Accept(0);
  sampler.Accept(1);
  std::vector<float> logits = {4, -1, 1.9f};
  sampler.Sample(absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(2, -2, 1.9f));
}

TEST(SamplerTest, FrequencyPenaltyCountsPresencePenaltyDoesNot) {
  SamplingOptions options = Greedy();
  options.frequency_penalty = 1;
  options.presence_penalty = 10;
  Sampler sampler = Make(options, 3);
  sampler.Accept(0);
  sampler.Accept(0);
  sampler.Accept(1);
  std::vector<float> logits = {0, 0, 0};
  sampler.Sample(absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(-12, -11, 0));
}

TEST(SamplerTest, TokensOutsideTheWindowAreForgotten) {
  SamplingOptions options = Greedy();
  options.presence_penalty = 1;
  options.penalty_window = 2;
  Sampler sampler = Make(options, 4);
  for (const int32_t token : {0, 1, 0, 2, 3}) sampler.Accept(token);
  std::vector<float> logits = {0, 0, 0, 0};
  sampler.Sample(absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(0, 0, -1, -1));
}

TEST(SamplerTest, WindowOfZeroRemembersEverything) {
  SamplingOptions options = Greedy();
  options.presence_penalty = 1;
  options.penalty_window = 0;
  Sampler sampler = Make(options, 2);
  sampler.Accept(0);
  for (int i = 0; i < 500; ++i) sampler.Accept(1);
  std::vector<float> logits = {0, 0};
  sampler.Sample(absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(-1, -1));
}

TEST(SamplerTest, AcceptedTokensOutsideTheVocabularyAreIgnored) {
  SamplingOptions options = Greedy();
  options.presence_penalty = 1;
  Sampler sampler = Make(options, 2);
  sampler.Accept(-1);
  sampler.Accept(2);
  std::vector<float> logits = {0, 0};
  EXPECT_EQ(sampler.Sample(absl::MakeSpan(logits)), 0);
}

TEST(SamplerTest, SameSeedDrawsTheSameTokens) {
  SamplingOptions options = Plain();
  options.seed = 7;
  const std::vector<float> logits = {0, 0.5f, 1, 0.25f};
  Sampler a = Make(options, 4), b = Make(options, 4);
  for (int i = 0; i < 100; ++i) {
    std::vector<float> x = logits, y = logits;
    ASSERT_EQ(a.Sample(absl::MakeSpan(x)), b.Sample(absl::MakeSpan(y)));
  }
}

TEST(SamplerTest, DrawsOfASeedAreFixedForEver) {
  // floor(8 u) for the numbers u of SplitMix64 from 42, worked out apart. What users get for a seed must
  // stay.
  SamplingOptions options = Plain();
  options.seed = 42;
  Sampler sampler = Make(options, 8);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 10; ++i) {
    std::vector<float> logits(8, 0.0f);
    tokens.push_back(sampler.Sample(absl::MakeSpan(logits)));
  }
  EXPECT_THAT(tokens, ElementsAre(5, 1, 2, 2, 0, 6, 1, 6, 2, 4));
}

TEST(SamplerTest, NanLogitsAreNeverChosen) {
  EXPECT_EQ(SampleOnce(Greedy(), {kNan, 1, kNan, 2}), 3);
  const std::vector<int> histogram = Histogram(SamplingOptions(), {kNan, 1, kNan, 1});
  EXPECT_EQ(histogram[0] + histogram[2], 0);
}

TEST(SamplerTest, BannedTokensAreNeverDrawn) {
  const std::vector<int> histogram = Histogram(Plain(), {-kInfinity, 0, -kInfinity});
  EXPECT_THAT(histogram, ElementsAre(0, 2000, 0));
}

TEST(SamplerTest, LogitsWithoutAnyChoiceStillGiveAValidToken) {
  for (const float logit : {-kInfinity, kNan, kInfinity}) {
    for (const SamplingOptions& options : {Greedy(), Plain(), SamplingOptions()}) {
      const int32_t token = SampleOnce(options, {logit, logit, logit});
      EXPECT_GE(token, 0);
      EXPECT_LT(token, 3);
    }
  }
}

TEST(SamplerTest, ExtremeLogitsDoNotOverflow) {
  const float huge = std::numeric_limits<float>::max();
  EXPECT_THAT(Histogram(Plain(), {-huge, huge}, 50), ElementsAre(0, 50));
}

TEST(SamplerTest, VocabularyOfOneTokenGivesIt) { EXPECT_EQ(SampleOnce(SamplingOptions(), {-3}), 0); }

struct BadOption {
  const char* name;
  std::function<void(SamplingOptions&)> spoil;
};

TEST(SamplerTest, OptionsOutOfRangeAreRefusedByName) {
  const BadOption cases[] = {
      {"temperature", [](SamplingOptions& o) { o.temperature = -0.1f; }},
      {"temperature", [](SamplingOptions& o) { o.temperature = kNan; }},
      {"temperature", [](SamplingOptions& o) { o.temperature = kInfinity; }},
      {"top_p", [](SamplingOptions& o) { o.top_p = 0; }},
      {"top_p", [](SamplingOptions& o) { o.top_p = 1.01f; }},
      {"top_p", [](SamplingOptions& o) { o.top_p = kNan; }},
      {"min_p", [](SamplingOptions& o) { o.min_p = -0.1f; }},
      {"min_p", [](SamplingOptions& o) { o.min_p = 1.1f; }},
      {"repetition_penalty", [](SamplingOptions& o) { o.repetition_penalty = 0; }},
      {"frequency_penalty", [](SamplingOptions& o) { o.frequency_penalty = kInfinity; }},
      {"presence_penalty", [](SamplingOptions& o) { o.presence_penalty = kNan; }},
  };
  for (const BadOption& bad : cases) {
    SamplingOptions options;
    bad.spoil(options);
    const auto sampler = Sampler::Create(options, 10);
    EXPECT_EQ(sampler.status().code(), absl::StatusCode::kInvalidArgument) << bad.name;
    EXPECT_THAT(std::string(sampler.status().message()), HasSubstr(bad.name));
  }
  EXPECT_FALSE(Sampler::Create(SamplingOptions(), 0).ok());
}

TEST(RandomSeedTest, SeedsDiffer) { EXPECT_NE(RandomSeed(), RandomSeed()); }

TEST(LogprobTest, LogprobsAreTheLogSoftmax) {
  const std::vector<float> logits = {std::log(1.0f), std::log(3.0f), kNan, std::log(4.0f)};
  EXPECT_NEAR(LogprobOf(logits, 0), std::log(0.125f), 1e-6f);
  EXPECT_NEAR(LogprobOf(logits, 1), std::log(0.375f), 1e-6f);
  EXPECT_EQ(LogprobOf(logits, 2), -kInfinity);
}

TEST(LogprobTest, TopLogprobsAreSortedAndAtMostTheVocabulary) {
  const std::vector<float> logits = {1, 3, 3, 2};
  const std::vector<TokenLogprob> top = TopLogprobs(logits, 3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].token, 1);
  EXPECT_EQ(top[1].token, 2);
  EXPECT_EQ(top[2].token, 3);
  EXPECT_FLOAT_EQ(top[2].logprob, LogprobOf(logits, 3));
  EXPECT_EQ(TopLogprobs(logits, 99).size(), 4u);
  EXPECT_TRUE(TopLogprobs(logits, 0).empty());
}

TEST(LogprobTest, ImpossibleTokensHaveMinusInfinity) {
  const std::vector<float> logits = {-kInfinity, -kInfinity};
  EXPECT_EQ(LogprobOf(logits, 0), -kInfinity);
  for (const TokenLogprob& entry : TopLogprobs(logits, 2)) EXPECT_EQ(entry.logprob, -kInfinity);
}

TEST(SamplerTest, GoesOnBehindRepeatedTokensAsIfItHadDrawnThem) {
  SamplingOptions options;
  options.temperature = 1.5f;
  options.repetition_penalty = 1.3f;
  options.seed = 11;
  for (const float temperature : {0.0f, 1.5f}) {
    options.temperature = temperature;
    Sampler unbroken = *Sampler::Create(options, 50), resumed = *Sampler::Create(options, 50);
    for (int i = 0; i < 40; ++i) {
      std::vector<float> logits(50);
      for (size_t t = 0; t < logits.size(); ++t) logits[t] = static_cast<float>((t * 7 + i) % 13) / 4;
      std::vector<float> same = logits;
      const int32_t token = unbroken.Sample(absl::MakeSpan(logits));
      unbroken.Accept(token);
      if (i < 20) {
        resumed.Repeat(token);
        continue;
      }
      ASSERT_EQ(resumed.Sample(absl::MakeSpan(same)), token) << i;
      resumed.Accept(token);
    }
  }
}

TEST(CheckLogitsTest, NumbersOfAnySizeAreFine) {
  EXPECT_TRUE(CheckLogits({}).ok());
  const std::vector<float> logits = {0, -0.0f, 1e-42f, std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::lowest()};
  EXPECT_TRUE(CheckLogits(logits).ok());
}

TEST(CheckLogitsTest, OneThatIsNoNumberIsDamage) {
  for (const float damage : {kNan, -kNan, kInfinity, -kInfinity}) {
    for (size_t at : {size_t{0}, size_t{40}, size_t{99}}) {
      std::vector<float> logits(100, 1.0f);
      logits[at] = damage;
      EXPECT_EQ(CheckLogits(logits).code(), absl::StatusCode::kDataLoss) << damage << " at " << at;
    }
  }
}

TEST(LogprobDeathTest, TokenOutsideTheVocabularyIsABug) {
  const std::vector<float> logits = {1, 2};
  EXPECT_DEATH(LogprobOf(logits, 2), "check failed");
}

}  // namespace
}  // namespace hearth
