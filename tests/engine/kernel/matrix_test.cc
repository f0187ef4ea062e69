#include "engine/kernel/matrix.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/fixed_point.h"
#include "engine/kernel/matrix_tiles.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

Matrix PackOrDie(const TestMatrix& m, ThreadPool& pool, Arithmetic arithmetic = Arithmetic::kFast) {
  absl::StatusOr<Matrix> matrix = Matrix::Pack(m.type, m.rows, m.cols, m.blocks(), pool, arithmetic);
  EXPECT_TRUE(matrix.ok()) << matrix.status();
  return *std::move(matrix);
}

// The product of `tokens` rows of x with one matrix: (tokens, rows).
std::vector<float> Multiply(ThreadPool& pool, const Matrix& weights, const float* values, size_t tokens,
                            size_t stride) {
  Activations x;
  x.Set(values, tokens, weights.cols(), stride);
  std::vector<float> out(tokens * weights.rows());
  const Product product = {&weights, out.data(), weights.rows()};
  MatMul(pool, x, {&product, 1});
  return out;
}

size_t SmallestCols(TensorType type) { return GetTypeInfo(type).block_values; }

// Compares with the exact product of the dequantised weights and `x`. Sums run over at most 256 columns at a
// time.
void ExpectProduct(const TestMatrix& m, const std::vector<float>& x, size_t tokens, size_t stride,
                   const std::vector<float>& actual) {
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < m.rows; ++r) {
      double exact = 0, magnitude = 0;
      for (size_t c = 0; c < m.cols; ++c) {
        const double product = double{m.values[r * m.cols + c]} * x[t * stride + c];
        exact += product;
        magnitude += std::fabs(product);
      }
      const double roundings = std::min<double>(m.cols, 256) + m.cols / 256.0 + 2;
      ASSERT_NEAR(actual[t * m.rows + r], exact, roundings * kRounding * magnitude + kSmallestNormal)
          << TypeName(m.type) << " row " << r << " of " << m.rows << ", token " << t << ", " << m.cols
          << " columns";
    }
  }
}

TEST(MatMulFloat32, MatchesTheDequantisedProductForEveryType) {
  ForEachTarget([] {
    ThreadPool pool(1);
    for (const TypeInfo& info : AllTypes()) {
      const TensorType type = info.type;
      const size_t block = SmallestCols(type);
      for (const size_t cols : {block, block == 1 ? 67 : 3 * block, block == 1 ? 300 : 512 + block}) {
        const TestMatrix m = RandomMatrix(type, 17, cols, 1);
        const size_t stride = cols + 3;
        const std::vector<float> x = RandomFloats(3 * stride, 2);
        const Matrix weights = PackOrDie(m, pool, Arithmetic::kFloat32);
        ExpectProduct(m, x, 3, stride, Multiply(pool, weights, x.data(), 3, stride));
      }
    }
  });
}

TEST(MatMulFloat32, HandlesEveryNumberOfRowsAndTokens) {
  ForEachTarget([] {
    ThreadPool pool(1);
    for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ4_0}) {
      for (const size_t rows : {1, 15, 16, 33, 65, 130}) {
        for (const size_t tokens : {1, 2, 5, 13, 65}) {
          const TestMatrix m = RandomMatrix(type, rows, 96, 3);
          const std::vector<float> x = RandomFloats(tokens * 96, 4);
          const Matrix weights = PackOrDie(m, pool, Arithmetic::kFloat32);
          ExpectProduct(m, x, tokens, 96, Multiply(pool, weights, x.data(), tokens, 96));
        }
      }
    }
  });
}

// The types whose weights meet 8-bit activations, with Arithmetic::kFast.
std::vector<TensorType> IntegerTypes() {
  return {TensorType::kQ4_0,   TensorType::kQ4_1,   TensorType::kQ5_0, TensorType::kQ5_1, TensorType::kQ8_0,
          TensorType::kQ2_K,   TensorType::kQ3_K,   TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K,
          TensorType::kIQ4_NL, TensorType::kIQ4_XS, TensorType::kMXFP4};
}

