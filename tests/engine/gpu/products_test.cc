#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/kernel/fixed_point.h"
#include "tests/engine/gpu/gpu_fixture.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

constexpr TensorType kTypes[] = {
    TensorType::kF32,  TensorType::kF16,  TensorType::kBF16,   TensorType::kQ4_0,   TensorType::kQ4_1,
    TensorType::kQ5_0, TensorType::kQ5_1, TensorType::kQ8_0,   TensorType::kQ3_K,   TensorType::kQ4_K,
    TensorType::kQ5_K, TensorType::kQ6_K, TensorType::kIQ4_NL, TensorType::kIQ4_XS, TensorType::kMXFP4};

uint32_t BlockCols(TensorType type) { return std::max(32u, GetTypeInfo(type).block_values); }

// What 8-bit activations stand for: every block of columns times its scale.
std::vector<float> RoundedRows(const std::vector<float>& x, size_t rows, size_t cols, size_t block) {
  std::vector<float> rounded(x.size());
  for (size_t t = 0; t < rows; ++t) {
    for (size_t begin = 0; begin < cols; begin += block) {
      const size_t end = std::min(begin + block, cols);
      float largest = 0;
      for (size_t c = begin; c < end; ++c) largest = std::max(largest, std::fabs(x[t * cols + c]));
      const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
      for (size_t c = begin; c < end; ++c) {
        rounded[t * cols + c] = largest / 127.0f * std::nearbyint(x[t * cols + c] * inverse);
      }
    }
  }
  return rounded;
}

struct Oracle {
  double sum = 0;
  double magnitude = 0;  // of the terms: what rounding errors are relative to
};
Oracle DotOf(const float* w, const float* x, size_t n) {
  Oracle oracle;
  for (size_t i = 0; i < n; ++i) {
    const double term = double{w[i]} * double{x[i]};
    oracle.sum += term;
    oracle.magnitude += std::fabs(term);
  }
  return oracle;
}
// Products of units with a minimum are differences of larger numbers.
double ToleranceOf(const Oracle& oracle, size_t n) {
  return (8 + std::sqrt(static_cast<double>(n))) * 4 * kRounding * oracle.magnitude + 1e-30;
}

class ProductsTest : public GpuTest {
 protected:
  static constexpr uint32_t kRows = 37;

  // Columns that leave lanes without a unit, and whole super-blocks where the type wants them.
  static uint32_t Cols(TensorType type) {
    const uint32_t block = GetTypeInfo(type).block_values;
    return block == 1 ? 300 : block == 32 ? 352 : 768;
  }
};
INSTANTIATE_TEST_SUITE_P(All, ProductsTest, testing::ValuesIn(kGpuSettings), SettingName);

TEST_P(ProductsTest, EveryTypeTimesAnyNumberOfTokensIsTheProduct) {
  for (const TensorType type : kTypes) {
    SCOPED_TRACE(GetTypeInfo(type).name);
    const uint32_t cols = Cols(type);
    const TestMatrix w = RandomMatrix(type, kRows, cols, 1);
    const GpuLinear linear = Upload(type, kRows, cols, w.blocks());
    const uint32_t rows = gpu::kMaxTokens + 1;
    const std::vector<float> x = RandomFloats(size_t{rows} * cols, 2);
    GpuActivations activations = Activations(x, rows, cols);
    for (const bool exact : {false, true}) {
      const bool rounds = !exact && gpu::HasCodes(linear.matrix.type);
      const std::vector<float> seen = rounds ? RoundedRows(x, rows, cols, BlockCols(type)) : x;
      for (const uint32_t count : {1u, 2u, 3u, 5u, 8u}) {
        const GpuBuffer out = Zeros(size_t{rows} * kRows * sizeof(float));
        const GpuBuffer bias = Upload(std::vector<float>(kRows, 0.25f));
        gpu::MatVecArgs args;
        args.products[0] = {linear.matrix, out.as<float>(), kRows, bias.as<float>(), 2.0f};
        args.product_count = 1;
        args.x = activations.For(linear.matrix.type, exact, rows, *stream_);
        args.tokens.count = count;
        for (uint32_t t = 0; t < count; ++t) {
          args.tokens.in[t] = (t + 3) % rows;
          args.tokens.out[t] = count - 1 - t;
        }
        stream_->MatVec(args, exact);
        const std::vector<float> results = Read(out.as<float>(), size_t{count} * kRows);
        for (uint32_t t = 0; t < count; ++t) {
          for (uint32_t r = 0; r < kRows; ++r) {
            const Oracle oracle =
                DotOf(&w.values[size_t{r} * cols], &seen[size_t{args.tokens.in[t]} * cols], cols);
            ASSERT_NEAR(results[size_t{args.tokens.out[t]} * kRows + r], 2 * oracle.sum + 0.25,
                        2 * ToleranceOf(oracle, cols) + 1e-6)
                << "token " << t << " of " << count << ", row " << r << (exact ? ", exact" : "");
          }
        }
      }
    }
  }
}

