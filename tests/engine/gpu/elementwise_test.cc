#include <algorithm>
#include <cmath>

#include "engine/kernel/fixed_point.h"
#include "engine/kernel/vector_ops.h"
#include "tests/engine/gpu/gpu_fixture.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

class ElementwiseTest : public GpuTest {};
INSTANTIATE_TEST_SUITE_P(All, ElementwiseTest, testing::ValuesIn(kGpuSettings), SettingName);

TEST_P(ElementwiseTest, ActivationsAreRoundedInBlocksWithTheirSums) {
  constexpr uint32_t kRows = 3, kCols = 544;  // the last block of 256 has one unit
  std::vector<float> x = RandomFloats(kRows * kCols, 1);
  std::fill_n(x.begin() + 32, 32, 0.0f);
  for (const gpu::GpuType type : {gpu::GpuType::kQ8_0, gpu::GpuType::kQ4_K}) {
    const uint32_t block = gpu::ActivationCols(type);
    GpuActivations activations = Activations(x, kRows, kCols);
    const gpu::GpuRows rounded = activations.For(type, false, kRows, *stream_);
    const std::vector<int8_t> codes = Read(rounded.codes, kRows * kCols);
    const std::vector<float> scales = Read(rounded.scales, kRows * kCols / 32);
    const std::vector<int32_t> sums = Read(rounded.half_sums, kRows * kCols / 32);
    for (uint32_t t = 0; t < kRows; ++t) {
      for (uint32_t begin = 0; begin < kCols; begin += block) {
        const uint32_t end = std::min(begin + block, kCols);
        float largest = 0;
        for (uint32_t c = begin; c < end; ++c) largest = std::max(largest, std::fabs(x[t * kCols + c]));
        for (uint32_t c = begin; c < end; ++c) {
          const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
          ASSERT_EQ(codes[t * kCols + c], std::nearbyint(x[t * kCols + c] * inverse)) << "column " << c;
          ASSERT_EQ(scales[(t * kCols + c) / 32], largest / 127.0f);
        }
      }
      for (uint32_t u = 0; u < kCols / 32; ++u) {
        int halves[2] = {0, 0};
        for (uint32_t i = 0; i < 32; ++i) halves[i / 16] += codes[t * kCols + u * 32 + i];
        const int32_t packed = sums[t * kCols / 32 + u];
        EXPECT_EQ(static_cast<int16_t>(packed & 0xffff), halves[0]);
        EXPECT_EQ(packed >> 16, halves[1]);
      }
    }
  }
}

TEST_P(ElementwiseTest, ValueThatIsNoNumberMakesItsBlockNone) {
  std::vector<float> x(64, 1.0f);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  GpuActivations activations = Activations(x, 1, 64);
  const gpu::GpuRows rounded = activations.For(gpu::GpuType::kQ8_0, false, 1, *stream_);
  const std::vector<float> scales = Read(rounded.scales, 2);
  EXPECT_TRUE(std::isnan(scales[0]));
  EXPECT_FALSE(std::isnan(scales[1]));
}

