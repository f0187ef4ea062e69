#include "engine/kernel/attention.h"

#include <algorithm>
#include <cmath>

#include "engine/attention/rope.h"
#include "engine/kernel/vector_ops.h"
#include "tests/engine/gpu/gpu_fixture.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

struct Shape {
  uint32_t heads = 4, kv_heads = 2, key_dim = 64, value_dim = 64;
  KvType type = KvType::kF16;
  float softcap = 0;
  bool alibi = false, sinks = false;
  gpu::AttentionArgs::Window window_kind = gpu::AttentionArgs::Window::kNone;
  uint32_t window = 0;
  bool prompt = false;  // by PromptAttention
  bool latent = false;  // values are the first ones of the keys
};

constexpr uint32_t kSequences = 2, kContext = 600;
constexpr float kScale = 0.125f;

gpu::GpuKv KvOf(KvType type) {
  return type == KvType::kF32   ? gpu::GpuKv::kF32
         : type == KvType::kF16 ? gpu::GpuKv::kF16
                                : gpu::GpuKv::kQ8_0;
}
TensorType TypeOf(KvType type) {
  return type == KvType::kF32   ? TensorType::kF32
         : type == KvType::kF16 ? TensorType::kF16
                                : TensorType::kQ8_0;
}

// What a cache keeps of values.
std::vector<float> Stored(KvType type, const float* values, size_t count) {
  std::vector<uint8_t> bytes(KvBytes(type, count));
  StoreKv(type, values, count, bytes.data());
  std::vector<float> stored(count);
  Dequantize(TypeOf(type), bytes, count, stored.data());
  return stored;
}

class GpuAttentionTest : public GpuTest {
 protected:
  // Runs attention of rows at `places`, whose own keys and values are stored first, over a cache that is
  // filled up to each of them, and compares it with the formula in double.
  // Returns the results.
  std::vector<float> Check(const Shape& shape, const std::vector<gpu::GpuPlace>& places,
                           const std::vector<gpu::RowTile>& tiles) {
    const auto rows = static_cast<uint32_t>(places.size());
    const uint32_t query_values = shape.heads * shape.key_dim;
    gpu::GpuKvCache cache;
    cache.type = KvOf(shape.type);
    cache.heads = shape.kv_heads;
    cache.context = kContext;
    cache.key_bytes = static_cast<uint32_t>(KvBytes(shape.type, shape.key_dim));
    cache.value_bytes =
        shape.latent ? cache.key_bytes : static_cast<uint32_t>(KvBytes(shape.type, shape.value_dim));
    const size_t vectors = size_t{kSequences} * shape.kv_heads * kContext;
    const GpuBuffer key_memory = Zeros(vectors * cache.key_bytes),
                    value_memory = Zeros(vectors * cache.value_bytes);
    cache.keys = key_memory.as<uint8_t>();
    cache.values = (shape.latent ? key_memory : value_memory).as<uint8_t>();

    // Every position of both sequences goes through FinishHeads, in pieces.
    std::vector<float> keys = RandomFloats(vectors * shape.key_dim, 1),
                       values = RandomFloats(vectors * shape.value_dim, 2);
    std::vector<gpu::GpuPlace> all;
    for (uint32_t s = 0; s < kSequences; ++s) {
      for (uint32_t p = 0; p < kContext; ++p) all.push_back({s, p});
    }
    const GpuBuffer all_places = UploadAll(all), key_rows = Upload(keys), value_rows = Upload(values);
    const GpuBuffer no_query = Zeros(all.size() * query_values * sizeof(float));
    gpu::FinishHeadsArgs finish;
    finish.query = no_query.as<float>();
    finish.key = key_rows.as<float>();
    finish.value = shape.latent ? nullptr : value_rows.as<float>();
    finish.heads = shape.heads;
    finish.kv_heads = shape.kv_heads;
    finish.key_dim = shape.key_dim;
    finish.value_dim = shape.value_dim;
    finish.rows = static_cast<uint32_t>(all.size());
    finish.places = all_places.as<gpu::GpuPlace>();
    finish.cache = cache;
    stream_->FinishHeads(finish);

    const std::vector<float> queries = RandomFloats(size_t{rows} * query_values, 3);
    const std::vector<float> slopes = {0.5f, 0.25f, 0.125f, 0.0625f, 0.03f, 0.01f, 0.3f, 0.2f};
    const std::vector<float> sinks = {0.1f, 2.0f, -1.0f, 0.5f, 0.0f, 1.0f, 1.5f, 0.7f};
    const GpuBuffer query = Upload(queries), slope_values = Upload(slopes), sink_values = Upload(sinks);
    const GpuBuffer row_places = UploadAll(places), row_tiles = UploadAll(tiles);
    const uint32_t out_stride = shape.heads * shape.value_dim + 4;
    const GpuBuffer out = Zeros(size_t{rows} * out_stride * sizeof(float));
    gpu::AttentionArgs args;
    args.query = query.as<float>();
    args.out = out.as<float>();
    args.out_stride = out_stride;
    args.heads = shape.heads;
    args.kv_heads = shape.kv_heads;
    args.key_dim = shape.key_dim;
    args.value_dim = shape.value_dim;
    args.scale = kScale;
    args.softcap = shape.softcap;
    args.alibi_slopes = shape.alibi ? slope_values.as<float>() : nullptr;
    args.sinks = shape.sinks ? sink_values.as<float>() : nullptr;
    args.window_kind = shape.window_kind;
    args.window = shape.window;
    args.places = row_places.as<gpu::GpuPlace>();
    args.tiles = row_tiles.as<gpu::RowTile>();
    args.tile_count = static_cast<uint32_t>(tiles.size());
    args.rows = rows;
    uint32_t last = 0, first = kContext;
    for (const gpu::GpuPlace& place : places) {
      last = std::max(last, place.position);
      first = std::min(first, FirstSeen(shape, place.position));
    }
    args.first_chunk = first / gpu::kChunkPositions;
    args.chunks = last / gpu::kChunkPositions - args.first_chunk + 1;
    args.cache = cache;
    const GpuBuffer partial =
        Zeros(gpu::PartialFloats(rows, shape.heads, args.chunks, shape.value_dim) * sizeof(float));
    args.partial = partial.as<float>();
    if (shape.prompt) {
      EXPECT_TRUE(stream_->HasPromptAttention(cache.type, shape.key_dim, shape.value_dim));
      stream_->PromptAttention(args);
    } else {
      stream_->Attention(args);
    }
    const double tolerance = shape.prompt ? 1.5e-3 : 2e-5;  // halves or float32
    const std::vector<float> results = Read(out.as<float>(), size_t{rows} * out_stride);

    for (uint32_t t = 0; t < rows; ++t) {
      for (uint32_t h = 0; h < shape.heads; ++h) {
        const std::vector<double> expected =
            Expected(shape, places[t], h, queries.data() + (size_t{t} * shape.heads + h) * shape.key_dim,
                     keys, values, shape.alibi ? slopes[h] : 0, shape.sinks ? &sinks[h] : nullptr);
        for (uint32_t d = 0; d < shape.value_dim; ++d) {
          EXPECT_NEAR(results[size_t{t} * out_stride + h * shape.value_dim + d], expected[d], tolerance)
              << "row " << t << ", head " << h << ", value " << d;
          if (HasFailure()) return results;
        }
      }
    }
    return results;
  }

