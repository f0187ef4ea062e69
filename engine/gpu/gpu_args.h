#ifndef HEARTH_ENGINE_GPU_GPU_ARGS_H_
#define HEARTH_ENGINE_GPU_GPU_ARGS_H_

#include <cstdint>

#include "engine/gpu/gpu_matrix.h"

namespace hearth::gpu {

// What kernels are given: plain values with pointers into the GPU's memory (or pinned host memory where
// said).

// Rows of activations: float32 and, where they were rounded, 8-bit codes with a scale per unit; units of one
// block have the same. codes (rows, cols); scales, half_sums (rows, cols / 32): half_sums holds the sums of
// the codes of the unit's halves, the first in the lower 16 bits. cols is a multiple of 32.
struct GpuRows {
  float* values = nullptr;
  int8_t* codes = nullptr;
  float* scales = nullptr;
  int32_t* half_sums = nullptr;
  uint32_t cols = 0;
};

// Tokens that one pass over a matrix multiplies at most.
inline constexpr uint32_t kMaxTokens = 8;

// Which rows of a batch a call is for, and where each one's results go.
struct TokenRows {
  uint32_t count = 0;
  uint32_t in[kMaxTokens] = {};
  uint32_t out[kMaxTokens] = {};
};

// Calls fn(tokens) for each pass that `rows` rows take; every row's results go to the row of its number.
template <class Fn>
void ForEachPass(uint32_t rows, const Fn& fn) {
  for (uint32_t first = 0; first < rows; first += kMaxTokens) {
    TokenRows tokens;
    tokens.count = rows - first < kMaxTokens ? rows - first : kMaxTokens;
    for (uint32_t t = 0; t < tokens.count; ++t) tokens.in[t] = tokens.out[t] = first + t;
    fn(tokens);
  }
}

// Rows of a matrix that are skipped, with a result of 0, where no token wants them: those whose `values`
// (rows of `stride`, by out row) are below `least`, or not above it.
struct RowMask {
  const float* values = nullptr;  // null: none is skipped
  uint32_t stride = 0;
  float least = 0;
  bool above = false;  // values > least, else >= least
};

// out[row of token][r] = scale * (W x)[r] + bias[r].
struct ProductOut {
  GpuMatrix weights;
  float* out = nullptr;
  uint32_t out_stride = 0;
  const float* bias = nullptr;
  float scale = 1;
  bool relu = false;  // of what comes out
};
inline constexpr uint32_t kMaxProducts = 3;

struct MatVecArgs {
  ProductOut products[kMaxProducts];  // of one type
  uint32_t product_count = 0;
  GpuRows x;
  TokenRows tokens;
  RowMask mask;
};

// sums[row of token][r] += fixed((W x)[r]), where every unit of 32 columns is summed in float32 and then
// counted in fixed point: so the result depends neither on the order of units nor on which of them this
// matrix has.
struct FixedMatVecArgs {
  GpuMatrix weights;
  GpuRows x;
  TokenRows tokens;
  int64_t* sums = nullptr;
  uint32_t sums_stride = 0;
  bool overwrite = false;    // = in place of +=
  bool skip_silent = false;  // units whose activations are all 0 are not read
};

// A list of rows: row t is ids[t], in the GPU's memory, or first + t.
struct RowList {
  const uint32_t* ids = nullptr;
  uint32_t first = 0;
};

// As MatVecArgs and FixedMatVecArgs with any number of tokens, whose results have the same bits: for matrices
// that HasTiles, without masks.
struct TileProductArgs {
  ProductOut products[kMaxProducts];  // of one type
  uint32_t product_count = 0;
  GpuRows x;
  uint32_t count = 0;
  RowList in, out;
};
struct FixedTileArgs {
  GpuMatrix weights;
  GpuRows x;
  uint32_t count = 0;
  RowList in, out;
  int64_t* sums = nullptr;
  uint32_t sums_stride = 0;
  bool overwrite = false;
};
// More columns than that are not summed in tiles.
inline constexpr uint32_t kMaxTileCols = 1u << 17;

// sums[row t of out] += sum over neurons n of h[t][n] * W[n], for `down` stored by neuron: W (neurons,
// outputs). 32 neurons are summed in float32, those that are 0 left out, and then counted in fixed point.
// Reads x.values.
struct NeuronSumArgs {
  GpuMatrix weights;
  GpuRows x;
  uint32_t count = 0;
  RowList out;
  int64_t* sums = nullptr;
  uint32_t sums_stride = 0;
};

// Rounds rows of x.values, block by block of `block_cols` (32 or 256).
struct RoundArgs {
  GpuRows x;
  uint32_t rows = 0;
  uint32_t block_cols = kUnitCols;
};

// The activation of a feed-forward block: h = factors of row * f(gate) * up (or f(up) without gate), float32
// to h.values and rounded beside it. Columns [neurons, h.cols) become 0.
enum class GpuActivation : uint8_t { kSilu, kGelu, kRelu, kReluSquared, kXielu, kSwigluOai };
struct ActivateArgs {
  const float* gate = nullptr;  // (rows, stride); null without gate
  const float* up = nullptr;    // (rows, stride)
  uint32_t stride = 0;
  GpuActivation activation = GpuActivation::kSilu;
  float alpha = 0, limit = 0;
  float xielu_alpha_p = 0, xielu_alpha_n = 0, xielu_beta = 0, xielu_eps = 0;
  bool relu_up = false;
  const float* factors = nullptr;  // (rows), in the GPU's memory; null: 1
  float factor = 1;                // of all rows
  uint32_t neurons = 0;
  uint32_t rows = 0;
  uint32_t block_cols = kUnitCols;
  GpuRows h;
};

// Row t of `to` = factors[t] * row rows[t] of `from`; `cols` values each, the rest of `to` becomes 0.
struct GatherArgs {
  const float* from = nullptr;
  uint32_t from_stride = 0;
  const uint32_t* rows = nullptr;  // null: the same
  const float* factors = nullptr;  // null: 1
  uint32_t count = 0;
  uint32_t cols = 0;
  float* to = nullptr;
  uint32_t to_stride = 0;
};

// sums[rows[t]][c] += fixed(factors[t] * values[c]).
struct AddBiasArgs {
  const float* values = nullptr;
  const float* factors = nullptr;  // null: 1
  const uint32_t* rows = nullptr;  // null: the same
  uint32_t count = 0;
  uint32_t cols = 0;
  int64_t* sums = nullptr;
  uint32_t sums_stride = 0;
};

// A norm of rows: RMS, or of a layer with its mean taken out. Absent: rows stay as they are.
struct GpuNorm {
  bool present = false;
  bool centered = false;
  float epsilon = 0;
  const float* weight = nullptr;  // null: ones
  const float* bias = nullptr;    // null: zeros
};

// Ends one branch of a layer and begins the next: branch = post(scale * sums + bias), x += residual_scale *
// branch, out = norm(x). Columns of out from `cols` on become 0.
struct ResidualArgs {
  const int64_t* sums = nullptr;  // (rows, sums_stride); null: x stays as it is
  uint32_t sums_stride = 0;
  float scale = 1;
  const float* bias = nullptr;
  GpuNorm post;
  float residual_scale = 1;
  float* x = nullptr;  // (rows, stride)
  GpuNorm norm;
  float* out = nullptr;  // (rows, stride); null: only x
  uint32_t stride = 0;
  uint32_t cols = 0;  // at most kMaxResidualCols
  uint32_t rows = 0;
};
inline constexpr uint32_t kMaxResidualCols = 12288;

// Element types of cached keys and values.
enum class GpuKv : uint8_t { kF32, kF16, kQ8_0 };

// The cache of some KV heads of a layer: keys (sequences, heads, context, key_dim), values likewise.
struct GpuKvCache {
  GpuKv type = GpuKv::kF32;
  uint8_t* keys = nullptr;
  uint8_t* values = nullptr;
  uint32_t heads = 0;
  uint32_t context = 0;
  uint32_t key_bytes = 0;  // per position and head
  uint32_t value_bytes = 0;
};

// What matrix units do at most: every warp of `blocks` blocks makes `rounds` times kPeakProducts products of
// (16, 32) by (32, 8) codes, or of (16, 16) by (16, 8) halves, out of its registers.
struct PeakArgs {
  bool codes = true;
  uint32_t blocks = 0;
  uint32_t rounds = 0;
  float* out = nullptr;  // (blocks * kPeakWarps * 32), so that nothing is left out
};
inline constexpr uint32_t kPeakWarps = 8;
inline constexpr uint32_t kPeakProducts = 8;  // that do not wait for one another

// Where a row stands.
struct GpuPlace {
  uint32_t sequence = 0;
  uint32_t position = 0;
};

// Every head's own matrix times its part of every row, in float32: x (count), x_stride apart: (heads), x_head
// apart; out likewise. Head h has `rows` rows of the weights, from h * head_rows + first_row on. Of a row's
// product, (rows), are read `cols` values; of a transposed one, (cols), `rows`. `kept` values that follow
// those stand behind the results as they are.
struct HeadProductArgs {
  GpuMatrix weights;
  uint32_t heads = 0;
  uint32_t head_rows = 0, first_row = 0;
  uint32_t rows = 0, cols = 0;
  bool transposed = false;
  const float* x = nullptr;
  uint32_t x_stride = 0, x_head = 0;
  float* out = nullptr;
  uint32_t out_stride = 0, out_head = 0;
  uint32_t kept = 0;
  uint32_t count = 0;
};

// Finishes queries, keys and values of a step's rows: clamp, norms, rotation, temperature; stores keys and
// values.
struct FinishHeadsArgs {
  float* query = nullptr;  // (rows, heads * key_dim), in place
  float* key = nullptr;    // (rows, kv_heads * key_dim)
  float* value = nullptr;  // (rows, kv_heads * value_dim); null: keys are values as well
  uint32_t heads = 0, kv_heads = 0, key_dim = 0, value_dim = 0;
  uint32_t rows = 0;
  const GpuPlace* places = nullptr;
  float clamp = 0;
  enum class HeadNorm : uint8_t { kNone, kRms, kLayer } norm = HeadNorm::kNone;
  bool norm_after_rope = false;
  float norm_epsilon = 0;
  const float* query_norm = nullptr;  // weights; null: ones
  const float* query_norm_bias = nullptr;
  const float* key_norm = nullptr;
  const float* key_norm_bias = nullptr;
  uint32_t norm_stride = 0;  // from one head's weights to the next: key_dim or 0
  uint32_t norm_dims = 0;    // the first values of a head, which alone are normed; 0: all
  bool norms_query = false, norms_key = false;
  const float* angles = nullptr;  // (rows, rope_dims): cosine, sine of each pair; null: no rotation
  uint32_t rope_first = 0;        // the first value of a head that is rotated
  uint32_t rope_dims = 0;
  bool interleaved = false;
  float temperature_scale = 0;
  uint32_t temperature_floor = 0, temperature_offset = 0;
  GpuKvCache cache;
};

// Positions that one block of threads takes at a time.
inline constexpr uint32_t kChunkPositions = 128;
// Queries (rows times query heads of one KV head) that share a block's reading of keys and values: what a
// block's shared memory has room for.
constexpr uint32_t TileQueries(uint32_t head_values) { return head_values > 256 ? 8 : 16; }
// Values of a head that the attention kernel has room for: a latent of 512, and 64 that are rotated.
inline constexpr uint32_t kMaxHeadValues = 576;

// Rows of a prompt that PromptAttention takes together, and the values of a head that it has room for.
inline constexpr uint32_t kPromptTileRows = 64;
inline constexpr uint32_t kPromptHeadValues = 128;

// Rows [first, first + count) of a step that follow one another in one sequence.
struct RowTile {
  uint32_t first = 0;
  uint32_t count = 0;
};

struct AttentionArgs {
  const float* query = nullptr;  // (rows, heads, key_dim)
  float* out = nullptr;          // (rows), out_stride apart: (heads, value_dim)
  uint32_t out_stride = 0;
  uint32_t heads = 0, kv_heads = 0, key_dim = 0, value_dim = 0;
  float scale = 0, softcap = 0;
  const float* alibi_slopes = nullptr;
  const float* sinks = nullptr;
  enum class Window : uint8_t { kNone, kSliding, kChunked } window_kind = Window::kNone;
  uint32_t window = 0;
  const GpuPlace* places = nullptr;
  const RowTile* tiles = nullptr;
  uint32_t tile_count = 0;
  uint32_t rows = 0;
  uint32_t chunks = 0;  // of kChunkPositions, that cover every row's positions from first_chunk on
  uint32_t first_chunk = 0;
  GpuKvCache cache;
  float* partial =
      nullptr;  // (rows, heads, chunks, value_dim + 2): maximum, sum, values; used with chunks > 1
};
// Floats that AttentionArgs::partial takes.
constexpr uint64_t PartialFloats(uint64_t rows, uint64_t heads, uint64_t chunks, uint64_t value_dim) {
  return rows * heads * chunks * (value_dim + 2);
}

}  // namespace hearth::gpu

#endif  // HEARTH_ENGINE_GPU_GPU_ARGS_H_