TEST_P(ElementwiseTest, EveryActivationIsTheCpus) {
  constexpr uint32_t kRows = 2, kNeurons = 70, kFilled = 96;
  ActivationParameters parameters;
  parameters.xielu_alpha_p = 0.8f;
  parameters.xielu_alpha_n = 0.7f;
  parameters.xielu_beta = 0.5f;
  parameters.xielu_eps = -1e-6f;
  const std::pair<Activation, gpu::GpuActivation> kinds[] = {
      {Activation::kSilu, gpu::GpuActivation::kSilu},
      {Activation::kGelu, gpu::GpuActivation::kGelu},
      {Activation::kRelu, gpu::GpuActivation::kRelu},
      {Activation::kReluSquared, gpu::GpuActivation::kReluSquared},
      {Activation::kXielu, gpu::GpuActivation::kXielu},
      {Activation::kSwigluOai, gpu::GpuActivation::kSwigluOai}};
  const std::vector<float> gate = RandomFloats(kRows * kNeurons, 2, 4),
                           up = RandomFloats(kRows * kNeurons, 3, 4);
  const GpuBuffer gates = Upload(gate), ups = Upload(up), factors = Upload(std::vector<float>{0.5f, 2.0f});
  for (const auto& [activation, on_gpu] : kinds) {
    for (const bool gated : {true, false}) {
      for (const bool relu_up : {false, true}) {
        if (!gated && (relu_up || activation == Activation::kSwigluOai)) continue;
        GpuActivations h = *GpuActivations::Create(*memory_, kRows, kFilled);
        gpu::ActivateArgs args;
        args.gate = gated ? gates.as<float>() : nullptr;
        args.up = ups.as<float>();
        args.stride = kNeurons;
        args.activation = on_gpu;
        args.alpha = parameters.alpha;
        args.limit = parameters.limit;
        args.xielu_alpha_p = parameters.xielu_alpha_p;
        args.xielu_alpha_n = parameters.xielu_alpha_n;
        args.xielu_beta = parameters.xielu_beta;
        args.xielu_eps = parameters.xielu_eps;
        args.relu_up = relu_up;
        args.factors = factors.as<float>();
        args.factor = 3;
        args.neurons = kNeurons;
        args.rows = kRows;
        args.h = h.RoundedBy(gpu::GpuType::kQ8_0, false);
        stream_->Activate(args);
        const std::vector<float> results = Read(h.values(), kRows * kFilled);
        for (uint32_t t = 0; t < kRows; ++t) {
          std::vector<float> expected(kNeurons);
          if (gated) {
            ActivateGated(activation, parameters, relu_up, gate.data() + t * kNeurons,
                          up.data() + t * kNeurons, kNeurons, expected.data());
          } else {
            Activate(activation, parameters, up.data() + t * kNeurons, kNeurons, expected.data());
          }
          for (uint32_t n = 0; n < kFilled; ++n) {
            const float factor = t == 0 ? 1.5f : 6.0f;
            const float value = n < kNeurons ? factor * expected[n] : 0.0f;
            ASSERT_NEAR(results[t * kFilled + n], value, 4e-6 * std::max(1.0f, std::fabs(value)))
                << "activation " << static_cast<int>(on_gpu) << ", neuron " << n;
          }
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, BranchIsNormedAddedAndTheNextNormMade) {
  constexpr uint32_t kRows = 2, kStride = 1056;
  for (const uint32_t cols : {40u, 1030u}) {
    for (const bool centered : {false, true}) {
      const std::vector<float> x = RandomFloats(kRows * kStride, 5),
                               branch = RandomFloats(kRows * cols, 6, 3.0f);
      const std::vector<float> weight = RandomFloats(cols, 7), bias = RandomFloats(cols, 8);
      std::vector<int64_t> sums;
      for (const float value : branch) sums.push_back(ToFixedPoint(value));
      const GpuBuffer x_rows = Upload(x), weights = Upload(weight), biases = Upload(bias),
                      sum_rows = UploadAll(sums);
      const GpuBuffer out = UploadAll(std::vector<float>(kRows * kStride, 9.0f));
      gpu::ResidualArgs args;
      args.sums = sum_rows.as<int64_t>();
      args.sums_stride = cols;
      args.scale = 0.5f;
      args.bias = biases.as<float>();
      args.post = {true, centered, 1e-5f, weights.as<float>(), nullptr};
      args.residual_scale = 2.0f;
      args.x = x_rows.as<float>();
      args.norm = {true, centered, 1e-5f, weights.as<float>(), biases.as<float>()};
      args.out = out.as<float>();
      args.stride = kStride;
      args.cols = cols;
      args.rows = kRows;
      stream_->Residual(args);
      const std::vector<float> new_x = Read(x_rows.as<float>(), kRows * kStride);
      const std::vector<float> normed = Read(out.as<float>(), kRows * kStride);
      const auto normalize = [&](const float* from, const float* with_bias, float* to) {
        if (centered) return LayerNorm(from, weight.data(), with_bias, 1e-5f, cols, to);
        RmsNorm(from, weight.data(), 1e-5f, cols, to);
        if (with_bias != nullptr) Add(with_bias, cols, to);
      };
      for (uint32_t t = 0; t < kRows; ++t) {
        std::vector<float> expected(cols), next(cols);
        for (uint32_t c = 0; c < cols; ++c) expected[c] = 0.5f * branch[t * cols + c] + bias[c];
        normalize(expected.data(), nullptr, expected.data());
        for (uint32_t c = 0; c < cols; ++c) expected[c] = x[t * kStride + c] + 2.0f * expected[c];
        normalize(expected.data(), bias.data(), next.data());
        for (uint32_t c = 0; c < kStride; ++c) {
          ASSERT_NEAR(new_x[t * kStride + c], c < cols ? expected[c] : x[t * kStride + c], 1e-5)
              << "column " << c;
          ASSERT_NEAR(normed[t * kStride + c], c < cols ? next[c] : 0.0f, 2e-5) << "column " << c;
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, RowsAreGatheredScaledAndFilledUp) {
  const std::vector<float> x = RandomFloats(4 * 40, 4);
  const GpuBuffer from = Upload(x), factors = Upload(std::vector<float>{1.0f, 0.5f});
  const GpuBuffer rows = UploadAll(std::vector<uint32_t>{3, 1});
  const GpuBuffer to = UploadAll(std::vector<float>(2 * 64, 9.0f));
  stream_->Gather(
      {from.as<float>(), 40, rows.as<uint32_t>(), factors.as<float>(), 2, 40, to.as<float>(), 64});
  const std::vector<float> results = Read(to.as<float>(), 2 * 64);
  for (uint32_t c = 0; c < 64; ++c) {
    EXPECT_EQ(results[c], c < 40 ? x[3 * 40 + c] : 0.0f);
    EXPECT_EQ(results[64 + c], c < 40 ? 0.5f * x[40 + c] : 0.0f);
  }
}

TEST_P(ElementwiseTest, BiasIsAddedToTheSumsOfChosenRows) {
  const GpuBuffer bias = Upload(std::vector<float>{1.0f, -2.0f}), factors = Upload(std::vector<float>{0.5f});
  const GpuBuffer rows = UploadAll(std::vector<uint32_t>{1});
  const GpuBuffer sums = UploadAll(std::vector<int64_t>{1, 2, 3, 4});
  stream_->AddBias({bias.as<float>(), factors.as<float>(), rows.as<uint32_t>(), 1, 2, sums.as<int64_t>(), 2});
  EXPECT_EQ(Read(sums.as<int64_t>(), 4),
            (std::vector<int64_t>{1, 2, 3 + ToFixedPoint(0.5f), 4 + ToFixedPoint(-1.0f)}));
}

}  // namespace
}  // namespace hearth
