// Q4_K and Q6_K: scales found by search, then rounded to the small integers that the format has for them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "engine/quant/half.h"
#include "engine/quant/quantize.h"

namespace hearth {
namespace {

constexpr size_t kQ4Group = 32;
constexpr size_t kQ6Group = 16;

// values[i] is about scale * level[i] - minimum, levels in [0, 15].
struct AffineFit {
  float scale = 0;
  float minimum = 0;  // >= 0
};

// What a fixed choice of levels says about the best line through the values, weighted least squares.
struct AffineSums {
  double w = 0, x = 0, l = 0, ll = 0, xl = 0, xx = 0;

  void Add(double weight, double value, double level) {
    w += weight;
    x += weight * value;
    l += weight * level;
    ll += weight * level * level;
    xl += weight * value * level;
    xx += weight * value * value;
  }

  AffineFit Solve() const {
    const double determinant = w * ll - l * l;
    if (determinant > 0) {
      const double scale = (w * xl - x * l) / determinant;
      const double minimum = (l * xl - ll * x) / determinant;
      if (minimum >= 0 && scale >= 0) return {static_cast<float>(scale), static_cast<float>(minimum)};
    }
    // The format has no positive offset: the best line through the origin.
    return {ll > 0 ? static_cast<float>(std::max(0.0, xl / ll)) : 0.0f, 0.0f};
  }

  // Sum of weight * (scale * level - minimum - value)^2.
  double Error(const AffineFit& fit) const {
    const double s = fit.scale;
    const double m = fit.minimum;
    return s * s * ll + m * m * w + xx - 2 * s * m * l - 2 * s * xl + 2 * m * x;
  }
};

// Tries inverse scales around 15 / range of the values: each gives levels, and the levels give the best line.
AffineFit FitAffine(const float* values, const float* weights) {
  constexpr int kSteps = 20;
  const float low = std::min(0.0f, *std::min_element(values, values + kQ4Group));
  const float high = *std::max_element(values, values + kQ4Group);
  if (!(high > low)) return {0, -low};
  AffineFit best;
  double best_error = -1;
  for (int step = 0; step <= kSteps; ++step) {
    const float inverse = (14.0f + 0.1f * static_cast<float>(step)) / (high - low);
    AffineSums sums;
    for (size_t i = 0; i < kQ4Group; ++i) {
      sums.Add(weights[i], values[i], RoundWithin((values[i] - low) * inverse, 0, 15));
    }
    const AffineFit fit = sums.Solve();
    const double error = sums.Error(fit);
    if (best_error < 0 || error < best_error) {
      best = fit;
      best_error = error;
    }
  }
  return best;
}

// The scale for which values[i] is about scale * level[i], levels in [-32, 31].
float FitSymmetric(const float* values, const float* weights) {
  const float extreme = *std::max_element(values, values + kQ6Group,
                                          [](float a, float b) { return std::abs(a) < std::abs(b); });
  if (extreme == 0) return 0;
  float best_scale = 0;
  double best_gain = 0;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = -(32.0f + 0.1f * static_cast<float>(step)) / extreme;
    double xl = 0;
    double ll = 0;
    for (size_t i = 0; i < kQ6Group; ++i) {
      const double level = RoundWithin(values[i] * inverse, -32, 31);
      xl += weights[i] * static_cast<double>(values[i]) * level;
      ll += weights[i] * level * level;
    }
    // The best scale for these levels, xl / ll, lowers the error from that of zeros by xl^2 / ll.
    if (ll > 0 && xl * xl / ll > best_gain) {
      best_gain = xl * xl / ll;
      best_scale = static_cast<float>(xl / ll);
    }
  }
  return best_scale;
}

// How much an error of each of the 256 values counts: more for larger values, which matter more to the
// products they appear in, times `importance` where there is one. A small part of the mean importance goes to
// every value, so that groups without any are still kept well.
std::array<float, 256> Weights(const float* values, const float* importance) {
  constexpr float kFloor = 1e-3f;
  float mean_square = 0;
  float mean_importance = 0;
  for (size_t i = 0; i < 256; ++i) {
    mean_square += values[i] * values[i] / 256;
    if (importance != nullptr) mean_importance += importance[i] / 256;
  }
  std::array<float, 256> weights;
  for (size_t i = 0; i < 256; ++i) {
    weights[i] = std::sqrt(mean_square + values[i] * values[i]);
    if (mean_importance > 0) weights[i] *= importance[i] + kFloor * mean_importance;
  }
  return weights;
}

void StoreGroupScale(int group, int scale, int minimum, uint8_t* scales) {
  if (group < 4) {
    scales[group] = static_cast<uint8_t>(scales[group] | scale);
    scales[group + 4] = static_cast<uint8_t>(scales[group + 4] | minimum);
    return;
  }
  scales[group + 4] = static_cast<uint8_t>((scale & 15) | (minimum & 15) << 4);
  scales[group - 4] = static_cast<uint8_t>(scales[group - 4] | (scale >> 4) << 6);
  scales[group] = static_cast<uint8_t>(scales[group] | (minimum >> 4) << 6);
}

float Inverse(float value) { return value == 0 ? 0 : 1 / value; }

}  // namespace