// x as the integer kernels of a type see it: blocks as long as the type's own, of multiples of a 127th of the
// largest value.
std::vector<float> RoundedToBlocks(TensorType type, const std::vector<float>& x) {
  const size_t values = std::max<size_t>(32, SmallestCols(type));
  std::vector<float> rounded(x.size());
  for (size_t block = 0; block + values <= x.size(); block += values) {
    float largest = 0;
    for (size_t i = block; i < block + values; ++i) largest = std::max(largest, std::fabs(x[i]));
    if (largest == 0) continue;
    for (size_t i = block; i < block + values; ++i) {
      rounded[i] = std::nearbyint(x[i] * (127.0f / largest)) * (largest / 127.0f);
    }
  }
  return rounded;
}

// The integer sums are exact; what remains are the roundings of the scales and of the float sum of the units.
// A type with minima subtracts terms as large as those it adds, so their magnitudes count.
void ExpectIntegerProduct(const TestMatrix& m, const std::vector<float>& x, size_t tokens,
                          const std::vector<float>& actual) {
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < m.rows; ++r) {
      double exact = 0, magnitude = 0;
      for (size_t c = 0; c < m.cols; ++c) {
        const double product = double{m.values[r * m.cols + c]} * x[t * m.cols + c];
        exact += product;
        magnitude += 64 * std::fabs(x[t * m.cols + c]);
      }
      const double roundings = m.cols / 32.0 + 4;
      ASSERT_NEAR(actual[t * m.rows + r], exact, roundings * kRounding * magnitude + kSmallestNormal)
          << TypeName(m.type) << " row " << r << " of " << m.rows << ", token " << t << ", " << m.cols
          << " columns";
    }
  }
}

TEST(MatMulFast, MatchesTheProductWithRoundedActivations) {
  ForEachTarget([] {
    ThreadPool pool(1);
    for (const TensorType type : IntegerTypes()) {
      const size_t block = SmallestCols(type);
      for (const size_t cols : {block, 3 * block, 512 + block}) {
        for (const size_t rows : {1, 16, 19}) {
          const TestMatrix m = RandomMatrix(type, rows, cols, 1);
          const std::vector<float> x = RoundedToBlocks(type, RandomFloats(3 * cols, 2));
          const Matrix weights = PackOrDie(m, pool);
          ASSERT_TRUE(weights.owns_memory());
          for (const size_t tokens : {1, 3}) {
            ExpectIntegerProduct(m, x, tokens, Multiply(pool, weights, x.data(), tokens, cols));
          }
        }
      }
    }
  });
}

TEST(MatMulFast, RoundsActivationsForTypesWithoutIntegerKernelsToo) {
  const std::vector<TensorType> integer_types = IntegerTypes();
  ForEachTarget([&] {
    ThreadPool pool(1);
    for (const TypeInfo& info : AllTypes()) {
      const size_t block = info.block_values;
      if (block == 1 || std::count(integer_types.begin(), integer_types.end(), info.type) > 0) continue;
      const TestMatrix m = RandomMatrix(info.type, 17, 3 * block, 1);
      const std::vector<float> x = RandomFloats(3 * m.cols, 2);
      const std::vector<float> actual = Multiply(pool, PackOrDie(m, pool), x.data(), 3, m.cols);
      ExpectProduct(m, RoundedToBlocks(info.type, x), 3, m.cols, actual);
    }
  });
}

TEST(MatMulFast, GivesTheSameBitsOnEveryTargetWithFusedMultiplyAdd) {
  ThreadPool pool(1);
  for (const TensorType type : IntegerTypes()) {
    const TestMatrix m = RandomMatrix(type, 33, 1024, 3);
    const std::vector<float> x = RandomFloats(5 * 1024, 4);
    std::vector<std::vector<float>> results;
    ForEachTarget([&] { results.push_back(Multiply(pool, PackOrDie(m, pool), x.data(), 5, 1024)); });
    // Best first; the last two (SSE4, scalar) round products before they add.
    for (size_t i = 0; i + 2 < results.size(); ++i) EXPECT_EQ(results[i], results[0]) << TypeName(type);
  }
}

TEST(MatMulFast, OfZeroActivationsIsZero) {
  ThreadPool pool(1);
  const TestMatrix m = RandomMatrix(TensorType::kQ4_K, 16, 256, 5);
  for (const float v : Multiply(pool, PackOrDie(m, pool), std::vector<float>(256).data(), 1, 256))
    EXPECT_EQ(v, 0);
}

TEST(MatMulFast, PassesOnWhatIsNotFinite) {
  ForEachTarget([] {
    ThreadPool pool(1);
    const TestMatrix m = RandomMatrix(TensorType::kQ8_0, 16, 64, 6);
    for (const float bad :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> x(64, 1.0f);
      x[40] = bad;
      for (const float v : Multiply(pool, PackOrDie(m, pool), x.data(), 1, 64))
        EXPECT_FALSE(std::isfinite(v));
    }
  });
}

