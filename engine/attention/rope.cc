#include "engine/attention/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/base/check.h"

namespace hearth {
namespace {

// The pair that turns `turns` times over the original context, as a real number.
double PairOfTurns(const RopeSpec& spec, double turns) {
  return spec.dims * std::log(spec.original_context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(spec.base));
}

// YaRN keeps pairs that turn often within the original context and stretches those that turn rarely, with a
// ramp between. The share of the unstretched frequency for pair i.
double YarnShare(const RopeSpec& spec, uint32_t pair) {
  const double low = std::max(0.0, std::floor(PairOfTurns(spec, spec.yarn_beta_fast)));
  const double high = std::min(spec.dims - 1.0, std::ceil(PairOfTurns(spec, spec.yarn_beta_slow)));
  const double ramp = (pair - low) / std::max(0.001, high - low);
  return (1 - std::clamp(ramp, 0.0, 1.0)) * spec.yarn_mix;
}

std::vector<double> Frequencies(const RopeSpec& spec, absl::Span<const float> factors) {
  std::vector<double> frequencies(spec.dims / 2);
  for (uint32_t i = 0; i < frequencies.size(); ++i) {
    double frequency = std::pow(static_cast<double>(spec.base), -2.0 * i / spec.dims);
    if (!factors.empty()) frequency /= factors[i];
    const double share = spec.yarn ? YarnShare(spec, i) : 0;
    frequencies[i] = frequency * (spec.frequency_scale * (1 - share) + share);
  }
  return frequencies;
}

}  // namespace

RopeAngles::RopeAngles(const RopeSpec& spec, absl::Span<const float> factors, uint32_t max_rows)
    : spec_(spec), frequencies_(Frequencies(spec, factors)) {
  HEARTH_CHECK(factors.empty() || factors.size() == spec.dims / 2);
  const size_t values = static_cast<size_t>(max_rows) * spec.dims;
  near_.resize(values);
  if (spec.rectified_window == 0) return;
  far_query_.resize(values);
  far_key_.resize(values);
}

void RopeAngles::Fill(uint32_t row, double position, Table& table) const {
  float* out = table.data() + static_cast<size_t>(row) * spec_.dims;
  for (double frequency : frequencies_) {
    *out++ = static_cast<float>(std::cos(position * frequency)) * spec_.magnitude;
    *out++ = static_cast<float>(std::sin(position * frequency)) * spec_.magnitude;
  }
}

void RopeAngles::Set(absl::Span<const uint32_t> positions) {
  HEARTH_CHECK(positions.size() * spec_.dims <= near_.size());
  // A far query and a far key at distance d turn apart by window + (d - window) / interval, or by window
  // alone.
  const double window = spec_.rectified_window;
  const double slope = spec_.rectified_interval == 0 ? 0 : 1.0 / spec_.rectified_interval;
  for (uint32_t t = 0; t < positions.size(); ++t) {
    Fill(t, positions[t], near_);
    if (spec_.rectified_window == 0) continue;
    Fill(t, window + (positions[t] - window) * slope, far_query_);
    Fill(t, positions[t] * slope, far_key_);
  }
}

void RopeAngles::Turn(const Table& table, uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset,
                      float* x) const {
  const float* angles = table.data() + static_cast<size_t>(row) * spec_.dims;
  const uint32_t pairs = spec_.dims / 2;
  const bool interleaved = spec_.style == RopeStyle::kInterleaved;
  const uint32_t first_step = interleaved ? 2 : 1;
  const uint32_t second = interleaved ? 1 : pairs;
  for (uint32_t head = 0; head < heads; ++head) {
    float* values = x + static_cast<size_t>(head) * head_dim + offset;
    for (uint32_t i = 0; i < pairs; ++i) {
      float& a = values[i * first_step];
      float& b = values[i * first_step + second];
      const float cosine = angles[2 * i];
      const float sine = angles[2 * i + 1];
      const float turned = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = turned;
    }
  }
}

void RopeAngles::Rotate(uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset, float* x) const {
  Turn(near_, row, heads, head_dim, offset, x);
}

void RopeAngles::RotateFarQuery(uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset,
                                float* x) const {
  Turn(far_query_, row, heads, head_dim, offset, x);
}

void RopeAngles::RotateFarKey(uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset,
                              float* x) const {
  Turn(far_key_, row, heads, head_dim, offset, x);
}

}  // namespace hearth
