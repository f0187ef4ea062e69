#include "engine/device/cpu_device.h"

#include <gtest/gtest.h>

#include "engine/device/async_device.h"
#include "engine/device/device_set.h"
#include "engine/kernel/fixed_point.h"
#include "engine/kernel/neuron_rows.h"
#include "tests/engine/device/ffn_device.h"

namespace hearth {
namespace {

constexpr uint32_t kEmbd = 48;
constexpr uint32_t kRows = 3;

FfnLayerSpec GatedSpec(Activation activation) {
  FfnLayerSpec spec;
  spec.n_embd = kEmbd;
  spec.activation = activation;
  spec.gate.present = true;
  return spec;
}

std::vector<GroupWeights> WeightsInFile(const FfnFixture& ffn, const std::vector<NeuronGroup>& groups) {
  std::vector<GroupWeights> weights;
  for (const NeuronGroup& group : groups) {
    weights.push_back(*GroupWeights::FromFile(ffn.spec(), ffn.source(), group));
  }
  return weights;
}

// Runs a request on devices and returns the sums.
std::vector<int64_t> Sums(const FfnLayerSpec& spec, std::vector<Device*> devices, const std::vector<float>& x,
                          absl::Span<const BlockChoice> choices = {}, const float* hidden = nullptr) {
  FfnRequest request;
  request.rows = static_cast<uint32_t>(x.size() / kEmbd);
  request.x = x.data();
  request.hidden = hidden;
  request.choices = choices;
  request.choices_per_row = static_cast<uint32_t>(choices.size() / request.rows);
  request.output_values = spec.output_values();
  std::vector<int64_t> sums(request.rows * spec.output_values());
  DeviceSet set(std::move(devices));
  set.Submit(request);
  const absl::Status status = set.Collect(Work::kFfn, absl::MakeSpan(sums));
  EXPECT_TRUE(status.ok()) << status;
  return sums;
}

void ExpectRowsNear(const FfnFixture& ffn, const std::vector<int64_t>& sums, const std::vector<float>& x,
                    absl::Span<const BlockChoice> choices) {
  const size_t per_row = choices.size() / kRows;
  for (uint32_t row = 0; row < kRows; ++row) {
    const std::vector<double> expected =
        ffn.Expected(x.data() + row * kEmbd, choices.subspan(row * per_row, per_row),
                     [](uint32_t, uint32_t) { return true; });
    std::vector<float> y(kEmbd);
    FixedPointToFloat(sums.data() + row * ffn.spec().output_values(), kEmbd, y.data());
    for (uint32_t c = 0; c < kEmbd; ++c)
      EXPECT_NEAR(y[c], expected[c], 2e-4) << "row " << row << " value " << c;
  }
}

const std::vector<BlockChoice> kWholeBlock(kRows, BlockChoice{0, 1.0f});

// Every mechanism of the spec, dense and sparse.
struct Case {
  const char* name;
  FfnLayerSpec spec;
  SparsityMode mode;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  cases.push_back({"silu", GatedSpec(Activation::kSilu), SparsityMode::kDense});
  FfnLayerSpec biased = GatedSpec(Activation::kSilu);
  biased.gate_bias = biased.up_bias = biased.down_bias = true;
  cases.push_back({"silu_biased", biased, SparsityMode::kDense});
  FfnLayerSpec plain = GatedSpec(Activation::kReluSquared);
  plain.gate.present = false;
  plain.up_bias = true;
  cases.push_back({"relu2_ungated", plain, SparsityMode::kDense});
  cases.push_back({"relu2_ungated_exact", plain, SparsityMode::kExact});
  FfnLayerSpec bamboo = GatedSpec(Activation::kRelu);
  bamboo.relu_up = bamboo.neuron_major = bamboo.down_bias = true;
  cases.push_back({"bamboo", bamboo, SparsityMode::kDense});
  cases.push_back({"bamboo_exact", bamboo, SparsityMode::kExact});
  cases.push_back({"relu_exact", GatedSpec(Activation::kRelu), SparsityMode::kExact});
  return cases;
}

class CpuDeviceCase : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Specs, CpuDeviceCase, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(CpuDeviceCase, ComputesTheLayer) {
  const FfnFixture ffn(GetParam().spec, 1, 100);
  ThreadPool pool(2);
  const auto groups = MakeNeuronGroups(ffn.spec(), {});
  const auto device = MakeFfnDevice(ffn, pool, GetParam().mode, groups, [](size_t) { return true; });
  const std::vector<float> x = RandomRows(kRows * kEmbd, 7);
  ExpectRowsNear(ffn, Sums(ffn.spec(), {device.get()}, x), x, kWholeBlock);
}

TEST_P(CpuDeviceCase, SplitOverDevicesGivesTheSameBits) {
  const FfnFixture ffn(GetParam().spec, 1, 100);
  ThreadPool one(1), three(3);
  const auto groups = MakeNeuronGroups(ffn.spec(), {});
  const auto whole = MakeFfnDevice(ffn, one, GetParam().mode, groups, [](size_t) { return true; });
  const auto even = MakeFfnDevice(ffn, one, GetParam().mode, groups, [](size_t g) { return g % 2 == 0; });
  const auto odd = MakeFfnDevice(ffn, three, GetParam().mode, groups, [](size_t g) { return g % 2 == 1; });
  const std::vector<float> x = RandomRows(kRows * kEmbd, 8);
  const auto expected = Sums(ffn.spec(), {whole.get()}, x);
  EXPECT_EQ(Sums(ffn.spec(), {even.get(), odd.get()}, x), expected);
  EXPECT_EQ(Sums(ffn.spec(), {odd.get(), even.get()}, x), expected);
}

TEST(CpuDevice, ExactGivesTheBitsOfDenseAndComputesFewerNeurons) {
  FfnLayerSpec spec = GatedSpec(Activation::kRelu);
  spec.neuron_major = true;
  const FfnFixture ffn(spec, 1, 96);
  ThreadPool pool(2);
  const auto groups = MakeNeuronGroups(ffn.spec(), {});
  const auto dense = MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t) { return true; });
  const auto exact = MakeFfnDevice(ffn, pool, SparsityMode::kExact, groups, [](size_t) { return true; });
  const std::vector<float> x = RandomRows(kRows * kEmbd, 9);
  EXPECT_EQ(Sums(ffn.spec(), {dense.get()}, x), Sums(ffn.spec(), {exact.get()}, x));
  EXPECT_EQ(dense->counters().neurons_computed[0], kRows * 96u);
  EXPECT_LT(exact->counters().neurons_computed[0], kRows * 70u);
  EXPECT_GT(exact->counters().neurons_computed[0], kRows * 25u);
}