TEST_P(ProductsTest, FixedPointSumsAreAddedToWhatIsThere) {
  for (const TensorType type : kTypes) {
    SCOPED_TRACE(GetTypeInfo(type).name);
    const uint32_t cols = Cols(type);
    const TestMatrix w = RandomMatrix(type, kRows, cols, 3);
    const GpuLinear linear = Upload(type, kRows, cols, w.blocks());
    const uint32_t rows = 3;
    const std::vector<float> x = RandomFloats(size_t{rows} * cols, 4);
    GpuActivations activations = Activations(x, rows, cols);
    const bool rounds = gpu::HasCodes(linear.matrix.type);
    const std::vector<float> seen = rounds ? RoundedRows(x, rows, cols, BlockCols(type)) : x;
    const GpuBuffer sums = UploadAll(std::vector<int64_t>(size_t{rows} * (kRows + 1), ToFixedPoint(0.5f)));
    gpu::TokenRows tokens;
    tokens.count = rows;
    for (uint32_t t = 0; t < rows; ++t) tokens.in[t] = tokens.out[t] = t;
    stream_->FixedMatVec({linear.matrix, activations.For(linear.matrix.type, false, rows, *stream_), tokens,
                          sums.as<int64_t>(), kRows + 1},
                         false);
    const std::vector<int64_t> results = Read(sums.as<int64_t>(), size_t{rows} * (kRows + 1));
    for (uint32_t t = 0; t < rows; ++t) {
      for (uint32_t r = 0; r < kRows; ++r) {
        const Oracle oracle = DotOf(&w.values[size_t{r} * cols], &seen[size_t{t} * cols], cols);
        const double units = (cols + 31) / 32;
        ASSERT_NEAR(static_cast<double>(results[size_t{t} * (kRows + 1) + r]) * kFixedPointInverse,
                    0.5 + oracle.sum, ToleranceOf(oracle, 32) + units * kFixedPointInverse)
            << "row " << r;
      }
      EXPECT_EQ(results[size_t{t} * (kRows + 1) + kRows], ToFixedPoint(0.5f));  // beyond the matrix
    }
  }
}

TEST_P(ProductsTest, FixedPointSumsDoNotDependOnHowColumnsAreShared) {
  const uint32_t cols = 512, half = cols / 2;
  const TestMatrix w = RandomMatrix(TensorType::kQ4_0, kRows, cols, 5);
  const std::vector<float> x = RandomFloats(cols, 6);
  const auto sums_of = [&](uint32_t begin, uint32_t end, const GpuBuffer& sums) {
    const size_t bytes = (end - begin) / 32 * 18;
    std::vector<uint8_t> part;
    for (uint32_t r = 0; r < kRows; ++r) {
      part.insert(part.end(), w.row(r) + begin / 32 * 18, w.row(r) + begin / 32 * 18 + bytes);
    }
    const GpuLinear linear = Upload(TensorType::kQ4_0, kRows, end - begin, part);
    GpuActivations activations = Activations({x.begin() + begin, x.begin() + end}, 1, end - begin);
    gpu::TokenRows tokens;
    tokens.count = 1;
    stream_->FixedMatVec({linear.matrix, activations.For(linear.matrix.type, false, 1, *stream_), tokens,
                          sums.as<int64_t>(), kRows},
                         false);
    stream_->Finish();
  };
  const GpuBuffer whole = Zeros(kRows * 8), parts = Zeros(kRows * 8);
  sums_of(0, cols, whole);
  sums_of(half, cols, parts);
  sums_of(0, half, parts);
  EXPECT_EQ(Read(whole.as<int64_t>(), kRows), Read(parts.as<int64_t>(), kRows));
}