std::string ModeName(const ::testing::TestParamInfo<std::tuple<TensorType, Arithmetic>>& info) {
  const bool fast = std::get<1>(info.param) == Arithmetic::kFast;
  return TypeName(std::get<0>(info.param)) + (fast ? "Fast" : "Float32");
}

class MatMulBits : public ::testing::TestWithParam<std::tuple<TensorType, Arithmetic>> {
 protected:
  TestMatrix Random(size_t rows, size_t cols, uint32_t seed) const {
    return RandomMatrix(std::get<0>(GetParam()), rows, cols, seed);
  }
  Matrix Pack(const TestMatrix& m, ThreadPool& pool) const {
    return PackOrDie(m, pool, std::get<1>(GetParam()));
  }
};

TEST_P(MatMulBits, DoNotDependOnThreads) {
  const TestMatrix m = Random(203, 512, 5);
  const std::vector<float> x = RandomFloats(7 * 512, 6);
  ThreadPool one(1);
  const std::vector<float> expected = Multiply(one, Pack(m, one), x.data(), 7, 512);
  for (const int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(Multiply(pool, Pack(m, pool), x.data(), 7, 512), expected) << threads << " threads";
  }
}

TEST_P(MatMulBits, DoNotDependOnTheNumberOfTokens) {
  ForEachTarget([this] {
    ThreadPool pool(1);
    constexpr size_t kTokens = 97, kCols = 768, kRows = 83;
    const TestMatrix m = Random(kRows, kCols, 7);
    const Matrix weights = Pack(m, pool);
    const std::vector<float> x = RandomFloats(kTokens * kCols, 8);
    const std::vector<float> together = Multiply(pool, weights, x.data(), kTokens, kCols);
    size_t token = 0;
    for (const size_t tokens : {1, 2, 3, 4, 7, 16, 31, 33}) {
      const std::vector<float> part = Multiply(pool, weights, x.data() + token * kCols, tokens, kCols);
      const std::vector<float> expected(together.begin() + token * kRows,
                                        together.begin() + (token + tokens) * kRows);
      EXPECT_EQ(part, expected) << tokens << " tokens from " << token;
      token += tokens;
    }
  });
}

TEST_P(MatMulBits, DoNotDependOnMatrixTiles) {
  ThreadPool pool(1);
  const TestMatrix m = Random(37, 1280, 21);
  const Matrix weights = Pack(m, pool);
  const std::vector<float> x = RandomFloats(150 * 1280, 22);
  const std::vector<float> with = Multiply(pool, weights, x.data(), 150, 1280);
  DisableMatrixTilesForTest(true);
  const std::vector<float> without = Multiply(pool, weights, x.data(), 150, 1280);
  DisableMatrixTilesForTest(false);
  EXPECT_EQ(with, without);
}

TEST_P(MatMulBits, OfFixedPointSumsDoNotDependOnMatrixTiles) {
  ThreadPool pool(2);
  const TestMatrix m = Random(18, 1024, 23);
  const Matrix weights = Pack(m, pool);
  const std::vector<float> x = RandomFloats(20 * 1024, 24);
  // Groups of one unit, of less than a strip and of several strips, where the type's block allows.
  const uint32_t block = std::max<uint32_t>(32, GetTypeInfo(m.type).block_values);
  const std::vector<uint32_t> ends = {block, block, 2 * block, 1024 - block, 1024};
  Activations activations;
  activations.Set(x.data(), 20, 1024, 1024);
  std::vector<int64_t> with(20 * 18), without(20 * 18);
  MatMulFixedPoint(pool, activations, weights, ends, with.data(), 18);
  DisableMatrixTilesForTest(true);
  MatMulFixedPoint(pool, activations, weights, ends, without.data(), 18);
  DisableMatrixTilesForTest(false);
  EXPECT_EQ(with, without);
}