TEST(CpuDevice, SaysHowOftenItsNeuronsFire) {
  const FfnFixture ffn(GatedSpec(Activation::kRelu), 1, 96);
  ThreadPool pool(2);
  const auto odd = MakeFfnDevice(ffn, pool, SparsityMode::kExact, MakeNeuronGroups(ffn.spec(), {}),
                                 [](size_t g) { return g % 2 == 1; });
  EXPECT_TRUE(odd->firing().empty());
  Sums(ffn.spec(), {odd.get()}, RandomRows(kRows * kEmbd, 9));
  const std::vector<LayerFiring> firing = odd->firing();
  ASSERT_EQ(firing.size(), 1u);
  EXPECT_EQ(firing[0].layer, 0u);
  EXPECT_EQ(firing[0].rows, 1u);
  ASSERT_EQ(firing[0].shares.size(), 1u);
  EXPECT_GT(firing[0].shares[0], 0.2f);
  EXPECT_LT(firing[0].shares[0], 0.8f);
}

TEST(CpuDevice, PredictedComputesOnlyWhatThePredictorKeeps) {
  FfnLayerSpec spec = GatedSpec(Activation::kRelu);
  spec.neuron_major = true;
  spec.predictor_rank = 5;
  spec.sparse_threshold = 0.25f;
  const FfnFixture ffn(spec, 1, 64);
  ThreadPool pool(2);
  const auto device = MakeFfnDevice(ffn, pool, SparsityMode::kPredicted, MakeNeuronGroups(ffn.spec(), {}),
                                    [](size_t) { return true; });
  const std::vector<float> x = RandomRows(kEmbd, 10);
  const std::vector<float> hidden = RandomRows(5, 11);
  const auto sums = Sums(ffn.spec(), {device.get()}, x, {}, hidden.data());
  const auto kept = [&](uint32_t, uint32_t i) {
    double logit = 0;
    for (uint32_t r = 0; r < 5; ++r) logit += ffn.At(ffn.source().blocks[0].predictor, i, r) * hidden[r];
    return logit >= 0.25;
  };
  const std::vector<double> expected = ffn.Expected(x.data(), {{0, 1.0f}}, kept);
  for (uint32_t c = 0; c < kEmbd; ++c) EXPECT_NEAR(FromFixedPoint(sums[c]), expected[c], 2e-4);
}