TEST_P(ProductsTest, RowsThatNoTokenWantsAreZeroAndOthersAreNot) {
  const uint32_t cols = 64, count = 2;
  const TestMatrix w = RandomMatrix(TensorType::kQ8_0, kRows, cols, 7);
  const GpuLinear linear = Upload(TensorType::kQ8_0, kRows, cols, w.blocks());
  GpuActivations activations = Activations(RandomFloats(size_t{count} * cols, 8), count, cols);
  std::vector<float> scores(size_t{count} * kRows);
  for (uint32_t r = 0; r < kRows; ++r) {
    scores[r] = r % 3 == 0 ? 1.0f : 0.0f;
    scores[kRows + r] = r % 5 == 0 ? 1.0f : 0.0f;
  }
  scores[1] = std::numeric_limits<float>::quiet_NaN();
  const GpuBuffer values = Upload(scores);
  const GpuBuffer out = Zeros(size_t{count} * kRows * sizeof(float));
  gpu::MatVecArgs args;
  args.products[0] = {linear.matrix, out.as<float>(), kRows, nullptr, 1};
  args.product_count = 1;
  args.x = activations.For(linear.matrix.type, false, count, *stream_);
  args.tokens.count = count;
  args.tokens.in[1] = args.tokens.out[1] = 1;
  args.mask = {values.as<float>(), kRows, 1.0f, false};
  stream_->MatVec(args, false);
  const std::vector<float> results = Read(out.as<float>(), size_t{count} * kRows);
  for (uint32_t r = 0; r < kRows; ++r) {
    EXPECT_EQ(results[r] != 0, r % 3 == 0 || r == 1) << "row " << r;  // what is no number counts as wanted
    EXPECT_EQ(results[kRows + r] != 0, r % 5 == 0) << "row " << r;
  }
}

TEST_P(ProductsTest, NeuronsThatFireAreSummedByNeuron) {
  for (const TensorType type : kTypes) {
    SCOPED_TRACE(GetTypeInfo(type).name);
    const uint32_t outputs = Cols(type) == 300 ? 320 : Cols(type), neurons = 70, count = 2;
    const TestMatrix w = RandomMatrix(type, neurons, outputs, 9);
    const GpuLinear linear = Upload(type, neurons, outputs, w.blocks());
    std::vector<float> h = RandomFloats(size_t{count} * neurons, 10);
    for (size_t i = 0; i < h.size(); ++i) h[i] = i % 3 == 0 ? h[i] : 0.0f;
    GpuActivations hidden = Activations(h, count, neurons);
    const GpuBuffer sums = Zeros(size_t{count} * outputs * sizeof(int64_t));
    stream_->NeuronSum(
        {linear.matrix, hidden.RoundedBy(linear.matrix.type, true), count, {}, sums.as<int64_t>(), outputs});
    const std::vector<int64_t> results = Read(sums.as<int64_t>(), size_t{count} * outputs);
    for (uint32_t t = 0; t < count; ++t) {
      for (uint32_t c = 0; c < outputs; ++c) {
        Oracle oracle;
        for (uint32_t n = 0; n < neurons; ++n) {
          const double term = double{h[size_t{t} * neurons + n]} * double{w.values[size_t{n} * outputs + c]};
          oracle.sum += term;
          oracle.magnitude += std::fabs(term);
        }
        ASSERT_NEAR(static_cast<double>(results[size_t{t} * outputs + c]) * kFixedPointInverse, oracle.sum,
                    ToleranceOf(oracle, 32) + 3 * kFixedPointInverse);
      }
    }
  }
}

