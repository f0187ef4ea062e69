#include "engine/kernel/attention.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/quant/types.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

// Random numbers as stored, (heads, positions, dim) or, by position, (positions, heads, dim), and what they
// stand for.
struct Stored {
  std::vector<uint8_t> bytes;
  std::vector<float> exact;
  size_t head_stride;  // in numbers
  size_t position_stride;

  const float* At(size_t head, size_t position) const {
    return exact.data() + head * head_stride + position * position_stride;
  }
  KvStrides strides(KvType type) const {
    return {KvBytes(type, head_stride), KvBytes(type, position_stride)};
  }
};

Stored RandomStored(KvType type, size_t heads, size_t positions, size_t dim, bool by_position,
                    uint32_t seed) {
  Stored stored = {{}, RandomFloats(heads * positions * dim, seed), positions * dim, dim};
  if (by_position) {
    stored.head_stride = dim;
    stored.position_stride = heads * dim;
  }
  const TensorType as = type == KvType::kF32   ? TensorType::kF32
                        : type == KvType::kF16 ? TensorType::kF16
                                               : TensorType::kQ8_0;
  const size_t row_bytes = KvBytes(type, dim);
  stored.bytes.resize(heads * positions * row_bytes);
  for (size_t row = 0; row < heads * positions; ++row) {
    uint8_t* bytes = stored.bytes.data() + row * row_bytes;
    StoreKv(type, stored.exact.data() + row * dim, dim, bytes);
    Dequantize(as, absl::MakeConstSpan(bytes, row_bytes), dim, stored.exact.data() + row * dim);
  }
  return stored;
}

struct TestCache {
  KvType type;
  Stored keys, values, far_keys;

  KvView view() const {
    return {type,
            keys.bytes.data(),
            values.bytes.data(),
            keys.strides(type),
            values.strides(type),
            far_keys.bytes.data()};
  }
};

TestCache RandomCache(KvType type, const AttentionShape& shape, size_t positions, bool by_position = false) {
  return {type, RandomStored(type, shape.kv_heads, positions, shape.key_dim, by_position, 1),
          RandomStored(type, shape.kv_heads, positions, shape.value_dim, by_position, 2),
          RandomStored(type, shape.kv_heads, positions, shape.key_dim, by_position, 3)};
}

// Attention of one query head as the formula says, in double.
std::vector<double> ExactHead(const AttentionShape& shape, const AttentionRow& row, const TestCache& cache,
                              size_t head) {
  const size_t kv_head = head / (shape.query_heads / shape.kv_heads);
  std::vector<double> scores;
  for (size_t p = row.first; p <= row.last; ++p) {
    const bool far = shape.far_distance > 0 && row.last - p >= shape.far_distance;
    const float* key = (far ? cache.far_keys : cache.keys).At(kv_head, p);
    const float* query = (far ? row.far_query : row.query) + head * shape.key_dim;
    double score = 0;
    for (size_t i = 0; i < shape.key_dim; ++i) score += double{query[i]} * key[i];
    score *= shape.scale;
    if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
    if (shape.alibi_slopes != nullptr) score += shape.alibi_slopes[head] * (double(p) - double(row.last));
    scores.push_back(score);
  }
  double max = shape.sinks != nullptr ? shape.sinks[head] : -std::numeric_limits<double>::infinity();
  for (const double score : scores) max = std::max(max, score);
  double sum = shape.sinks != nullptr ? std::exp(shape.sinks[head] - max) : 0;
  for (double& score : scores) sum += score = std::exp(score - max);
  std::vector<double> out(shape.value_dim, 0.0);
  for (size_t p = row.first; p <= row.last; ++p) {
    const float* value = cache.values.At(kv_head, p);
    for (size_t i = 0; i < shape.value_dim; ++i) out[i] += scores[p - row.first] / sum * value[i];
  }
  return out;
}

struct TestRows {
  std::vector<float> queries, far_queries, out;
  std::vector<AttentionRow> rows;
};

// Rows that see positions[i].
TestRows RandomRows(const AttentionShape& shape, const KvView& kv,
                    const std::vector<std::pair<uint32_t, uint32_t>>& positions) {
  TestRows test;
  const size_t query_cols = shape.query_heads * shape.key_dim, out_cols = shape.query_heads * shape.value_dim;
  test.queries = RandomFloats(positions.size() * query_cols, 4);
  test.far_queries = RandomFloats(positions.size() * query_cols, 5);
  test.out.assign(positions.size() * out_cols, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < positions.size(); ++i) {
    test.rows.push_back({test.queries.data() + i * query_cols, test.far_queries.data() + i * query_cols,
                         test.out.data() + i * out_cols, kv, positions[i].first, positions[i].second});
  }
  return test;
}

