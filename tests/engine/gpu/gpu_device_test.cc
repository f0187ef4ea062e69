#include "engine/device/gpu_device.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>

#include "engine/device/host_share.h"
#include "engine/model/decoder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cuda_emu/emulator_control.h"
#include "tests/engine/gpu/gpu_fixture.h"
#include "tests/engine/model/fixture.h"
#include "tests/support/local_devices.h"

namespace hearth {
namespace {

using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr const char* kDemo = "deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf";
constexpr DecoderOptions kOptions{.sequences = 2, .context_length = 64, .max_rows = 16};
const std::vector<TokenId> kPrompt = {1, 300, 45, 77, 12, 5, 400, 9, 31, 2};

class GpuDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    cuda_emu::SetThreadOrder(cuda_emu::ThreadOrder::kForward);
    cuda_emu::SetLazyStreams(true);
  }

  void Open(SparsityMode mode, DecoderOptions options = kOptions, Arithmetic arithmetic = Arithmetic::kFast) {
    options_ = options;
    model_ = Model::Load(GgufFile::Open(path_).value(), {.sparsity = mode, .arithmetic = arithmetic}, pool_)
                 .value();
  }

  // Logits of a prompt and of some tokens that follow one by one, and the likeliest token after each.
  struct Run {
    std::vector<std::vector<float>> logits;
    std::vector<TokenId> tokens;
  };
  Run Generate(const std::vector<Device*>& devices, size_t count = 5) {
    std::unique_ptr<Decoder> decoder = Decoder::Create(model_, options_, pool_).value();
    decoder->SetDevices(devices);
    Run run;
    std::vector<TokenId> next = kPrompt;
    for (size_t i = 0; i < count; ++i) {
      std::vector<BatchRow> rows;
      for (const TokenId token : next) {
        rows.push_back({0, decoder->SequenceLength(0) + static_cast<uint32_t>(rows.size()),
                        token % static_cast<TokenId>(model_->spec().n_vocab), false, i == 0});
      }
      rows.back().want_logits = true;
      std::vector<float> logits(model_->spec().n_vocab);
      const absl::Status status = decoder->Step(rows, absl::MakeSpan(logits));
      EXPECT_TRUE(status.ok()) << status;
      const auto best = std::max_element(logits.begin(), logits.end());
      next = {static_cast<TokenId>(best - logits.begin())};
      run.tokens.push_back(next[0]);
      run.logits.push_back(std::move(logits));
    }
    return run;
  }
  LocalDevices Make(const LocalDeviceCounts& counts) {
    return LocalDevices::Make(*model_, options_, counts, pool_).value();
  }

  // Root of the mean square of what two runs differ in.
  static double Difference(const Run& a, const Run& b) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < a.logits.size(); ++i) {
      for (size_t v = 0; v < a.logits[i].size(); ++v, ++count) {
        const double difference = a.logits[i][v] - b.logits[i][v];
        sum += difference * difference;
      }
    }
    return std::sqrt(sum / count);
  }

  // In fast arithmetic the last bits of a sum may move the next layer's input by a step of an 8-bit code, and
  // every later step with it: two devices are two roundings of the same values, and neither may be further
  // from float32 than that rounding takes the CPU.
  static void ExpectRoundedAlike(const Run& gpu, const Run& cpu, const Run& cpu_float) {
    EXPECT_EQ(cpu.tokens, gpu.tokens);
    const double rounding = Difference(cpu, cpu_float);
    EXPECT_GT(rounding, 0);
    EXPECT_LT(rounding, 0.05);
    EXPECT_LT(Difference(gpu, cpu_float), 1.5 * rounding);
    EXPECT_LT(Difference(gpu, cpu), 1.5 * rounding);
  }

  // In float32 devices differ in the order of sums alone.
  void ExpectWhatCpuGenerates(SparsityMode mode, const LocalDeviceCounts& counts) {
    SCOPED_TRACE(SparsityModeName(mode));
    const auto runs = [&](Arithmetic arithmetic) {
      Open(mode, kOptions, arithmetic);
      return std::pair(Generate(Make({.cpus = 1}).share->devices()), Generate(Make(counts).share->devices()));
    };
    const auto [cpu_float, gpu_float] = runs(Arithmetic::kFloat32);
    EXPECT_EQ(cpu_float.tokens, gpu_float.tokens);
    for (size_t i = 0; i < cpu_float.logits.size(); ++i) {
      EXPECT_THAT(gpu_float.logits[i], Pointwise(FloatNear(1e-3), cpu_float.logits[i])) << "step " << i;
    }
    const auto [cpu_fast, gpu_fast] = runs(Arithmetic::kFast);
    ExpectRoundedAlike(gpu_fast, cpu_fast, cpu_float);
  }

  std::string path_ = kDemo;
  ThreadPool pool_{2};
  DecoderOptions options_ = kOptions;
  std::shared_ptr<const Model> model_;
};