void QuantizeBlock(const float* values, const float* importance, BlockQ4_K* block) {
  const std::array<float, 256> weights = Weights(values, importance);
  std::array<AffineFit, 8> fits;
  AffineFit largest;
  for (size_t group = 0; group < 8; ++group) {
    fits[group] = FitAffine(values + group * kQ4Group, &weights[group * kQ4Group]);
    largest.scale = std::max(largest.scale, fits[group].scale);
    largest.minimum = std::max(largest.minimum, fits[group].minimum);
  }
  block->scale = FloatToHalf(largest.scale / 63);
  block->minimum = FloatToHalf(largest.minimum / 63);
  const float scale = HalfToFloat(block->scale);
  const float minimum = HalfToFloat(block->minimum);

  std::fill(std::begin(block->scales), std::end(block->scales), uint8_t{0});
  std::fill(std::begin(block->nibbles), std::end(block->nibbles), uint8_t{0});
  for (int group = 0; group < 8; ++group) {
    const AffineFit& fit = fits[static_cast<size_t>(group)];
    const int group_scale = RoundWithin(fit.scale * Inverse(scale), 0, 63);
    const int group_minimum = RoundWithin(fit.minimum * Inverse(minimum), 0, 63);
    StoreGroupScale(group, group_scale, group_minimum, block->scales);
    const float inverse = Inverse(scale * static_cast<float>(group_scale));
    const float offset = minimum * static_cast<float>(group_minimum);
    for (size_t i = 0; i < kQ4Group; ++i) {
      const float value = values[static_cast<size_t>(group) * kQ4Group + i];
      const int level = RoundWithin((value + offset) * inverse, 0, 15);
      // Two groups share 32 bytes: the even one has the low nibbles.
      uint8_t& pair = block->nibbles[static_cast<size_t>(group) / 2 * 32 + i];
      pair = static_cast<uint8_t>(pair | level << (group % 2 * 4));
    }
  }
}

void QuantizeBlock(const float* values, const float* importance, BlockQ6_K* block) {
  const std::array<float, 256> weights = Weights(values, importance);
  std::array<float, 16> fits;
  for (size_t group = 0; group < 16; ++group) {
    fits[group] = FitSymmetric(values + group * kQ6Group, &weights[group * kQ6Group]);
  }
  const float extreme =
      *std::max_element(fits.begin(), fits.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  block->scale = FloatToHalf(extreme / -128);
  const float scale = HalfToFloat(block->scale);

  std::fill(std::begin(block->nibbles), std::end(block->nibbles), uint8_t{0});
  std::fill(std::begin(block->upper_bits), std::end(block->upper_bits), uint8_t{0});
  for (size_t group = 0; group < 16; ++group) {
    const int group_scale = RoundWithin(fits[group] * Inverse(scale), -128, 127);
    block->scales[group] = static_cast<int8_t>(group_scale);
    const float inverse = Inverse(scale * static_cast<float>(group_scale));
    for (size_t i = group * kQ6Group; i < (group + 1) * kQ6Group; ++i) {
      const int level = RoundWithin(values[i] * inverse, -32, 31) + 32;
      uint8_t& low = block->nibbles[i / 128 * 64 + i % 64];
      uint8_t& high = block->upper_bits[i / 128 * 32 + i % 32];
      low = static_cast<uint8_t>(low | (level & 15) << (i % 128 / 64 * 4));
      high = static_cast<uint8_t>(high | (level >> 4) << (i % 128 / 32 * 2));
    }
  }
}

}  // namespace hearth