  static uint32_t FirstSeen(const Shape& shape, uint32_t position) {
    if (shape.window_kind == gpu::AttentionArgs::Window::kSliding) {
      return position < shape.window ? 0 : position - shape.window + 1;
    }
    if (shape.window_kind == gpu::AttentionArgs::Window::kChunked)
      return position / shape.window * shape.window;
    return 0;
  }

  // keys: as FinishHeads read them, rows of all positions of sequence 0, then 1: (kv_heads, dim) each.
  static std::vector<double> Expected(const Shape& shape, const gpu::GpuPlace& place, uint32_t head,
                                      const float* query, const std::vector<float>& keys,
                                      const std::vector<float>& values, double slope, const float* sink) {
    const uint32_t kv_head = head / (shape.heads / shape.kv_heads);
    const uint32_t first = FirstSeen(shape, place.position);
    const auto at = [&](const std::vector<float>& from, uint32_t p, uint32_t dim) {
      const size_t row = size_t{place.sequence} * kContext + p;
      return Stored(shape.type, from.data() + (row * shape.kv_heads + kv_head) * dim, dim);
    };
    std::vector<double> scores;
    double largest = sink != nullptr ? *sink : -1e300;
    for (uint32_t p = first; p <= place.position; ++p) {
      const std::vector<float> key = at(keys, p, shape.key_dim);
      double score = 0;
      for (uint32_t i = 0; i < shape.key_dim; ++i) score += double{query[i]} * double{key[i]};
      score *= kScale;
      if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
      score += slope * (double(p) - double(place.position));
      scores.push_back(score);
      largest = std::max(largest, score);
    }
    double sum = sink != nullptr ? std::exp(*sink - largest) : 0;
    for (double& score : scores) sum += score = std::exp(score - largest);
    std::vector<double> out(shape.value_dim);
    for (uint32_t p = first; p <= place.position; ++p) {
      const std::vector<float> value =
          shape.latent ? at(keys, p, shape.key_dim) : at(values, p, shape.value_dim);
      for (uint32_t d = 0; d < shape.value_dim; ++d) out[d] += scores[p - first] / sum * value[d];
    }
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(All, GpuAttentionTest, testing::ValuesIn(kGpuSettings), SettingName);

std::vector<gpu::GpuPlace> PlacesFrom(uint32_t sequence, uint32_t first, uint32_t count) {
  std::vector<gpu::GpuPlace> places;
  for (uint32_t i = 0; i < count; ++i) places.push_back({sequence, first + i});
  return places;
}

// Each mechanism alone.
std::vector<Shape> Mechanisms() {
  Shape capped;
  capped.softcap = 3;
  Shape with_sinks;
  with_sinks.sinks = true;
  Shape slopes;
  slopes.alibi = true;
  Shape sliding;
  sliding.window_kind = gpu::AttentionArgs::Window::kSliding;
  sliding.window = 40;
  Shape chunked;
  chunked.window_kind = gpu::AttentionArgs::Window::kChunked;
  chunked.window = 100;
  return {capped, with_sinks, slopes, sliding, chunked};
}

TEST_P(GpuAttentionTest, OneTokenSeesAllPositionsOfItsSequence) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    Shape shape;
    shape.type = type;
    Check(shape, {{1, 0}}, {{0, 1}});
    Check(shape, {{1, 255}}, {{0, 1}});
    Check(shape, {{0, 599}}, {{0, 1}});
  }
}