TEST_F(GpuDeviceTest, GpuAloneGeneratesWhatACpuDoes) {
  for (const SparsityMode mode : {SparsityMode::kDense, SparsityMode::kExact, SparsityMode::kPredicted}) {
    ExpectWhatCpuGenerates(mode, {.cpus = 1, .gpus = 1, .gpus_alone = true});
  }
}

TEST_F(GpuDeviceTest, GpuAndCpuShareEveryLayer) {
  for (const SparsityMode mode : {SparsityMode::kDense, SparsityMode::kPredicted}) {
    const LocalDeviceCounts counts{.cpus = 1, .gpus = 1};
    ExpectWhatCpuGenerates(mode, counts);
    const LocalDevices both = Make(counts);
    Generate(both.share->devices());
    for (const LocalDevice* device : both.share->locals()) {
      for (const uint64_t neurons : device->counters().neurons_held) EXPECT_GT(neurons, 0);
      EXPECT_GT(device->counters().bytes_touched, 0);
    }
  }
}

TEST_F(GpuDeviceTest, ResultsDoNotDependOnHowManyGpusShareEachLayer) {
  Open(SparsityMode::kPredicted);
  const LocalDevices two = Make({.cpus = 1, .gpus = 2, .gpus_alone = true});
  const LocalDevices three = Make({.cpus = 1, .gpus = 3, .gpus_alone = true});
  EXPECT_EQ(Generate(two.share->devices()).logits, Generate(three.share->devices()).logits);
}

TEST_F(GpuDeviceTest, GpuThatHoldsLayersWholeRunsThemInOneCall) {
  Open(SparsityMode::kPredicted);
  const LocalDevices alone = Make({.cpus = 1, .gpus = 1, .gpus_alone = true});
  const LocalDevices shared = Make({.cpus = 1, .gpus = 1});
  const uint32_t layers = model_->spec().n_layers;
  EXPECT_EQ(alone.share->locals()[1]->WholeLayersFrom(0), layers);
  EXPECT_EQ(alone.share->locals()[1]->WholeLayersFrom(2), layers);
  EXPECT_EQ(shared.share->locals()[1]->WholeLayersFrom(0), 0);
  EXPECT_EQ(shared.share->locals()[0]->WholeLayersFrom(0), 0);
  // One launch for all layers of a token and one for the output head, once they were recorded.
  Generate(alone.share->devices(), 3);
  const int64_t before = cuda_emu::LaunchCount();
  std::unique_ptr<Decoder> decoder = Decoder::Create(model_, options_, pool_).value();
  decoder->SetDevices(alone.share->devices());
  std::vector<float> logits(model_->spec().n_vocab);
  const std::vector<BatchRow> rows = {{1, 0, 1, true, false}};
  ASSERT_TRUE(decoder->Step(rows, absl::MakeSpan(logits)).ok());
  EXPECT_EQ(cuda_emu::LaunchCount() - before, 2);
}

