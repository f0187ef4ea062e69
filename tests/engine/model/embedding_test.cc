// The states of models for embeddings against an oracle in numpy (tests/fixtures/make_model_fixtures.py), and
// what becomes of them.
#include <cmath>
#include <string>
#include <vector>

#include "engine/model/pooling.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/fixture.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Float32 sums over 2 layers; the states' standard deviation is about 1.
constexpr float kEmbeddingTolerance = 2e-5f;
constexpr DecoderOptions kEmbeddingOptions{.sequences = 3, .context_length = 48, .max_rows = 32};

std::string EmbeddingFixture(const std::string& name) { return "../embedding_fixtures/" + name; }

// Rows of a sequence whose states are wanted, from position `first` on.
std::vector<BatchRow> Rows(const std::vector<TokenId>& tokens, uint32_t sequence = 0, uint32_t first = 0) {
  std::vector<BatchRow> rows;
  for (const TokenId token : tokens) {
    rows.push_back({.sequence = sequence,
                    .position = first + static_cast<uint32_t>(rows.size()),
                    .token = token,
                    .prompt = true,
                    .want_state = true});
  }
  return rows;
}

class StatesTest : public ::testing::TestWithParam<std::string> {
 protected:
  Runtime Open(int devices = 1) {
    absl::StatusOr<Runtime> runtime =
        OpenFixture(EmbeddingFixture(GetParam()), pool_, devices, kEmbeddingOptions);
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    return *std::move(runtime);
  }
  static std::vector<float> States(Runtime& runtime, const std::vector<BatchRow>& rows) {
    const absl::Status status = runtime.decoder->Step(rows, {});
    EXPECT_TRUE(status.ok()) << status;
    const absl::Span<const float> states = runtime.decoder->states();
    return {states.begin(), states.end()};
  }

  ThreadPool pool_{2};
};

TEST_P(StatesTest, AreTheOracles) {
  const absl::StatusOr<NpyArray> expected = ReadNpy(FixturePath(EmbeddingFixture(GetParam()) + ".npy"));
  ASSERT_TRUE(expected.ok()) << expected.status();
  Runtime runtime = Open();
  const std::vector<float> states = States(runtime, Rows(FixtureTokens()));
  ASSERT_THAT(states, SizeIs(expected->values.size()));
  for (size_t i = 0; i < states.size(); ++i) {
    ASSERT_NEAR(states[i], expected->values[i], kEmbeddingTolerance) << "position " << i / expected->cols;
  }
}

TEST_P(StatesTest, HaveTheSameBitsOnSeveralDevices) {
  Runtime one = Open(1), three = Open(3);
  EXPECT_EQ(States(three, Rows(FixtureTokens())), States(one, Rows(FixtureTokens())));
}

TEST_P(StatesTest, OfOneTextKnowNothingOfAnother) {
  Runtime alone = Open(), together = Open();
  const std::vector<float> expected = States(alone, Rows({3, 1, 4, 1}));
  std::vector<BatchRow> rows = Rows({9, 2, 6}, 2);
  for (const BatchRow& row : Rows({3, 1, 4, 1}, 1)) rows.push_back(row);
  const std::vector<float> both = States(together, rows);
  ASSERT_THAT(both, SizeIs(7 * 16));
  EXPECT_EQ(std::vector<float>(both.begin() + 3 * 16, both.end()), expected);
}

TEST_P(StatesTest, ComeInPiecesWhereTokensSeeNothingLater) {
  Runtime runtime = Open();
  if (!runtime.model->spec().causal) {
    ASSERT_TRUE(runtime.decoder->Step(Rows({1, 2}), {}).ok());
    const absl::Status status = runtime.decoder->Step(Rows({3}, 0, 2), {});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("whole, in one step"));
    return;
  }
  Runtime pieces = Open();
  const std::vector<float> whole = States(runtime, Rows({1, 2, 3, 4}));
  std::vector<float> joined = States(pieces, Rows({1, 2}));
  for (const float value : States(pieces, Rows({3, 4}, 0, 2))) joined.push_back(value);
  EXPECT_EQ(joined, whole);
}