// A gap of some rows, of values of `x` and of results between one head's and the next.
TEST_P(ProductsTest, EveryHeadsOwnRowsTimesItsPartOfARow) {
  constexpr uint32_t kHeads = 3, kHeadRows = 41, kFirst = 2, kKept = 5, kCount = 4;
  for (const TensorType type : kTypes) {
    SCOPED_TRACE(GetTypeInfo(type).name);
    const uint32_t cols = Cols(type);
    const TestMatrix w = RandomMatrix(type, kHeads * kHeadRows, cols, 13);
    const GpuLinear linear = Upload(type, kHeads * kHeadRows, cols, w.blocks());
    for (const bool transposed : {false, true}) {
      const uint32_t read = transposed ? kRows : cols, made = transposed ? cols : kRows;
      gpu::HeadProductArgs args;
      args.weights = linear.matrix;
      args.heads = kHeads;
      args.head_rows = kHeadRows;
      args.first_row = kFirst;
      args.rows = kRows;
      args.cols = cols;
      args.transposed = transposed;
      args.x_head = read + kKept + 1;
      args.x_stride = kHeads * args.x_head + 3;
      args.out_head = made + kKept + 2;
      args.out_stride = kHeads * args.out_head + 1;
      args.kept = kKept;
      args.count = kCount;
      const std::vector<float> x = RandomFloats(size_t{kCount} * args.x_stride, 14);
      const GpuBuffer values = Upload(x), out = Zeros(size_t{kCount} * args.out_stride * sizeof(float));
      args.x = values.as<float>();
      args.out = out.as<float>();
      stream_->HeadProducts(args);
      const std::vector<float> results = Read(out.as<float>(), size_t{kCount} * args.out_stride);
      for (uint32_t i = 0; i < kCount * kHeads; ++i) {
        const uint32_t t = i / kHeads, head = i % kHeads;
        const float* in = &x[size_t{t} * args.x_stride + head * args.x_head];
        const float* result = &results[size_t{t} * args.out_stride + head * args.out_head];
        const float* own = &w.values[size_t{head * kHeadRows + kFirst} * cols];
        for (uint32_t m = 0; m < made; ++m) {
          std::vector<float> column(kRows);
          for (uint32_t r = 0; transposed && r < kRows; ++r) column[r] = own[size_t{r} * cols + m];
          const Oracle oracle = DotOf(transposed ? column.data() : own + size_t{m} * cols, in, read);
          ASSERT_NEAR(result[m], oracle.sum, ToleranceOf(oracle, read)) << "head " << head << ", value " << m;
        }
        for (uint32_t k = 0; k < kKept; ++k) EXPECT_EQ(result[made + k], in[read + k]);
        EXPECT_EQ(result[made + kKept], 0) << "beyond the head's";
      }
    }
  }
}

// Rows beyond whole tiles, columns that are more than one group of every chain, tokens in another order.
class TilesTest : public ProductsTest {
 protected:
  static constexpr uint32_t kTileRows = 141;
  static uint32_t Cols(TensorType type) { return GetTypeInfo(type).block_values == 32 ? 32 * 71 : 256 * 9; }

  // What products of a few tokens at a time give.
  std::vector<float> InPasses(const gpu::ProductOut& product, const gpu::GpuRows& x,
                              const std::vector<uint32_t>& in) {
    for (uint32_t first = 0; first < in.size(); first += gpu::kMaxTokens) {
      gpu::MatVecArgs args;
      args.products[0] = product;
      args.product_count = 1;
      args.x = x;
      args.tokens.count = std::min(gpu::kMaxTokens, static_cast<uint32_t>(in.size()) - first);
      for (uint32_t t = 0; t < args.tokens.count; ++t) {
        args.tokens.in[t] = in[first + t];
        args.tokens.out[t] = first + t;
      }
      stream_->MatVec(args, false);
    }
    return Read(product.out, in.size() * product.out_stride);
  }
};
INSTANTIATE_TEST_SUITE_P(All, TilesTest, testing::ValuesIn(kGpuSettings), SettingName);

