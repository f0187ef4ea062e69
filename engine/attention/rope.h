#ifndef HEARTH_ENGINE_ATTENTION_ROPE_H_
#define HEARTH_ENGINE_ATTENTION_ROPE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/spec/spec.h"

namespace hearth {

// The angles of one rotary embedding for the rows of a step: made once, used by every layer and head.
class RopeAngles {
 public:
  // `factors` divide the frequencies: empty, or dims / 2 values. Room for `max_rows` rows.
  RopeAngles(const RopeSpec& spec, absl::Span<const float> factors, uint32_t max_rows);

  // Sets row t's angles for positions[t].
  void Set(absl::Span<const uint32_t> positions);

  // Rotates `heads` heads of `head_dim` values each in place, as row `row`. The rotated values are the `dims`
  // from `offset` on in each head.
  void Rotate(uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset, float* x) const;

  // ReRoPE: what queries and keys are rotated with where they are at least `window` apart. Only with a
  // window.
  void RotateFarQuery(uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset, float* x) const;
  void RotateFarKey(uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset, float* x) const;

  // What the first `rows` rows are rotated with: (rows, dims / 2) pairs of cosine and sine, both times the magnitude.
  absl::Span<const float> table(uint32_t rows) const {
    return absl::MakeConstSpan(near_).first(size_t{rows} * spec_.dims);
  }
  // Radians that pair i turns per position.
  absl::Span<const double> frequencies() const { return frequencies_; }
  uint32_t window() const { return spec_.rectified_window; }

 private:
  // (rows, dims / 2) pairs of cosine and sine, both times the magnitude.
  using Table = std::vector<float>;
  void Fill(uint32_t row, double position, Table& table) const;
  void Turn(const Table& table, uint32_t row, uint32_t heads, uint32_t head_dim, uint32_t offset,
            float* x) const;

  RopeSpec spec_;
  std::vector<double> frequencies_;
  Table near_, far_query_, far_key_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_ROPE_H_