INSTANTIATE_TEST_SUITE_P(AllFixtures, StatesTest,
                         ::testing::Values("states_of_a_decoder", "states_of_a_decoder_that_sees_all",
                                           "encoder_with_positions", "encoder_with_rope"),
                         [](const auto& info) { return info.param; });

TEST(EncoderTest, HasNoOutputHeadAndGivesNoLogits) {
  ThreadPool pool(1);
  Runtime runtime = *OpenFixture(EmbeddingFixture("encoder_with_rope"), pool, 1, kEmbeddingOptions);
  EXPECT_THAT(runtime.model->outline().output_runs, SizeIs(0));
  EXPECT_EQ(runtime.model->outline().output_weight_bytes, 0u);
  std::vector<float> logits(24);
  const absl::Status status = runtime.decoder->Step({{{0, 0, 1, true}}}, absl::MakeSpan(logits));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("embeddings only"));
  EXPECT_EQ(runtime.decoder->SequenceLength(0), 0u);
}

absl::StatusOr<ModelSpec> SpecWith(const std::string& key, TinyModel::Value value, bool window = false) {
  TinyModel tiny(window ? "gemma2" : "llama");
  tiny.Set(key, std::move(value));
  if (window) tiny.Set("gemma2.attention.sliding_window", uint64_t{4});
  return ReadModelSpec(**tiny.Build(), {});
}

TEST(EmbeddingSpecTest, PoolingIsWhatTheFileSays) {
  EXPECT_EQ(SpecWith("llama.block_count", uint64_t{2})->pooling, std::nullopt);
  EXPECT_EQ(SpecWith("llama.pooling_type", uint64_t{0})->pooling, std::nullopt);
  EXPECT_EQ(SpecWith("llama.pooling_type", uint64_t{1})->pooling, Pooling::kMean);
  EXPECT_EQ(SpecWith("llama.pooling_type", uint64_t{2})->pooling, Pooling::kCls);
  EXPECT_EQ(SpecWith("llama.pooling_type", uint64_t{3})->pooling, Pooling::kLast);
}

TEST(EmbeddingSpecTest, PoolingThatIsNotKnownIsRefused) {
  const absl::Status ranks = SpecWith("llama.pooling_type", uint64_t{4}).status();
  EXPECT_EQ(ranks.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(ranks.message(), HasSubstr("rank"));
  EXPECT_EQ(SpecWith("llama.pooling_type", uint64_t{9}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(EmbeddingSpecTest, WindowsOfTokensThatSeeForwardsAreRefused) {
  const absl::Status status = SpecWith("gemma2.attention.causal", false, true).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("windows"));
}

// Three states of two values.
std::vector<float> Pooled(const EmbeddingOptions& options) {
  Pooler pooler(options, 2);
  pooler.Add({3, 4, 1, 0});
  pooler.Add({5, -1});
  EXPECT_EQ(pooler.tokens(), 3u);
  return pooler.Finish();
}

TEST(PoolerTest, TakesTheMeanTheFirstOrTheLast) {
  EXPECT_THAT(Pooled({Pooling::kMean, 0, true}), ElementsAre(3, 1));
  EXPECT_THAT(Pooled({Pooling::kCls, 0, true}), ElementsAre(3, 4));
  EXPECT_THAT(Pooled({Pooling::kLast, 0, true}), ElementsAre(5, -1));
}

TEST(PoolerTest, DividesByTheLengthOfWhatIsKept) {
  EXPECT_THAT(Pooled({Pooling::kCls, 0, false}), ElementsAre(FloatEq(0.6f), FloatEq(0.8f)));
  EXPECT_THAT(Pooled({Pooling::kCls, 1, false}), ElementsAre(1));
  EXPECT_THAT(Pooled({Pooling::kCls, 1, true}), ElementsAre(3));
}

TEST(PoolerTest, VectorWithoutLengthStaysAsItIs) {
  Pooler pooler({}, 2);
  pooler.Add({0, 0});
  EXPECT_THAT(pooler.Finish(), ElementsAre(0, 0));
}

}  // namespace
}  // namespace hearth
