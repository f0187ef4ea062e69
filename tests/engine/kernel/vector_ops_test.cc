#include "engine/kernel/vector_ops.h"

#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

const size_t kSizes[] = {1, 3, 15, 16, 17, 31, 32, 33, 64, 100, 4096};

void ExpectClose(const std::vector<double>& expected, const std::vector<float>& actual, double relative,
                 double absolute) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], relative * std::fabs(expected[i]) + absolute) << "at " << i;
  }
}

TEST(RmsNorm, MatchesTheFormula) {
  ForEachTarget([] {
    for (const size_t n : kSizes) {
      const std::vector<float> x = RandomFloats(n, 1), weight = RandomFloats(n, 2);
      double squares = 0;
      for (const float v : x) squares += double{v} * v;
      std::vector<double> expected(n), plain(n);
      for (size_t i = 0; i < n; ++i) {
        plain[i] = x[i] / std::sqrt(squares / n + 1e-5);
        expected[i] = plain[i] * weight[i];
      }
      std::vector<float> out(n);
      // n / 32 additions per partial sum and five to fold them, the root halves their error; four more
      // roundings.
      const double tolerance = (n / 64.0 + 8) * kRounding;
      RmsNorm(x.data(), weight.data(), 1e-5f, n, out.data());
      ExpectClose(expected, out, tolerance, 0);
      out = x;
      RmsNorm(out.data(), nullptr, 1e-5f, n, out.data());
      ExpectClose(plain, out, tolerance, 0);
    }
  });
}

TEST(RmsNorm, OfZerosIsZero) {
  std::vector<float> x(40, 0.0f);
  RmsNorm(x.data(), nullptr, 1e-6f, x.size(), x.data());
  for (const float v : x) EXPECT_EQ(v, 0.0f);
}

TEST(LayerNorm, MatchesTheFormula) {
  ForEachTarget([] {
    for (const size_t n : kSizes) {
      const std::vector<float> x = RandomFloats(n, 3), weight = RandomFloats(n, 4), bias = RandomFloats(n, 5);
      const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
      double squares = 0;
      for (const float v : x) squares += (v - mean) * (v - mean);
      std::vector<double> expected(n);
      for (size_t i = 0; i < n; ++i) {
        expected[i] = (x[i] - mean) / std::sqrt(squares / n + 1e-5) * weight[i] + bias[i];
      }
      std::vector<float> out(n);
      LayerNorm(x.data(), weight.data(), bias.data(), 1e-5f, n, out.data());
      ExpectClose(expected, out, (n / 32.0 + 16) * kRounding, (n / 32.0 + 16) * 16 * kRounding);
    }
  });
}

TEST(LayerNorm, OfOneValueIsItsBias) {
  const float x = 5, weight = 3, bias = 0.25f;
  float out;
  LayerNorm(&x, &weight, &bias, 1e-5f, 1, &out);
  EXPECT_EQ(out, bias);
}

struct ActivationCase {
  Activation f;
  std::function<double(double)> exact;
};

ActivationParameters TestParameters() {
  ActivationParameters p;
  p.xielu_alpha_p = 0.8f;
  p.xielu_alpha_n = 1.3f;
  p.xielu_beta = 0.5f;
  p.xielu_eps = -1e-6f;
  return p;
}

