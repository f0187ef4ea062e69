#include "engine/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "engine/kernel/fixed_point.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/fixture.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr DecoderOptions kOptions{.sequences = 3, .context_length = 16, .max_rows = 8};

class DecoderTest : public ::testing::Test {
 protected:
  Runtime Open(const std::string& fixture) { return *OpenFixture(fixture, pool_, 1, kOptions); }

  absl::StatusOr<Runtime> OpenTiny(DecoderOptions options) {
    return Runtime::Make(*TinyModel().Build(), {}, options, pool_);
  }

  // The error of a step with these rows on a fresh decoder that already holds `held` positions of sequence 0.
  absl::Status StepError(std::vector<BatchRow> rows, size_t held = 0) {
    Runtime runtime = Open("llama_tied");
    std::vector<TokenId> tokens(held, 1);
    EXPECT_TRUE(runtime.Evaluate(tokens, 4).ok());
    std::vector<float> logits(rows.size() * 24);
    const absl::Status status = runtime.decoder->Step(rows, absl::MakeSpan(logits));
    EXPECT_EQ(runtime.decoder->SequenceLength(0), held);
    return status;
  }

  ThreadPool pool_{2};
};

TEST_F(DecoderTest, SequencesInOneBatchDoNotDisturbEachOther) {
  for (const std::string fixture : {"llama_tied", "short_convolution", "latent_split_grouped", "soft_caps"}) {
    Runtime runtime = Open(fixture);
    const std::vector<float> alone_a = *runtime.Evaluate({3, 1, 4}, 8, 0);
    const std::vector<float> alone_b = *runtime.Evaluate({2, 7, 1}, 8, 1);
    Runtime mixed = Open(fixture);
    const std::vector<BatchRow> rows = {{0, 0, 3, true}, {1, 0, 2, true}, {1, 1, 7, true},
                                        {0, 1, 1, true}, {0, 2, 4, true}, {1, 2, 1, true}};
    std::vector<float> logits(rows.size() * 24);
    ASSERT_TRUE(mixed.decoder->Step(rows, absl::MakeSpan(logits)).ok());
    const auto row = [](const std::vector<float>& values, size_t t) {
      return std::vector<float>(values.begin() + t * 24, values.begin() + (t + 1) * 24);
    };
    EXPECT_EQ(row(logits, 4), row(alone_a, 2)) << fixture;
    EXPECT_EQ(row(logits, 5), row(alone_b, 2)) << fixture;
  }
}

// The logits of five tokens, the first three of which are a prompt, in steps of `chunk` rows.
std::vector<float> PromptAndGenerated(Runtime runtime, size_t chunk) {
  std::vector<float> logits(5 * 24);
  for (size_t begin = 0; begin < 5; begin += chunk) {
    std::vector<BatchRow> rows;
    for (size_t t = begin; t < std::min<size_t>(5, begin + chunk); ++t) {
      rows.push_back({0, static_cast<uint32_t>(t), FixtureTokens()[t], true, t < 3});
    }
    EXPECT_TRUE(runtime.decoder->Step(rows, absl::MakeSpan(logits).subspan(begin * 24)).ok());
  }
  return logits;
}

TEST_F(DecoderTest, PromptsAreComputedExactlyWhereGeneratedTokensArePredicted) {
  for (const std::string fixture : {"predicted_gated", "predicted_parallel", "predicted_with_biases"}) {
    const std::shared_ptr<const GgufFile> file = *GgufFile::Open(FixturePath(fixture + ".gguf"));
    Runtime exact = *Runtime::Make(file, {.sparsity = SparsityMode::kExact}, kOptions, pool_);
    const std::vector<float> exact_logits = PromptAndGenerated(std::move(exact), 5);
    const std::vector<float> logits = PromptAndGenerated(Open(fixture), 5);
    EXPECT_TRUE(std::equal(logits.begin(), logits.begin() + 3 * 24, exact_logits.begin()));
    EXPECT_FALSE(std::equal(logits.begin() + 3 * 24, logits.end(), exact_logits.begin() + 3 * 24));
    for (const size_t chunk : {1, 2, 4}) EXPECT_EQ(PromptAndGenerated(Open(fixture), chunk), logits) << chunk;
  }
}