TEST(CpuDevice, RoutedRowsUseTheirOwnExpertsAndWeights) {
  for (const bool weight_on_input : {false, true}) {
    FfnLayerSpec spec = GatedSpec(Activation::kSilu);
    spec.weight_on_input = weight_on_input;
    spec.down_bias = true;
    const FfnFixture ffn(spec, 4, 40);
    ThreadPool pool(2);
    const auto groups = MakeNeuronGroups(ffn.spec(), {});
    const auto first = MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t g) { return g < 2; });
    const auto second =
        MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t g) { return g >= 2; });
    const std::vector<float> x = RandomRows(kRows * kEmbd, 12);
    const std::vector<BlockChoice> choices = {{1, 0.7f}, {3, 0.3f}, {0, 1.0f},
                                              {2, 0.5f}, {3, 0.9f}, {1, 0.1f}};
    ExpectRowsNear(ffn, Sums(ffn.spec(), {first.get(), second.get()}, x, choices), x, choices);
  }
}

TEST(CpuDevice, NormalisedHiddenReturnsItsSumOfSquares) {
  FfnLayerSpec spec = GatedSpec(Activation::kReluSquared);
  spec.normalize_hidden = true;
  const FfnFixture ffn(spec, 1, 64);
  ThreadPool pool(2);
  const auto groups = MakeNeuronGroups(ffn.spec(), {});
  const auto whole = MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t) { return true; });
  const auto even =
      MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t g) { return g % 2 == 0; });
  const auto odd =
      MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t g) { return g % 2 == 1; });
  const std::vector<float> x = RandomRows(kEmbd, 13);
  const auto sums = Sums(ffn.spec(), {whole.get()}, x);
  EXPECT_GT(FromFixedPoint(sums[kEmbd]), 0.0f);
  EXPECT_EQ(Sums(ffn.spec(), {even.get(), odd.get()}, x), sums);
}

TEST(CpuDevice, BatchGivesTheBitsOfSingleRows) {
  const FfnFixture ffn(GatedSpec(Activation::kSilu), 1, 100);
  ThreadPool pool(2);
  const auto device = MakeFfnDevice(ffn, pool, SparsityMode::kDense, MakeNeuronGroups(ffn.spec(), {}),
                                    [](size_t) { return true; });
  const std::vector<float> x = RandomRows(kRows * kEmbd, 14);
  const auto batch = Sums(ffn.spec(), {device.get()}, x);
  for (uint32_t row = 0; row < kRows; ++row) {
    const std::vector<float> one(x.begin() + row * kEmbd, x.begin() + (row + 1) * kEmbd);
    const auto sums = Sums(ffn.spec(), {device.get()}, one);
    EXPECT_TRUE(std::equal(sums.begin(), sums.end(), batch.begin() + row * kEmbd));
  }
}

TEST(CpuDevice, AsyncDevicesWorkBesideTheCaller) {
  const FfnFixture ffn(GatedSpec(Activation::kSilu), 1, 100);
  ThreadPool pool(1), other(1);
  const auto groups = MakeNeuronGroups(ffn.spec(), {});
  const auto whole = MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t) { return true; });
  const auto even =
      MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t g) { return g % 2 == 0; });
  AsyncDevice odd(
      MakeFfnDevice(ffn, other, SparsityMode::kDense, groups, [](size_t g) { return g % 2 == 1; }));
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> x = RandomRows(kEmbd, seed);
    EXPECT_EQ(Sums(ffn.spec(), {&odd, even.get()}, x), Sums(ffn.spec(), {whole.get()}, x));
  }
  EXPECT_GT(odd.counters().neurons_computed[0], 0u);
}

TEST(CpuDevice, RefusesToLoadNoGroups) {
  const FfnFixture ffn(GatedSpec(Activation::kSilu), 1, 64);
  ThreadPool pool(1);
  FfnDevice device(ffn, pool);
  EXPECT_FALSE(device.Load(ffn, {}, SparsityMode::kDense, pool).ok());
  EXPECT_FALSE(device.Holds(Work::kFfn, 0));
}