TEST_P(TilesTest, ManyTokensHaveTheBitsOfFew) {
  for (const TensorType type : kTypes) {
    SCOPED_TRACE(GetTypeInfo(type).name);
    const uint32_t cols = Cols(type);
    if (!gpu::HasCodes(GpuTypeOf(type, Arithmetic::kFast))) continue;
    const TestMatrix w = RandomMatrix(type, kTileRows, cols, 21);
    const GpuLinear linear = Upload(type, kTileRows, cols, w.blocks());
    ASSERT_TRUE(stream_->HasTiles(linear.matrix.type, linear.matrix.cols));
    const uint32_t count = type == TensorType::kQ4_0 ? 139 : 9;
    std::vector<uint32_t> in(count);
    for (uint32_t t = 0; t < count; ++t) in[t] = (t * 5 + 2) % count;
    GpuActivations activations = Activations(RandomFloats(size_t{count} * cols, 22), count, cols);
    const gpu::GpuRows x = activations.For(linear.matrix.type, false, count, *stream_);
    const GpuBuffer bias = Upload(std::vector<float>(kTileRows, 0.25f)), ids = UploadAll(in);
    const GpuBuffer few = Zeros(size_t{count} * kTileRows * 4), many = Zeros(size_t{count} * kTileRows * 4);
    gpu::ProductOut product = {linear.matrix, few.as<float>(), kTileRows, bias.as<float>(), 2.0f};
    const std::vector<float> expected = InPasses(product, x, in);
    product.out = many.as<float>();
    gpu::TileProductArgs args;
    args.products[0] = product;
    args.product_count = 1;
    args.x = x;
    args.count = count;
    args.in.ids = ids.as<uint32_t>();
    stream_->TileProducts(args);
    EXPECT_EQ(Read(many.as<float>(), size_t{count} * kTileRows), expected);
  }
}

TEST_P(TilesTest, FixedPointSumsOfManyTokensHaveTheBitsOfFewAlsoWhereUnitsAreLarge) {
  for (const TensorType type : kTypes) {
    SCOPED_TRACE(GetTypeInfo(type).name);
    const uint32_t cols = Cols(type);
    if (!gpu::HasCodes(GpuTypeOf(type, Arithmetic::kFast))) continue;
    const TestMatrix w = RandomMatrix(type, kTileRows, cols, 23);
    const GpuLinear linear = Upload(type, kTileRows, cols, w.blocks());
    const uint32_t count = type == TensorType::kQ4_0 ? 75 : 9, stride = kTileRows + 3;
    std::vector<float> values = RandomFloats(size_t{count} * cols, 24);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= i / cols % 3 == 1 ? 1000.0f : 0.01f;
    values[cols] = std::numeric_limits<float>::infinity();
    GpuActivations activations = Activations(values, count, cols);
    const gpu::GpuRows x = activations.For(linear.matrix.type, false, count, *stream_);
    const std::vector<int64_t> before(size_t{count} * stride, 77);
    const GpuBuffer few = UploadAll(before), many = UploadAll(before);
    gpu::ForEachPass(count, [&](const gpu::TokenRows& tokens) {
      stream_->FixedMatVec({linear.matrix, x, tokens, few.as<int64_t>(), stride}, false);
    });
    stream_->FixedTileProducts({linear.matrix, x, count, {}, {}, many.as<int64_t>(), stride, false});
    EXPECT_EQ(Read(many.as<int64_t>(), before.size()), Read(few.as<int64_t>(), before.size()));
  }
}

TEST_P(ProductsTest, TypesWithoutKernelsAreHalves) {
  const TestMatrix w = RandomMatrix(TensorType::kIQ2_XXS, 5, 256, 11);
  const GpuLinear linear = Upload(TensorType::kIQ2_XXS, 5, 256, w.blocks());
  EXPECT_EQ(linear.matrix.type, gpu::GpuType::kF16);
  GpuActivations activations = Activations(RandomFloats(256, 12), 1, 256);
  const std::vector<float> x = Read(activations.values(), 256);
  const GpuBuffer out = Zeros(5 * sizeof(float));
  gpu::MatVecArgs args;
  args.products[0] = {linear.matrix, out.as<float>(), 5, nullptr, 1};
  args.product_count = 1;
  args.x = activations.For(linear.matrix.type, false, 1, *stream_);
  args.tokens.count = 1;
  stream_->MatVec(args, false);
  const std::vector<float> results = Read(out.as<float>(), 5);
  for (size_t r = 0; r < 5; ++r) {
    const Oracle oracle = DotOf(&w.values[r * 256], x.data(), 256);
    EXPECT_NEAR(results[r], oracle.sum, oracle.magnitude / 2048);
  }
}

}  // namespace
}  // namespace hearth