TEST_F(DecoderTest, OnlyWantedLogitsAreWritten) {
  Runtime runtime = Open("llama_tied");
  const std::vector<float> all = *runtime.Evaluate({3, 1, 4}, 8, 0);
  const std::vector<BatchRow> rows = {{1, 0, 3, false}, {1, 1, 1, true}, {1, 2, 4, false}};
  std::vector<float> logits(24);
  ASSERT_TRUE(runtime.decoder->Step(rows, absl::MakeSpan(logits)).ok());
  EXPECT_EQ(logits, std::vector<float>(all.begin() + 24, all.begin() + 48));
}

TEST_F(DecoderTest, TruncatedSequenceContinuesAsIfTheRestHadNotBeen) {
  Runtime runtime = Open("soft_caps");
  const std::vector<float> straight = *runtime.Evaluate({3, 1, 4, 1, 5}, 8, 0);
  ASSERT_TRUE(runtime.Evaluate({3, 1, 9, 9, 9, 9, 9}, 8, 1).ok());
  ASSERT_TRUE(runtime.decoder->Truncate(1, 2).ok());
  const std::vector<BatchRow> rows = {{1, 2, 4, true}, {1, 3, 1, true}, {1, 4, 5, true}};
  std::vector<float> logits(3 * 24);
  ASSERT_TRUE(runtime.decoder->Step(rows, absl::MakeSpan(logits)).ok());
  EXPECT_EQ(logits, std::vector<float>(straight.begin() + 2 * 24, straight.end()));
}