TEST(CpuDevice, HoldsNothingOfALayerTheModelDoesNotHave) {
  const FfnFixture ffn(GatedSpec(Activation::kSilu), 1, 64);
  ThreadPool pool(1);
  const auto device = MakeFfnDevice(ffn, pool, SparsityMode::kDense, MakeNeuronGroups(ffn.spec(), {}),
                                    [](size_t) { return true; });
  EXPECT_TRUE(device->Holds(Work::kFfn, 0));
  EXPECT_FALSE(device->Holds(Work::kFfn, 1));
  EXPECT_FALSE(device->Holds(Work::kMix, 0));
  EXPECT_FALSE(device->Holds(Work::kOutput, 0));
}

TEST(CpuDevice, ComputesTheSameFromTheFileAsFromBundles) {
  for (const bool by_neuron : {false, true}) {
    FfnLayerSpec spec = GatedSpec(Activation::kRelu);
    spec.neuron_major = by_neuron;
    spec.up_bias = spec.down_bias = true;
    const FfnFixture ffn(spec, 1, 100);
    ThreadPool pool(2);
    const auto groups = MakeNeuronGroups(ffn.spec(), {}, 7);
    const auto bundles = MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, [](size_t) { return true; });
    FfnDevice file(ffn, pool);
    ASSERT_TRUE(file.Load(ffn, WeightsInFile(ffn, groups), SparsityMode::kDense, pool).ok());
    const std::vector<float> x = RandomRows(kEmbd, 3);
    EXPECT_EQ(Sums(ffn.spec(), {&file}, x), Sums(ffn.spec(), {bundles.get()}, x)) << by_neuron;
  }
}

TEST(AsyncDevice, SeveralRequestsAreInFlightAndCollectedInOrder) {
  const FfnFixture ffn(GatedSpec(Activation::kSilu), 1, 100);
  ThreadPool pool(1), other(1);
  const auto groups = MakeNeuronGroups(ffn.spec(), {});
  const auto all = [](size_t) { return true; };
  const auto reference = MakeFfnDevice(ffn, pool, SparsityMode::kDense, groups, all);
  AsyncDevice device(MakeFfnDevice(ffn, other, SparsityMode::kDense, groups, all));
  std::vector<std::vector<float>> inputs;
  for (uint64_t seed = 0; seed < Device::kMaxInFlight; ++seed) inputs.push_back(RandomRows(kEmbd, seed));
  for (int round = 0; round < 20; ++round) {
    std::vector<Ticket> tickets;
    for (const std::vector<float>& x : inputs) {
      tickets.push_back(device.Submit(FfnRequest{.rows = 1, .x = x.data(), .output_values = kEmbd}));
    }
    for (size_t i = 0; i < tickets.size(); ++i) {
      std::vector<int64_t> sums(kEmbd);
      ASSERT_TRUE(device.Collect(tickets[i], absl::MakeSpan(sums)).ok());
      EXPECT_EQ(sums, Sums(ffn.spec(), {reference.get()}, inputs[i]));
    }
  }
}

// A device that is lost when asked.
class LostDevice : public Device {
 public:
  const std::string& name() const override { return name_; }
  bool Holds(Work, uint32_t) const override { return true; }
  Ticket Submit(const Request&) override { return 1; }
  absl::Status Collect(Ticket, absl::Span<int64_t>) override {
    return absl::UnavailableError("host b is lost");
  }
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange&) override {
    return absl::UnavailableError("host b is lost");
  }
  absl::Status WriteKv(const KvRange&, absl::Span<const uint8_t>) override {
    return absl::UnavailableError("host b is lost");
  }
  DeviceCounters counters() const override { return {}; }

 private:
  std::string name_ = "lost";
};

TEST(DeviceSet, LostDeviceIsReportedAndTheOthersAreCollected) {
  const FfnFixture ffn(GatedSpec(Activation::kSilu), 1, 64);
  ThreadPool pool(1);
  AsyncDevice local(MakeFfnDevice(ffn, pool, SparsityMode::kDense, MakeNeuronGroups(ffn.spec(), {}),
                                  [](size_t) { return true; }));
  LostDevice lost;
  const std::vector<float> x = RandomRows(kEmbd, 3);
  const FfnRequest request{.rows = 1, .x = x.data(), .output_values = kEmbd};
  std::vector<int64_t> sums(kEmbd);
  DeviceSet both({&lost, &local});
  both.Submit(request);
  EXPECT_EQ(both.Collect(Work::kFfn, absl::MakeSpan(sums)).code(), absl::StatusCode::kUnavailable);
  // The local device is idle again and usable.
  DeviceSet one({&local});
  one.Submit(request);
  EXPECT_TRUE(one.Collect(Work::kFfn, absl::MakeSpan(sums)).ok());
}

}  // namespace
}  // namespace hearth