void ExpectAttention(const AttentionShape& shape, const TestCache& cache, const TestRows& test) {
  for (const AttentionRow& row : test.rows) {
    for (size_t head = 0; head < shape.query_heads; ++head) {
      const std::vector<double> exact = ExactHead(shape, row, cache, head);
      for (size_t i = 0; i < shape.value_dim; ++i) {
        // Scores up to 2^5 carry a few roundings of the dot product each, which exp passes on; values are
        // near 1.
        ASSERT_NEAR(row.out[head * shape.value_dim + i], exact[i], 2e-5)
            << "head " << head << ", value " << i << ", positions " << row.first << " to " << row.last;
      }
    }
  }
}

void CheckAttention(const AttentionShape& shape,
                    const std::vector<std::pair<uint32_t, uint32_t>>& positions) {
  size_t count = 0;
  for (const auto& [first, last] : positions) count = std::max<size_t>(count, last + 1);
  ForEachTarget([&] {
    ThreadPool pool(2);
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      SCOPED_TRACE(static_cast<int>(type));
      const TestCache cache = RandomCache(type, shape, count);
      TestRows test = RandomRows(shape, cache.view(), positions);
      Attention(pool, shape, test.rows);
      ExpectAttention(shape, cache, test);
    }
  });
}

AttentionShape Shape(uint32_t query_heads, uint32_t kv_heads, uint32_t key_dim, uint32_t value_dim) {
  AttentionShape shape;
  shape.query_heads = query_heads;
  shape.kv_heads = kv_heads;
  shape.key_dim = key_dim;
  shape.value_dim = value_dim;
  shape.scale = 1 / std::sqrt(static_cast<float>(key_dim));
  return shape;
}

TEST(Attention, MatchesTheFormulaWithAsManyKvHeadsAsQueryHeads) {
  CheckAttention(Shape(3, 3, 64, 64), {{0, 0}, {0, 1}, {0, 15}, {0, 16}, {0, 40}});
}

TEST(Attention, MatchesTheFormulaWithGroupedQueries) {
  CheckAttention(Shape(8, 2, 128, 128), {{0, 300}, {0, 301}, {0, 302}});
}

TEST(Attention, MatchesTheFormulaWithOneKvHead) { CheckAttention(Shape(5, 1, 32, 32), {{0, 33}}); }

TEST(Attention, MatchesTheFormulaWithKeysWiderThanValues) {
  CheckAttention(Shape(2, 1, 192, 128), {{0, 70}});
}

TEST(Attention, MatchesTheFormulaForHeadSizesThatAreNoWholeVectors) {
  ForEachTarget([] {
    ThreadPool pool(1);
    for (const KvType type : {KvType::kF32, KvType::kF16}) {
      const AttentionShape shape = Shape(4, 2, 20, 13);
      const TestCache cache = RandomCache(type, shape, 50);
      TestRows test = RandomRows(shape, cache.view(), {{0, 49}, {0, 7}});
      Attention(pool, shape, test.rows);
      ExpectAttention(shape, cache, test);
    }
  });
}

TEST(Attention, ReadsHeadsThatLieSideBySideInEachPosition) {
  ForEachTarget([] {
    ThreadPool pool(2);
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      const AttentionShape shape = Shape(6, 3, 64, 32);
      const TestCache cache = RandomCache(type, shape, 300, /*by_position=*/true);
      TestRows test = RandomRows(shape, cache.view(), {{0, 299}, {7, 40}});
      Attention(pool, shape, test.rows);
      ExpectAttention(shape, cache, test);
    }
  });
}

TEST(Attention, SeesOnlyTheWindowOfARow) {
  CheckAttention(Shape(2, 2, 32, 32), {{5, 5}, {17, 300}, {255, 256}, {256, 520}, {511, 513}});
}

TEST(Attention, CapsScoresSoftly) {
  AttentionShape shape = Shape(2, 1, 32, 32);
  shape.softcap = 1.5f;
  CheckAttention(shape, {{0, 100}});
}

TEST(Attention, AddsALinearBiasByDistance) {
  AttentionShape shape = Shape(4, 2, 32, 32);
  const float slopes[] = {0.5f, 0.25f, 0.125f, 0.0625f};
  shape.alibi_slopes = slopes;
  CheckAttention(shape, {{0, 280}, {3, 9}});
}

TEST(Attention, CountsSinksInTheSoftmaxOnly) {
  AttentionShape shape = Shape(4, 2, 32, 32);
  const float sinks[] = {-3.0f, 0.0f, 2.0f, 50.0f};
  shape.sinks = sinks;
  CheckAttention(shape, {{0, 0}, {0, 270}});
}