TEST_P(MatMulBits, DoNotDependOnOtherProductsOfTheCall) {
  ThreadPool pool(3);
  const TestMatrix m_a = Random(100, 256, 9), m_b = Random(17, 256, 10);
  const Matrix a = Pack(m_a, pool), b = Pack(m_b, pool);
  const std::vector<float> x = RandomFloats(2 * 256, 11);
  Activations activations;
  activations.Set(x.data(), 2, 256, 256);
  std::vector<float> out_a(2 * 100), out_b(2 * 20, -1.0f);
  const Product products[] = {{&a, out_a.data(), 100}, {&b, out_b.data(), 20}};
  MatMul(pool, activations, products);
  EXPECT_EQ(out_a, Multiply(pool, a, x.data(), 2, 256));
  const std::vector<float> alone = Multiply(pool, b, x.data(), 2, 256);
  EXPECT_TRUE(std::equal(out_b.begin(), out_b.begin() + 17, alone.begin()));
  EXPECT_EQ(out_b[17], -1.0f) << "wrote beyond its rows";
}

// The columns [begin, end) of a matrix; whole blocks.
TestMatrix ColumnsOf(const TestMatrix& m, size_t begin, size_t end) {
  const TypeInfo& info = GetTypeInfo(m.type);
  TestMatrix part{m.type, m.rows, end - begin, {0}, {}};
  for (size_t r = 0; r < m.rows; ++r) {
    const uint8_t* row = m.row(r) + begin / info.block_values * info.block_bytes;
    part.storage.insert(part.storage.end(), row, row + (end - begin) / info.block_values * info.block_bytes);
  }
  return part;
}

TEST_P(MatMulBits, OfFixedPointSumsDoNotDependOnHowGroupsAreCutIntoMatrices) {
  ForEachTarget([this] {
    constexpr size_t kRows = 21, kCols = 1536, kTokens = 2;
    const std::vector<uint32_t> ends = {256, 768, 1024, 1536};
    ThreadPool pool(2);
    const TestMatrix m = Random(kRows, kCols, 12);
    const std::vector<float> x = RandomFloats(kTokens * kCols, 13);
    Activations activations;
    activations.Set(x.data(), kTokens, kCols, kCols);
    std::vector<int64_t> whole(kTokens * kRows, 3), cut(kTokens * kRows, 3);
    MatMulFixedPoint(pool, activations, Pack(m, pool), ends, whole.data(), kRows);
    const size_t parts[][2] = {{768, 1536}, {0, 768}};
    for (const auto& [begin, end] : parts) {
      std::vector<uint32_t> part_ends;
      for (const uint32_t group_end : ends) {
        if (group_end > begin && group_end <= end) part_ends.push_back(group_end - begin);
      }
      activations.Set(x.data() + begin, kTokens, end - begin, kCols);
      MatMulFixedPoint(pool, activations, Pack(ColumnsOf(m, begin, end), pool), part_ends, cut.data(), kRows);
    }
    EXPECT_EQ(whole, cut);
  });
}

TEST_P(MatMulBits, OfFixedPointSumsAreThoseOfEveryGroupsOwnProductWhereverGroupsEnd) {
  ForEachTarget([this] {
    constexpr size_t kRows = 83, kCols = 1536, kMostTokens = 20;
    ThreadPool pool(2);
    const TestMatrix m = Random(kRows, kCols, 25);
    const Matrix weights = Pack(m, pool);
    const std::vector<float> x = RandomFloats(kMostTokens * kCols, 26);
    // At a strip's start, end and inside; several in one strip; without columns at both ends and between.
    const std::vector<uint32_t> ends =
        GetTypeInfo(m.type).block_values <= 32
            ? std::vector<uint32_t>{0, 32, 32, 96, 256, 288, 1024, 1504, 1536, 1536}
            : std::vector<uint32_t>{0, 256, 256, 768, 1024, 1536, 1536};
    for (const size_t tokens : {size_t{1}, size_t{2}, kMostTokens}) {
      Activations activations;
      activations.Set(x.data(), tokens, kCols, kCols);
      std::vector<int64_t> sums(tokens * kRows, 3), expected(tokens * kRows, 3);
      MatMulFixedPoint(pool, activations, weights, ends, sums.data(), kRows);
      size_t begin = 0;
      for (const uint32_t end : ends) {
        if (end == begin) continue;
        const TestMatrix columns = ColumnsOf(m, begin, end);  // may be borrowed
        const std::vector<float> products =
            Multiply(pool, Pack(columns, pool), x.data() + begin, tokens, kCols);
        for (size_t i = 0; i < products.size(); ++i) expected[i] += ToFixedPoint(products[i]);
        begin = end;
      }
      EXPECT_EQ(sums, expected) << tokens << " tokens";
    }
  });
}