TEST_P(GpuAttentionTest, RowsOfAPromptShareATileAndEachSeesWhatIsBeforeIt) {
  Shape shape;
  Check(shape, PlacesFrom(1, 250, 11), {{0, 8}, {8, 3}});
}

TEST_P(GpuAttentionTest, RowsOfSeveralSequencesDoNotMix) {
  Check({}, {{0, 300}, {1, 5}, {1, 6}, {0, 2}}, {{0, 1}, {1, 2}, {3, 1}});
}

TEST_P(GpuAttentionTest, EveryMechanismIsTheFormula) {
  for (const Shape& shape : Mechanisms()) {
    Check(shape, {{0, 520}}, {{0, 1}});
    Check(shape, {{0, 3}}, {{0, 1}});
  }
}

TEST_P(GpuAttentionTest, HeadsOfOddSizesAndNumbersAreComputed) {
  Check({.heads = 8, .kv_heads = 1, .key_dim = 96, .value_dim = 160}, {{0, 100}}, {{0, 1}});
  Check({.heads = 3, .kv_heads = 3, .key_dim = 256, .value_dim = 256}, {{0, 300}}, {{0, 1}});
  Check({.heads = 12, .kv_heads = 1, .key_dim = 64, .value_dim = 320}, PlacesFrom(0, 200, 2),
        {{0, 1}, {1, 1}});
  Check({.heads = 2, .kv_heads = 1, .key_dim = 20, .value_dim = 12, .type = KvType::kF32}, {{0, 30}},
        {{0, 1}});
}

TEST_P(GpuAttentionTest, LatentsAreKeysAndValuesOfAllHeads) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    Shape shape = {
        .heads = 20, .kv_heads = 1, .key_dim = 576, .value_dim = 512, .type = type, .latent = true};
    Check(shape, {{1, 140}}, {{0, 1}});
    shape.heads = 3;
    shape.key_dim = 288;
    shape.value_dim = 256;
    Check(shape, PlacesFrom(0, 126, 3), {{0, 2}, {2, 1}});
  }
}

TEST_P(GpuAttentionTest, PromptsOnMatrixUnitsAreTheFormula) {
  for (const KvType type : {KvType::kF16, KvType::kQ8_0}) {
    Shape shape;
    shape.type = type;
    shape.prompt = true;
    Check(shape, PlacesFrom(1, 0, 20), {{0, 20}});
    Check(shape, PlacesFrom(0, 185, 23), {{0, 16}, {16, 7}});
    Check(shape, {{0, 300}, {1, 5}, {1, 6}, {0, 2}}, {{0, 1}, {1, 2}, {3, 1}});
  }
  Check({.heads = 3, .kv_heads = 1, .key_dim = 128, .value_dim = 72, .prompt = true}, PlacesFrom(0, 60, 9),
        {{0, 9}});
  Check({.heads = 2, .kv_heads = 2, .key_dim = 24, .value_dim = 16, .prompt = true}, PlacesFrom(1, 3, 9),
        {{0, 9}});
}

