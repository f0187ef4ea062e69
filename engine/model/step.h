#ifndef HEARTH_ENGINE_MODEL_STEP_H_
#define HEARTH_ENGINE_MODEL_STEP_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/matrix.h"
#include "engine/model/decoder.h"
#include "engine/model/rope.h"
#include "engine/model/spec.h"
#include "engine/model/weights.h"

namespace hearth {

// Everything that changes while a step runs, except the caches: the residual stream and buffers that layers
// share. Allocated once for the largest step.
struct Step {
  Step(const ModelSpec& spec, const ModelWeights& weights, uint32_t max_rows, ThreadPool& pool);

  // Begins a step with these rows (at most max_rows), which are borrowed until the next.
  void Begin(absl::Span<const BatchRow> rows);
  uint32_t row_count() const { return static_cast<uint32_t>(rows.size()); }

  // Calls fn(row) for every row, on all threads where there are several rows.
  template <class F>
  void ForEachRow(F&& fn) {
    ForEach(row_count(), fn);
  }
  template <class F>
  void ForEach(size_t count, F&& fn) {
    if (count == 1) return fn(uint32_t{0});
    pool.ParallelFor(count, 1, [&fn](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) fn(static_cast<uint32_t>(i));
    });
  }

  ThreadPool& pool;
  absl::Span<const BatchRow> rows;
  std::vector<RopeAngles> ropes;  // as ModelSpec::ropes, set for the rows' positions
  Activations activations;        // the input of the product at hand

  std::vector<float> x;          // (rows, n_embd): the residual stream
  std::vector<float> normed;     // (rows, n_embd)
  std::vector<float> ffn_input;  // (rows, n_embd)
  std::vector<float> branch;     // (rows, n_embd): what a branch adds to the residual stream

  // Buffers of the mixers, each for the widest layer.
  std::vector<float> query, far_query;
  std::vector<float> key, far_key, value;
  std::vector<float> projected;  // latent attention: queries before absorption; convolution: its three inputs
  std::vector<float> attended;
  std::vector<float> decompressed;  // latent attention: results per head
  std::vector<AttentionRow> attention_rows;
  std::vector<uint32_t> row_ids;  // 0, 1, 2, ...

  uint64_t bytes_touched = 0;  // by the leader, since the decoder was made

 private:
  std::vector<uint32_t> positions_;
};

// y = scale * W x + bias for each row of `step.activations`; out (rows, outputs).
struct LinearProduct {
  const Linear* linear;
  float* out;
};
void ApplyLinear(Step& step, absl::Span<const LinearProduct> products);
// The same for one product with an input of (rows, cols).
void ApplyLinear(Step& step, const Linear& linear, const float* input, float* out);

// Applies a norm to each of `count` vectors of `size` values, one after another. Returns out; where the norm
// is absent nothing happens and the input is returned.
const float* ApplyNorm(Step& step, const ModelSpec& spec, const Norm& norm, size_t count, size_t size,
                       const float* input, float* out);
// One vector; `norm` is present.
void NormalizeVector(NormKind kind, float epsilon, const float* weight, const float* bias, size_t size,
                     const float* x, float* out);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_STEP_H_