TEST_P(MatMulBits, OfAFixedPointSumWithOneGroupAreThoseOfTheProduct) {
  ThreadPool pool(1);
  const TestMatrix m = Random(40, 512, 14);
  const Matrix weights = Pack(m, pool);
  const std::vector<float> x = RandomFloats(512, 15);
  Activations activations;
  activations.Set(x.data(), 1, 512, 512);
  std::vector<int64_t> sums(40, 11);
  MatMulFixedPoint(pool, activations, weights, {512}, sums.data(), 40);
  const std::vector<float> product = Multiply(pool, weights, x.data(), 1, 512);
  for (size_t r = 0; r < 40; ++r) EXPECT_EQ(sums[r], 11 + ToFixedPoint(product[r]));
}

INSTANTIATE_TEST_SUITE_P(
    Types, MatMulBits,
    ::testing::Combine(::testing::Values(TensorType::kF32, TensorType::kF16, TensorType::kBF16,
                                         TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_1,
                                         TensorType::kQ2_K, TensorType::kQ3_K, TensorType::kQ4_K,
                                         TensorType::kQ5_K, TensorType::kQ6_K, TensorType::kIQ4_NL,
                                         TensorType::kIQ4_XS, TensorType::kMXFP4),
                       ::testing::Values(Arithmetic::kFast, Arithmetic::kFloat32)),
    ModeName);

TEST(MatrixPack, AcceptsAMatrixWithoutRows) {
  ThreadPool pool(1);
  const absl::StatusOr<Matrix> matrix = Matrix::Pack(TensorType::kQ4_0, 0, 64, {}, pool);
  ASSERT_TRUE(matrix.ok());
  EXPECT_TRUE(matrix->empty());
  EXPECT_EQ(matrix->bytes(), 0);
  EXPECT_TRUE(Multiply(pool, *matrix, std::vector<float>(64).data(), 1, 64).empty());
}

TEST(MatrixPack, RefusesColumnsThatAreNoWholeBlocks) {
  ThreadPool pool(1);
  const std::vector<uint8_t> bytes(18);
  EXPECT_EQ(Matrix::Pack(TensorType::kQ4_0, 1, 33, bytes, pool).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MatrixPack, RefusesTooFewAndTooManyBytes) {
  ThreadPool pool(1);
  for (const size_t size : {0, 17, 19, 36}) {
    const std::vector<uint8_t> bytes(size);
    const absl::Status status = Matrix::Pack(TensorType::kQ4_0, 1, 32, bytes, pool).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("Q4_0 matrix of 1 x 32"));
  }
}

TEST(MatrixPack, RefusesSizesThatOverflow) {
  ThreadPool pool(1);
  const std::vector<uint8_t> bytes(32);
  const size_t huge = size_t{1} << 62;
  EXPECT_FALSE(Matrix::Pack(TensorType::kF32, huge, 4, bytes, pool).ok());
  EXPECT_FALSE(Matrix::Pack(TensorType::kQ8_0, 4, huge, bytes, pool).ok());
}

TEST(MatrixPack, OwnsAboutAsManyBytesAsTheFileHas) {
  ThreadPool pool(1);
  for (const TensorType type : {TensorType::kF16, TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_K}) {
    const TestMatrix m = RandomMatrix(type, 64, 1024, 16);
    EXPECT_LE(PackOrDie(m, pool).bytes(), m.blocks().size() * 1.01) << TypeName(type);
  }
}

TEST(MatrixPack, KeepsNothingOfTheSourceItOwnsACopyOf) {
  ThreadPool pool(1);
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kQ4_0, TensorType::kQ6_K}) {
    TestMatrix m = RandomMatrix(type, 20, 256, 17);
    const std::vector<float> x = RandomFloats(256, 18);
    const Matrix weights = PackOrDie(m, pool);
    ASSERT_TRUE(weights.owns_memory());
    const std::vector<float> before = Multiply(pool, weights, x.data(), 1, 256);
    std::fill(m.storage.begin(), m.storage.end(), 0xff);
    EXPECT_EQ(Multiply(pool, weights, x.data(), 1, 256), before) << TypeName(type);
  }
}