TEST_F(DecoderTest, RecurrentStateCannotGoBackButCanBeForgotten) {
  Runtime runtime = Open("short_convolution");
  const std::vector<float> first = *runtime.Evaluate({3, 1, 4}, 8, 0);
  EXPECT_EQ(runtime.decoder->Truncate(0, 1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(runtime.decoder->SequenceLength(0), 3u);
  ASSERT_TRUE(runtime.decoder->Truncate(0, 0).ok());
  EXPECT_EQ(*runtime.Evaluate({3, 1, 4}, 8, 0), first);
}

TEST_F(DecoderTest, BadRowsAreRefusedAndChangeNothing) {
  EXPECT_THAT(std::string(StepError({}).message()), HasSubstr("rows"));
  EXPECT_THAT(std::string(StepError(std::vector<BatchRow>(9)).message()), HasSubstr("8 rows"));
  EXPECT_THAT(std::string(StepError({{3, 0, 1, true}}).message()), HasSubstr("3 sequences"));
  EXPECT_THAT(std::string(StepError({{0, 1, 1, true}}).message()), HasSubstr("does not follow"));
  EXPECT_THAT(std::string(StepError({{0, 0, 1, true}, {0, 2, 1, true}}).message()),
              HasSubstr("does not follow"));
  EXPECT_THAT(std::string(StepError({{0, 0, 1, true}}, 2).message()), HasSubstr("does not follow"));
  EXPECT_THAT(std::string(StepError({{0, 0, 24, true}}).message()), HasSubstr("vocabulary"));
  EXPECT_THAT(std::string(StepError({{0, 0, -1, true}}).message()), HasSubstr("vocabulary"));
}

TEST_F(DecoderTest, FullContextIsAnErrorNotATruncation) {
  EXPECT_THAT(std::string(StepError({{0, 16, 1, true}}, 16).message()), HasSubstr("full"));
}

TEST_F(DecoderTest, SequenceThatIsNotThereCannotBeTruncated) {
  EXPECT_EQ(Open("llama_tied").decoder->Truncate(3, 0).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DecoderTest, OptionsOfNothingAreRefused) {
  EXPECT_EQ(OpenTiny({.sequences = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenTiny({.context_length = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenTiny({.max_rows = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DecoderTest, CacheLargerThanTheMachineIsRefusedWithItsSize) {
  const absl::Status status =
      OpenTiny({.sequences = 1u << 20, .context_length = 1u << 24, .max_rows = 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("MiB"));
}

TEST_F(DecoderTest, CacheOfMoreThan64BitsIsRefused) {
  const absl::Status status =
      OpenTiny({.sequences = UINT32_MAX, .context_length = UINT32_MAX, .max_rows = 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DecoderTest, LearnedPositionsLimitTheContext) {
  const auto runtime = OpenFixture("learned_positions", pool_, 1, {.context_length = 65, .max_rows = 4});
  EXPECT_EQ(runtime.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(runtime.status().message()), HasSubstr("64 positions"));
}

TEST_F(DecoderTest, SmallerCacheTypesStayClose) {
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  DecoderOptions options = kOptions;
  const std::vector<float> exact = *OpenTiny(options)->Evaluate(tokens, 8);
  options.kv_type = KvType::kF16;
  EXPECT_THAT(*OpenTiny(options)->Evaluate(tokens, 8), Pointwise(FloatNear(0.005f), exact));
  options.kv_type = KvType::kQ8_0;
  EXPECT_THAT(*OpenTiny(options)->Evaluate(tokens, 8), Pointwise(FloatNear(0.05f), exact));
}

TEST_F(DecoderTest, CacheTypesTakeTheBytesTheySay) {
  // 2 layers, keys and values of 32 values, 3 sequences of 16 positions.
  constexpr uint64_t kValues = 2 * 2 * 32 * 3 * 16;
  DecoderOptions options = kOptions;
  EXPECT_EQ(OpenTiny(options)->decoder->kv_bytes(), kValues * 4);
  options.kv_type = KvType::kF16;
  EXPECT_EQ(OpenTiny(options)->decoder->kv_bytes(), kValues * 2);
  options.kv_type = KvType::kQ8_0;
  EXPECT_EQ(OpenTiny(options)->decoder->kv_bytes(), kValues / 32 * 34);
}

TEST_F(DecoderTest, BlocksOf32NeedHeadsOfThatSize) {
  DecoderOptions options = kOptions;
  options.kv_type = KvType::kQ8_0;
  const auto runtime = OpenFixture("llama_tied", pool_, 1, options);
  EXPECT_EQ(runtime.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DecoderTest, LatentAttentionCachesTheLatentAndOneKey) {
  // Two layers of 12 + 4 float32 values, whatever the number of heads.
  EXPECT_EQ(Open("latent_split_grouped").decoder->kv_bytes(), uint64_t{2} * 16 * 4 * 3 * 16);
}

TEST_F(DecoderTest, WideRectifiedWindowChangesNothing) {
  const auto file = *TinyModel().Build();
  Runtime plain = *Runtime::Make(file, {}, kOptions, pool_);
  Runtime rectified = *Runtime::Make(file, {.rope_scaling = "rerope:window=16"}, kOptions, pool_);
  EXPECT_EQ(*rectified.Evaluate({3, 1, 4, 1, 5, 9}, 8), *plain.Evaluate({3, 1, 4, 1, 5, 9}, 8));
  EXPECT_GT(rectified.decoder->kv_bytes(), plain.decoder->kv_bytes());
}

TEST_F(DecoderTest, ExactSparsityIsTheSameAsDense) {
  const absl::StatusOr<std::shared_ptr<const GgufFile>> file = GgufFile::Open(FixturePath("llama_relu.gguf"));
  Runtime dense = *Runtime::Make(*file, {.sparsity = SparsityMode::kDense}, kOptions, pool_);
  Runtime exact = *Runtime::Make(*file, {.sparsity = SparsityMode::kExact}, kOptions, pool_);
  EXPECT_THAT(*exact.Evaluate(FixtureTokens(), 8),
              Pointwise(FloatNear(1e-5f), *dense.Evaluate(FixtureTokens(), 8)));
  const DeviceCounters counters = exact.devices.share->locals()[0]->counters();
  EXPECT_LT(counters.neurons_computed[0], counters.neurons_held[0]);
  EXPECT_GT(counters.neurons_computed[0], 0u);
}

TEST_F(DecoderTest, BytesTouchedGrowWithEveryStep) {
  Runtime runtime = Open("llama_tied");
  ASSERT_TRUE(runtime.Evaluate({1}, 8).ok());
  const auto touched = [&] {
    return runtime.decoder->bytes_touched() + runtime.devices.share->locals()[0]->counters().bytes_touched;
  };
  const uint64_t first = touched();
  EXPECT_GT(first, 0u);
  const BatchRow row{0, 1, 2, true};
  std::vector<float> logits(24);
  ASSERT_TRUE(runtime.decoder->Step({&row, 1}, absl::MakeSpan(logits)).ok());
  // The second position reads the cache of two.
  EXPECT_GT(touched() - first, first);
}

// A device that holds one kind of work of a layer and fails, or writes garbage, when told to.
class FailingDevice : public Device {
 public:
  const std::string& name() const override { return name_; }
  bool Holds(Work work, uint32_t layer) const override { return work == held_work && layer == held_layer; }
  Ticket Submit(const Request&) override { return ++submitted; }
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override {
    EXPECT_EQ(ticket, ++collected);
    for (int64_t& sum : sums) sum = AddFixedPoint(sum, garbage);
    return fail ? absl::UnavailableError("gone") : absl::OkStatus();
  }
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange&) override {
    return absl::UnavailableError("gone");
  }
  absl::Status WriteKv(const KvRange&, absl::Span<const uint8_t>) override {
    return absl::UnavailableError("gone");
  }
  DeviceCounters counters() const override { return {}; }

  Work held_work = Work::kFfn;
  uint32_t held_layer = 1;
  bool fail = false;
  int64_t garbage = 0;  // added to all sums
  Ticket submitted = 0;
  Ticket collected = 0;

 private:
  std::string name_ = "failing";
};

TEST_F(DecoderTest, LostDeviceEndsTheStepAndTheSequenceCanStartAgain) {
  for (const std::string fixture : {"llama_tied", "parallel_windows"}) {
    Runtime runtime = Open(fixture);
    const std::vector<float> before = *runtime.Evaluate({3, 1, 4}, 8, 0);
    FailingDevice device;
    std::vector<Device*> devices = runtime.devices.share->devices();
    devices.push_back(&device);
    runtime.decoder->SetDevices(devices);
    device.fail = true;
    for (const Work work : {Work::kMix, Work::kFfn}) {
      device.held_work = work;
      EXPECT_EQ(runtime.Evaluate({3, 1, 4}, 8, 1).status().code(), absl::StatusCode::kUnavailable);
      EXPECT_EQ(runtime.decoder->SequenceLength(1), 0u);
    }
    EXPECT_EQ(device.submitted, device.collected);
    runtime.decoder->SetDevices(runtime.devices.share->devices());
    EXPECT_EQ(*runtime.Evaluate({3, 1, 4}, 8, 1), before) << fixture;
  }
}

// One step of sequence 0 with the tokens from `begin` to `end`; all logits.
absl::StatusOr<std::vector<float>> StepOf(Runtime& runtime, const std::vector<TokenId>& tokens,
                                          uint32_t begin, uint32_t end) {
  std::vector<BatchRow> rows;
  for (uint32_t t = begin; t < end; ++t) rows.push_back({0, t, tokens[t], true});
  std::vector<float> logits(rows.size() * 24);
  HEARTH_RETURN_IF_ERROR(runtime.decoder->Step(rows, absl::MakeSpan(logits)));
  return logits;
}

// Steps fail in each layer, at the start and in the middle of a sequence, and are repeated in other pieces.
TEST_F(DecoderTest, RepeatedStepGivesTheBitsOfAnUnbrokenRun) {
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  for (const std::string fixture : {"llama_tied", "short_convolution", "latent_split_grouped"}) {
    const std::vector<float> unbroken = *Open(fixture).Evaluate(tokens, 8);
    for (const uint32_t lost_layer : {0u, 1u}) {
      Runtime runtime = Open(fixture);
      FailingDevice lost;
      lost.held_layer = lost_layer;
      lost.fail = true;
      std::vector<Device*> with_lost = runtime.devices.share->devices();
      with_lost.push_back(&lost);
      std::vector<float> logits;
      uint32_t begin = 0;
      for (const uint32_t end : {2u, 3u, 6u, 8u}) {
        runtime.decoder->SetDevices(with_lost);
        ASSERT_EQ(StepOf(runtime, tokens, begin, 8).status().code(), absl::StatusCode::kUnavailable);
        ASSERT_EQ(runtime.decoder->SequenceLength(0), begin);
        runtime.decoder->SetDevices(runtime.devices.share->devices());
        const std::vector<float> part = *StepOf(runtime, tokens, begin, end);
        logits.insert(logits.end(), part.begin(), part.end());
        begin = end;
      }
      EXPECT_EQ(logits, unbroken) << fixture << ", layer " << lost_layer;
    }
  }
}

TEST_F(DecoderTest, DamagedWeightsGiveNoNumbersAndTheDecoderGoesOn) {
  for (const float damage : {std::numeric_limits<float>::quiet_NaN(), 3e38f}) {
    for (const KvType kv_type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      TinyModel tiny;
      tiny.Fill("blk.0.attn_k.weight", damage);
      tiny.Fill("blk.0.attn_v.weight", damage);
      auto runtime =
          Runtime::Make(*tiny.Build(), {}, {.sequences = 1, .context_length = 8, .kv_type = kv_type}, pool_);
      ASSERT_TRUE(runtime.ok()) << runtime.status();
      for (uint32_t position = 0; position < 3; ++position) {
        std::vector<float> logits(20);
        const BatchRow row{0, position, 1, true};
        EXPECT_TRUE(runtime->decoder->Step({&row, 1}, absl::MakeSpan(logits)).ok());
      }
    }
  }
}

// With and without a norm before attention: without one garbage reaches the cache as it is.
TEST_F(DecoderTest, GarbageSumsOfADeviceSpoilNoSequenceButTheirOwn) {
  for (const std::string fixture : {"llama_tied", "norms_inside", "post_norms"}) {
    for (const KvType kv_type : {KvType::kF32, KvType::kF16}) {
      DecoderOptions options = kOptions;
      options.kv_type = kv_type;
      Runtime runtime = *OpenFixture(fixture, pool_, 1, options);
      const std::vector<float> before = *runtime.Evaluate({3, 1, 4}, 8, 0);
      FailingDevice device;
      std::vector<Device*> devices = runtime.devices.share->devices();
      devices.push_back(&device);
      runtime.decoder->SetDevices(devices);
      for (const Work work : {Work::kMix, Work::kFfn}) {
        for (const uint32_t layer : {0u, 1u}) {
          for (const int64_t garbage :
               {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), int64_t{1} << 50}) {
            device.held_work = work;
            device.held_layer = layer;
            device.garbage = garbage;
            for (const size_t chunk : {8, 1}) {
              EXPECT_TRUE(runtime.decoder->Truncate(1, 0).ok());
              EXPECT_TRUE(runtime.Evaluate({3, 1, 4}, chunk, 1).ok()) << fixture;
            }
          }
        }
      }
      device.garbage = 0;
      EXPECT_TRUE(runtime.decoder->Truncate(1, 0).ok());
      EXPECT_EQ(*runtime.Evaluate({3, 1, 4}, 8, 1), before) << fixture;
    }
  }
}

// Copies a fixture to where it may be damaged.
std::string CopyOfFixture(const std::string& name) {
  const std::string path = ::testing::TempDir() + name + ".gguf";
  std::filesystem::copy_file(FixturePath(name + ".gguf"), path,
                             std::filesystem::copy_options::overwrite_existing);
  return path;
}

TEST_F(DecoderTest, FileCutShortWhileItIsUsedEndsStepsWithAnError) {
  for (const std::string fixture : {"llama_tied", "latent_one_piece_yarn"}) {
    const std::string path = CopyOfFixture(fixture);
    auto damaged = Runtime::Make(*GgufFile::Open(path), {}, kOptions, pool_);
    ASSERT_TRUE(damaged.ok()) << damaged.status();
    Runtime whole = Open("llama_relu");
    ASSERT_TRUE(damaged->Evaluate({3, 1, 4}, 8).ok());
    std::filesystem::resize_file(path, 100);
    for (int i = 0; i < 2; ++i) {
      const absl::Status status = damaged->decoder->Truncate(0, 0);
      EXPECT_EQ(damaged->Evaluate({3, 1, 4}, 8).status().code(), absl::StatusCode::kDataLoss) << status;
    }
    EXPECT_TRUE(whole.Evaluate({3, 1, 4}, 8).ok());
  }
}

TEST_F(DecoderTest, FileReplacedWhileItIsUsedGivesTheSameResults) {
  const std::string path = CopyOfFixture("llama_tied");
  auto runtime = Runtime::Make(*GgufFile::Open(path), {}, kOptions, pool_);
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  const std::vector<float> before = *runtime->Evaluate({3, 1, 4}, 8, 0);
  std::filesystem::rename(CopyOfFixture("llama_relu"), path);
  EXPECT_EQ(*runtime->Evaluate({3, 1, 4}, 8, 1), before);
}

}  // namespace
}  // namespace hearth