TEST(Attention, UsesFarKeysAndQueriesFromTheGivenDistanceOn) {
  AttentionShape shape = Shape(4, 2, 32, 32);
  shape.far_distance = 37;
  CheckAttention(shape, {{0, 20}, {0, 36}, {0, 37}, {0, 320}, {250, 300}});
}

TEST(Attention, ReadsValuesThatAreAPartOfTheKeys) {
  ForEachTarget([] {
    ThreadPool pool(1);
    const AttentionShape shape = Shape(4, 1, 96, 64);
    TestCache cache = RandomCache(KvType::kF16, shape, 60);
    KvView view = cache.view();
    view.values = view.keys;
    view.value_strides = view.key_strides;
    cache.values = cache.keys;
    TestRows test = RandomRows(shape, view, {{0, 59}});
    Attention(pool, shape, test.rows);
    ExpectAttention(shape, cache, test);
  });
}

TEST(Attention, ServesRowsOfSeveralSequences) {
  ThreadPool pool(2);
  const AttentionShape shape = Shape(4, 2, 64, 64);
  const TestCache a = RandomCache(KvType::kF16, shape, 300), b = RandomCache(KvType::kQ8_0, shape, 40);
  TestRows rows_a = RandomRows(shape, a.view(), {{0, 299}, {0, 10}}),
           rows_b = RandomRows(shape, b.view(), {{0, 39}});
  const std::vector<AttentionRow> rows = {rows_a.rows[0], rows_b.rows[0], rows_a.rows[1]};
  Attention(pool, shape, rows);
  ExpectAttention(shape, a, rows_a);
  ExpectAttention(shape, b, rows_b);
}

TEST(Attention, GivesTheSameBitsForAnyNumberOfThreadsAndRows) {
  ForEachTarget([] {
    const AttentionShape shape = Shape(8, 2, 64, 64);
    const TestCache cache = RandomCache(KvType::kF16, shape, 700);
    std::vector<std::pair<uint32_t, uint32_t>> positions;
    for (uint32_t p = 660; p < 700; ++p) positions.push_back({0, p});
    ThreadPool one(1);
    TestRows expected = RandomRows(shape, cache.view(), positions);
    for (const AttentionRow& row : expected.rows) Attention(one, shape, {&row, 1});
    for (const int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads);
      TestRows test = RandomRows(shape, cache.view(), positions);
      Attention(pool, shape, test.rows);
      EXPECT_EQ(test.out, expected.out) << threads << " threads";
    }
  });
}

TEST(Attention, DoesNothingWithoutRows) {
  ThreadPool pool(2);
  Attention(pool, Shape(2, 1, 32, 32), {});
}

TEST(AttentionDeathTest, RefusesQueryHeadsThatKvHeadsDoNotDivide) {
  ThreadPool pool(1);
  EXPECT_DEATH(Attention(pool, Shape(5, 2, 32, 32), {}), "kv_heads");
}

// What is read back of values stored as `type`.
std::vector<float> StoredAndRead(KvType type, const std::vector<float>& values) {
  std::vector<uint8_t> bytes(KvBytes(type, values.size()));
  StoreKv(type, values.data(), values.size(), bytes.data());
  std::vector<float> read(values.size());
  Dequantize(type == KvType::kF16 ? TensorType::kF16 : TensorType::kQ8_0, bytes, read.size(), read.data());
  return read;
}

TEST(StoreKv, ValuesBeyondHalfPrecisionBecomeTheNearestNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values(320, 0.5f);
  values[0] = 70000, values[1] = -1e30f, values[2] = kInfinity, values[3] = -kInfinity;
  values[4] = 65504, values[300] = 1e38f;
  const std::vector<float> read = StoredAndRead(KvType::kF16, values);
  EXPECT_EQ(read[0], 65504);
  EXPECT_EQ(read[1], -65504);
  EXPECT_EQ(read[2], 65504);
  EXPECT_EQ(read[3], -65504);
  EXPECT_EQ(read[4], 65504);
  EXPECT_EQ(read[5], 0.5f);
  EXPECT_EQ(read[300], 65504);
  EXPECT_NEAR(StoredAndRead(KvType::kQ8_0, values)[0], 65504, 32);
}

TEST(StoreKv, WhatIsNoNumberBecomesZero) {
  std::vector<float> values(32, 1.0f);
  values[7] = std::numeric_limits<float>::quiet_NaN();
  for (const KvType type : {KvType::kF16, KvType::kQ8_0}) {
    const std::vector<float> read = StoredAndRead(type, values);
    EXPECT_EQ(read[7], 0);
    EXPECT_NEAR(read[8], 1, 1e-3);
  }
}

TEST(StoreKv, RefusesPartialBlocks) { EXPECT_DEATH(KvBytes(KvType::kQ8_0, 33), "kValues"); }

}  // namespace
}  // namespace hearth