TEST(MatrixPackRows, GivesTheMatrixThatTheSameBytesInOnePieceGive) {
  ThreadPool pool(3);
  for (const TensorType type :
       {TensorType::kF32, TensorType::kF16, TensorType::kQ4_0, TensorType::kQ6_K, TensorType::kIQ2_S}) {
    for (const Arithmetic arithmetic : {Arithmetic::kFast, Arithmetic::kFloat32}) {
      const TestMatrix m = RandomMatrix(type, 85, 512, 20);
      const std::vector<float> x = RandomFloats(512, 21);
      const size_t row_bytes = m.blocks().size() / m.rows;
      const absl::StatusOr<Matrix> weights = Matrix::PackRows(
          type, m.rows, m.cols,
          [&](size_t first, size_t count, uint8_t* out) {
            ASSERT_LE(first + count, m.rows);
            std::copy_n(m.blocks().begin() + first * row_bytes, count * row_bytes, out);
          },
          pool, arithmetic);
      ASSERT_TRUE(weights.ok()) << weights.status();
      EXPECT_TRUE(weights->owns_memory());
      EXPECT_EQ(Multiply(pool, *weights, x.data(), 1, 512),
                Multiply(pool, PackOrDie(m, pool, arithmetic), x.data(), 1, 512))
          << TypeName(type);
    }
  }
}

TEST(MatrixRepeat, MultipliesAsItsPieceDoesAgainAndAgain) {
  ThreadPool pool(3);
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kQ4_0, TensorType::kQ6_K}) {
    const Matrix piece = PackOrDie(RandomMatrix(type, 128, 512, 22), pool);
    const std::vector<float> x = RandomFloats(512, 23);
    const absl::StatusOr<Matrix> repeated = Matrix::Repeat(piece, 3, pool);
    ASSERT_TRUE(repeated.ok()) << repeated.status();
    EXPECT_EQ(repeated->bytes(), 3 * piece.bytes());
    std::vector<float> expected;
    for (int copy = 0; copy < 3; ++copy) {
      const std::vector<float> once = Multiply(pool, piece, x.data(), 1, 512);
      expected.insert(expected.end(), once.begin(), once.end());
    }
    EXPECT_EQ(Multiply(pool, *repeated, x.data(), 1, 512), expected) << TypeName(type);
  }
}

TEST(MatrixRepeat, RefusesWhatTheSystemCannotHold) {
  ThreadPool pool(1);
  const Matrix piece = PackOrDie(RandomMatrix(TensorType::kQ4_0, 64, 64, 24), pool);
  EXPECT_EQ(Matrix::Repeat(piece, size_t{1} << 60, pool).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(MatrixPackRows, RefusesWhatNoMatrixCanBeWithoutReadingIt) {
  ThreadPool pool(1);
  const auto read = [](size_t, size_t, uint8_t*) { FAIL() << "read"; };
  EXPECT_FALSE(Matrix::PackRows(TensorType::kQ4_0, 1, 33, read, pool).ok());
  EXPECT_FALSE(Matrix::PackRows(TensorType::kF32, size_t{1} << 62, 4, read, pool).ok());
  EXPECT_FALSE(Matrix::PackRows(TensorType::kIQ2_S, size_t{1} << 62, 256, read, pool).ok());
  EXPECT_TRUE(Matrix::PackRows(TensorType::kQ4_0, 0, 64, read, pool)->empty());
}

TEST(MatMulDeathTest, RefusesActivationsOfAnotherWidth) {
  ThreadPool pool(1);
  const TestMatrix m = RandomMatrix(TensorType::kF32, 2, 8, 19);
  const Matrix weights = PackOrDie(m, pool);
  const std::vector<float> x(9);
  Activations a;
  a.Set(x.data(), 1, 9, 9);
  float out[2];
  const Product product = {&weights, out, 2};
  EXPECT_DEATH(MatMul(pool, a, absl::MakeConstSpan(&product, 1)), "cols");
}

TEST(MatMulDeathTest, RefusesGroupsThatCutABlock) {
  ThreadPool pool(1);
  const TestMatrix m = RandomMatrix(TensorType::kQ4_0, 2, 64, 20);
  const Matrix weights = PackOrDie(m, pool);
  const std::vector<float> x(64);
  Activations a;
  a.Set(x.data(), 1, 64, 64);
  int64_t sums[2];
  const std::vector<uint32_t> cutting = {16, 64}, short_of_end = {32};
  EXPECT_DEATH(MatMulFixedPoint(pool, a, weights, cutting, sums, 2), "group_ends");
  EXPECT_DEATH(MatMulFixedPoint(pool, a, weights, short_of_end, sums, 2), "group_ends");
}

}  // namespace
}  // namespace hearth