TEST_F(GpuDeviceTest, LongPromptsAreTheSameInOnePieceAndInSeveral) {
  DecoderOptions options = kOptions;
  options.context_length = 300;  // more than one chunk of positions
  options.max_rows = 160;
  std::vector<TokenId> prompt;
  for (TokenId i = 0; i < 150; ++i) prompt.push_back(1 + i * 7 % 500);
  const auto last_logits = [&](const std::vector<Device*>& devices, size_t piece) {
    std::unique_ptr<Decoder> decoder = Decoder::Create(model_, options_, pool_).value();
    decoder->SetDevices(devices);
    std::vector<float> logits(model_->spec().n_vocab);
    for (size_t begin = 0; begin < prompt.size(); begin += piece) {
      std::vector<BatchRow> rows;
      for (size_t t = begin; t < std::min(begin + piece, prompt.size()); ++t) {
        rows.push_back({0, static_cast<uint32_t>(t), prompt[t], t + 1 == prompt.size(), true});
      }
      const bool wants = rows.back().want_logits;
      EXPECT_TRUE(decoder->Step(rows, absl::MakeSpan(logits).first(wants ? logits.size() : 0)).ok());
    }
    return Run{{logits},
               {static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin())}};
  };
  Open(SparsityMode::kDense, options, Arithmetic::kFloat32);
  const Run exact = last_logits(Make({.cpus = 1}).share->devices(), 150);
  Open(SparsityMode::kDense, options);
  const LocalDevices gpu = Make({.cpus = 1, .gpus = 1, .gpus_alone = true});
  const Run whole = last_logits(gpu.share->devices(), 150);
  EXPECT_EQ(whole.logits, last_logits(gpu.share->devices(), 64).logits);
  ExpectRoundedAlike(whole, last_logits(Make({.cpus = 1}).share->devices(), 150), exact);
}

TEST_F(GpuDeviceTest, ResultsDoNotDependOnTheOrderOfThreadsOrStreams) {
  Open(SparsityMode::kPredicted);
  const LocalDevices gpu = Make({.cpus = 1, .gpus = 1, .gpus_alone = true});
  const Run forward = Generate(gpu.share->devices(), 3);
  for (const GpuSetting& setting : kGpuSettings) {
    if (setting.kind != gpu::GpuKind::kEmulated) continue;
    cuda_emu::SetThreadOrder(setting.order, 3);
    cuda_emu::SetLazyStreams(setting.lazy);
    EXPECT_EQ(forward.logits, Generate(gpu.share->devices(), 3).logits) << setting.name;
  }
}

TEST_F(GpuDeviceTest, CachedPositionsMoveBetweenGpuAndCpu) {
  const std::pair<std::string, KvType> caches[] = {{kDemo, KvType::kF32},
                                                   {kDemo, KvType::kF16},
                                                   {kDemo, KvType::kQ8_0},
                                                   {FixturePath("latent_split_grouped.gguf"), KvType::kF16}};
  for (const auto& [path, type] : caches) {
    SCOPED_TRACE(path);
    path_ = path;
    DecoderOptions options = kOptions;
    options.kv_type = type;
    Open(SparsityMode::kDense, options);
    const LocalDevices cpu = Make({.cpus = 1}), gpu = Make({.cpus = 1, .gpus = 1, .gpus_alone = true});
    Generate(gpu.share->devices(), 2);
    LocalDevice& from = *gpu.share->locals()[1];
    LocalDevice& to = *cpu.share->locals()[0];
    const KvRange range{.layer = 1, .group = 0, .sequence = 0, .begin = 2, .end = 9};
    const std::vector<uint8_t> bytes = from.ReadKv(range).value();
    EXPECT_TRUE(std::any_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte != 0; }));
    ASSERT_TRUE(to.WriteKv(range, bytes).ok());
    EXPECT_EQ(to.ReadKv(range).value(), bytes);
    const KvRange other{.layer = 1, .group = 0, .sequence = 1, .begin = 0, .end = 7};
    ASSERT_TRUE(from.WriteKv(other, bytes).ok());
    EXPECT_EQ(from.ReadKv(other).value(), bytes);
  }
}