TEST_P(GpuAttentionTest, PromptsOnMatrixUnitsHaveEveryMechanism) {
  for (Shape shape : Mechanisms()) {
    shape.prompt = true;
    Check(shape, PlacesFrom(0, 290, 18), {{0, 18}});
    Check(shape, {{0, 0}}, {{0, 1}});
  }
}

TEST_P(GpuAttentionTest, RowOfAPromptHasTheSameBitsInEveryTile) {
  Shape shape;
  shape.prompt = true;
  shape.window_kind = gpu::AttentionArgs::Window::kSliding;
  shape.window = 100;
  const std::vector<gpu::GpuPlace> places = PlacesFrom(1, 130, 40);
  const std::vector<float> together = Check(shape, places, {{0, 40}});
  EXPECT_EQ(Check(shape, places, {{0, 1}, {1, 33}, {34, 6}}), together);
}

TEST_P(GpuAttentionTest, QueriesAreNormedRotatedAndScaledAsOnACpu) {
  constexpr uint32_t kHeads = 3, kDim = 32, kRows = 5;
  using HeadNorm = gpu::FinishHeadsArgs::HeadNorm;
  const std::pair<RopeStyle, HeadNorm> kinds[] = {{RopeStyle::kInterleaved, HeadNorm::kRms},
                                                  {RopeStyle::kHalfSplit, HeadNorm::kRms},
                                                  {RopeStyle::kHalfSplit, HeadNorm::kLayer}};
  // Of a latent's key the first values are normed, the others rotated.
  for (const uint32_t latent : {0u, 8u}) {
    for (const auto& kind : kinds) {
      const HeadNorm head_norm = kind.second;
      for (const bool after : {false, true}) {
        RopeSpec rope;
        rope.style = kind.first;
        rope.dims = 24;
        RopeAngles angles(rope, {}, kRows);
        const std::vector<uint32_t> positions = {0, 1, 7, 400, 599};
        angles.Set(positions);
        std::vector<float> queries = RandomFloats(kRows * kHeads * kDim, 5, 3.0f);
        const std::vector<float> norm = RandomFloats(kDim, 6);
        std::vector<gpu::GpuPlace> places;
        for (const uint32_t position : positions) places.push_back({0, position});
        const GpuBuffer query = Upload(queries), weights = Upload(norm), row_places = UploadAll(places);
        const GpuBuffer table = Upload(angles.table(kRows));
        const GpuBuffer keys = Zeros(kRows * kDim * sizeof(float)),
                        values = Zeros(kRows * kDim * sizeof(float));
        const GpuBuffer cache = Zeros(kContext * kDim * sizeof(float));
        gpu::FinishHeadsArgs args;
        args.query = query.as<float>();
        args.key = keys.as<float>();
        args.value = values.as<float>();
        args.heads = kHeads;
        args.kv_heads = 1;
        args.key_dim = args.value_dim = kDim;
        args.rows = kRows;
        args.places = row_places.as<gpu::GpuPlace>();
        args.clamp = 4;
        args.norm = head_norm;
        args.norm_after_rope = after;
        args.norm_epsilon = 1e-5f;
        args.norms_query = true;
        args.query_norm = weights.as<float>();
        args.norm_dims = args.rope_first = latent;
        args.angles = table.as<float>();
        args.rope_dims = rope.dims;
        args.interleaved = rope.style == RopeStyle::kInterleaved;
        args.temperature_scale = 0.1f;
        args.temperature_floor = 100;
        args.cache = {gpu::GpuKv::kF32, cache.as<uint8_t>(), cache.as<uint8_t>(), 1, kContext, kDim * 4,
                      kDim * 4};
        stream_->FinishHeads(args);
        const std::vector<float> results = Read(query.as<float>(), queries.size());
        const auto normalize = [&](float* head) {
          const uint32_t normed = latent > 0 ? latent : kDim;
          if (head_norm == HeadNorm::kLayer)
            return LayerNorm(head, norm.data(), nullptr, 1e-5f, normed, head);
          RmsNorm(head, norm.data(), 1e-5f, normed, head);
        };
        for (uint32_t t = 0; t < kRows; ++t) {
          const float temperature = 1 + 0.1f * std::log(1 + static_cast<float>(positions[t] / 100));
          for (uint32_t h = 0; h < kHeads; ++h) {
            float* head = queries.data() + (t * kHeads + h) * kDim;
            for (uint32_t i = 0; i < kDim; ++i) head[i] = std::clamp(head[i], -4.0f, 4.0f);
            if (!after) normalize(head);
            angles.Rotate(t, 1, kDim, latent, head);
            if (after) normalize(head);
            for (uint32_t i = 0; i < kDim; ++i) {
              ASSERT_NEAR(results[(t * kHeads + h) * kDim + i], temperature * head[i], 2e-5) << "row " << t;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace hearth