std::vector<ActivationCase> ActivationCases() {
  const ActivationParameters p = TestParameters();
  const auto gelu = [](double x) {
    // The identity (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)) keeps the oracle exact for large negative x.
    return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  const auto xielu = [p](double x) {
    if (x > 0) return double{p.xielu_alpha_p} * x * x + double{p.xielu_beta} * x;
    return p.xielu_alpha_n * (std::expm1(std::min<double>(x, p.xielu_eps)) - x) + double{p.xielu_beta} * x;
  };
  return {
      {Activation::kSilu, [](double x) { return x / (1 + std::exp(-x)); }},
      {Activation::kGelu, gelu},
      {Activation::kRelu, [](double x) { return std::max(0.0, x); }},
      {Activation::kReluSquared, [](double x) { return x > 0 ? x * x : 0; }},
      {Activation::kXielu, xielu},
  };
}

std::vector<float> ActivationInputs() {
  std::vector<float> x = {0.0f, -0.0f, 1e-6f, -1e-6f, 0.3465f, -0.3465f, 20,
                          -20,  80,    -80,   1000,   -1000,   1e30f,    -1e30f};
  for (float v = -12; v < 12; v += 0.0137f) x.push_back(v);
  return x;
}

TEST(Activate, IsAccurateOverTheWholeRange) {
  ForEachTarget([] {
    const std::vector<float> x = ActivationInputs();
    for (const ActivationCase& c : ActivationCases()) {
      std::vector<float> out(x.size());
      Activate(c.f, TestParameters(), x.data(), x.size(), out.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = c.exact(x[i]);
        if (std::fabs(exact) > 3e38) {
          EXPECT_TRUE(std::isinf(out[i]));
          continue;
        }
        // The exponent e of f(x) = x exp(-e) carries a few roundings of its own size. Terms of xIELU cancel
        // near its zeros.
        const double exponent = exact == 0 ? 0 : std::fabs(std::log(std::fabs(exact / x[i])));
        const double cancelled = c.f == Activation::kXielu ? 8 * kRounding * std::fabs(x[i]) : 0;
        EXPECT_NEAR(out[i], exact,
                    (8 + 6 * exponent) * kRounding * std::fabs(exact) + cancelled + 16 * kSmallestNormal)
            << static_cast<int>(c.f) << " at " << x[i];
      }
    }
  });
}

TEST(ActivateGated, MultipliesByUpAndClampsItWhereAsked) {
  ForEachTarget([] {
    const std::vector<float> gate = RandomFloats(133, 6), up = RandomFloats(133, 7);
    std::vector<float> activated(gate.size()), out(gate.size());
    for (const ActivationCase& c : ActivationCases()) {
      Activate(c.f, TestParameters(), gate.data(), gate.size(), activated.data());
      for (const bool relu_up : {false, true}) {
        ActivateGated(c.f, TestParameters(), relu_up, gate.data(), up.data(), gate.size(), out.data());
        for (size_t i = 0; i < out.size(); ++i) {
          EXPECT_EQ(out[i], activated[i] * (relu_up ? std::max(0.0f, up[i]) : up[i]));
        }
      }
    }
  });
}

TEST(ActivateGated, SwigluOaiClampsGateAboveAndUpOnBothSides) {
  ForEachTarget([] {
    const ActivationParameters p;
    const std::vector<float> gate = {0.5f, 100, -100, 7, 1}, up = {0.25f, 100, 3, -100, -7.5f};
    std::vector<float> out(gate.size());
    ActivateGated(Activation::kSwigluOai, p, false, gate.data(), up.data(), gate.size(), out.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = std::min<double>(gate[i], p.limit);
      const double u = std::min<double>(std::max<double>(up[i], -p.limit), p.limit);
      const double exact = g / (1 + std::exp(-p.alpha * g)) * (u + 1);
      EXPECT_NEAR(out[i], exact, 16 * kRounding * std::fabs(exact) + 1e-30);
    }
  });
}

TEST(ActivateDeathTest, RefusesSwigluOaiWithoutGate) {
  float x = 1;
  EXPECT_DEATH(Activate(Activation::kSwigluOai, {}, &x, 1, &x), "without a gate");
}

TEST(VectorArithmetic, MatchesScalarArithmeticForEverySize) {
  ForEachTarget([] {
    for (const size_t n : kSizes) {
      const std::vector<float> x = RandomFloats(n, 8), y = RandomFloats(n, 9);
      std::vector<float> sum = y, scaled_sum = y, scaled = x;
      Add(x.data(), n, sum.data());
      AddScaled(x.data(), 0.75f, n, scaled_sum.data());
      Scale(-3.0f, n, scaled.data());
      double dot = 0, magnitude = 0;
      for (size_t i = 0; i < n; ++i) {
        EXPECT_EQ(sum[i], x[i] + y[i]);
        EXPECT_NEAR(scaled_sum[i], y[i] + 0.75 * x[i], 2 * kRounding * (std::fabs(x[i]) + std::fabs(y[i])));
        EXPECT_EQ(scaled[i], -3.0f * x[i]);
        dot += double{x[i]} * y[i];
        magnitude += std::fabs(double{x[i]} * y[i]);
      }
      EXPECT_NEAR(Dot(x.data(), y.data(), n), dot, (n / 32.0 + 7) * kRounding * magnitude);
    }
  });
}

TEST(Dot, OfNothingIsZero) { EXPECT_EQ(Dot(nullptr, nullptr, 0), 0.0f); }

TEST(Softmax, SumsToOneAndFollowsTheExponential) {
  ForEachTarget([] {
    for (const size_t n : kSizes) {
      std::vector<float> x = RandomFloats(n, 10, 5);
      std::vector<double> expected(x.begin(), x.end());
      const double max = *std::max_element(x.begin(), x.end());
      double sum = 0;
      for (double& v : expected) sum += v = std::exp(v - max);
      for (double& v : expected) v /= sum;
      Softmax(n, x.data());
      // x - max is rounded once: up to 2^5 in magnitude, hence 32 roundings in exp.
      ExpectClose(expected, x, (40 + n / 32.0) * kRounding, 1e-38);
    }
  });
}

TEST(Softmax, GivesZeroWhereTheLogitIsMinusInfinity) {
  ForEachTarget([] {
    std::vector<float> x = {1.0f, -std::numeric_limits<float>::infinity(), 1.0f};
    Softmax(x.size(), x.data());
    EXPECT_EQ(x, (std::vector<float>{0.5f, 0.0f, 0.5f}));
  });
}

TEST(VectorOps, GiveTheSameBitsOnEveryTargetWithFusedMultiplyAdd) {
  const std::vector<float> x = RandomFloats(1000, 11), y = RandomFloats(1000, 12);
  std::vector<float> dots;
  ForEachTarget([&] { dots.push_back(Dot(x.data(), y.data(), x.size())); });
  // Highway lists the targets best first; the last two (SSE4, scalar) round products before they add.
  for (size_t i = 0; i + 2 < dots.size(); ++i) EXPECT_EQ(dots[i], dots[0]);
}

}  // namespace
}  // namespace hearth