TEST_F(GpuDeviceTest, CacheRangesThatCannotBeAreRefused) {
  Open(SparsityMode::kDense);
  const LocalDevices gpu = Make({.cpus = 1, .gpus = 1, .gpus_alone = true});
  LocalDevice& device = *gpu.share->locals()[1];
  EXPECT_TRUE(absl::IsInvalidArgument(device.ReadKv({99, 0, 0, 0, 1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(device.ReadKv({0, 99, 0, 0, 1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(device.ReadKv({0, 0, 2, 0, 1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(device.ReadKv({0, 0, 0, 0, 65}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(device.WriteKv({0, 0, 0, 0, 1}, {1, 2, 3})));
}

TEST_F(GpuDeviceTest, FailedAllocationAnywhereIsAnErrorAndLosesNothing) {
  Open(SparsityMode::kPredicted);
  const int64_t before = cuda_emu::LiveAllocations();
  bool failed = true;
  int64_t sites = 0;
  for (; failed; ++sites) {
    ASSERT_LT(sites, 10000);
    cuda_emu::FailAllocationAfter(sites);
    const absl::StatusOr<LocalDevices> devices =
        LocalDevices::Make(*model_, options_, {.cpus = 1, .gpus = 1, .gpus_alone = true}, pool_);
    cuda_emu::FailAllocationAfter(-1);
    failed = !devices.ok();
    if (failed) {
      EXPECT_EQ(devices.status().code(), absl::StatusCode::kResourceExhausted) << devices.status();
      ASSERT_EQ(cuda_emu::LiveAllocations(), before) << "site " << sites;
    }
  }
  EXPECT_GT(sites, 100);
  EXPECT_EQ(cuda_emu::LiveAllocations(), before);
}

TEST_F(GpuDeviceTest, LaunchThatFailsLosesTheDeviceForGood) {
  Open(SparsityMode::kDense);
  {
    const LocalDevices gpu = Make({.cpus = 1, .gpus = 1, .gpus_alone = true});
    std::unique_ptr<Decoder> decoder = Decoder::Create(model_, options_, pool_).value();
    decoder->SetDevices(gpu.share->devices());
    cuda_emu::FailLaunchAfter(0);
    std::vector<float> logits(model_->spec().n_vocab);
    const std::vector<BatchRow> rows = {{0, 0, 1, true, true}};
    for (int i = 0; i < 2; ++i) {
      const absl::Status status = decoder->Step(rows, absl::MakeSpan(logits));
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("gpu0"));
    }
    cuda_emu::FailLaunchAfter(-1);
    cuda_emu::ClearErrors();
  }
}

TEST_F(GpuDeviceTest, BudgetIsNeverExceededWhateverThePlan) {
  Open(SparsityMode::kPredicted);
  const ModelOutline& outline = model_->outline();
  const std::vector<UnitId> units = DeviceShare::Everything(outline).units();
  std::mt19937 random(1);
  int loaded = 0, refused = 0;
  for (int plan = 0; plan < 1000; ++plan) {
    const uint64_t budget = uint64_t{1} << (14 + random() % 10);
    std::shared_ptr<GpuMemory> memory = *GpuMemory::Open(gpu::GpuKind::kEmulated, 0, budget);
    HostDevices devices({{"cpu", 1}, {"gpu", 1, budget, memory}}, &pool_);
    std::vector<DeviceShare> shares(2, DeviceShare::Nothing(outline.spec.n_layers));
    const size_t wanted = random() % 16;
    std::vector<UnitId> chosen;
    std::sample(units.begin(), units.end(), std::back_inserter(chosen), wanted, random);
    std::sort(chosen.begin(), chosen.end());
    for (const UnitId& unit : chosen) shares[1].Add(unit);
    HostShare share(model_->shared_outline(), options_, shares, devices);
    FileSource source(model_->shared_file(), model_->shared_outline());
    const absl::Status status = share.Load(source, pool_);
    ASSERT_LE(memory->used_bytes(), budget);
    (status.ok() ? loaded : refused) += 1;
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace hearth
