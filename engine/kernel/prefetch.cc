#include "engine/kernel/prefetch.h"

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

#include "engine/base/quantile.h"
#include "engine/kernel/matrix.h"

namespace hearth {
namespace {

// 75 MB: what it reads does not stay in a cache that one core can use.
constexpr size_t kProbeRows = 16384;
constexpr size_t kProbeCols = 8192;
constexpr size_t kPieceRows = 512;  // that it is made of
constexpr size_t kRounds = 5;       // of each
// Of so few weights much stays in caches, and starting is not to take longer than loading them.
constexpr uint64_t kCachedBytes = uint64_t{256} << 20;
// The guess stands unless the other way is clearly faster.
constexpr double kClearly = 0.95;

bool GuessFromMaker() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd") == 0;
#else
  return true;
#endif
}

std::atomic<bool>& Choice() {
  static std::atomic<bool> choice{GuessFromMaker()};
  return choice;
}

double SecondsOfProduct(const Matrix& matrix, const std::vector<float>& input, std::vector<float>& output,
                        ThreadPool& pool) {
  const auto start = std::chrono::steady_clock::now();
  Activations activations;
  activations.Set(input.data(), 1, kProbeCols, kProbeCols);
  const Product product{&matrix, output.data(), kProbeRows};
  MatMul(pool, activations, {&product, 1});
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Measure(ThreadPool& pool) {
  const std::vector<uint8_t> zeros(kPieceRows * RowBytes(TensorType::kQ4_0, kProbeCols).value());
  const absl::StatusOr<Matrix> piece = Matrix::Pack(TensorType::kQ4_0, kPieceRows, kProbeCols, zeros, pool);
  if (!piece.ok()) return;
  const absl::StatusOr<Matrix> matrix = Matrix::Repeat(*piece, kProbeRows / kPieceRows, pool);
  if (!matrix.ok()) return;
  const std::vector<float> input(kProbeCols, 1.0f);
  std::vector<float> output(kProbeRows);
  const bool guess = Choice();
  std::array<double, kRounds> guessed, other;
  for (size_t round = 0; round < kRounds; ++round) {
    Choice() = guess;
    guessed[round] = SecondsOfProduct(*matrix, input, output, pool);
    Choice() = !guess;
    other[round] = SecondsOfProduct(*matrix, input, output, pool);
  }
  Choice() = Median(absl::MakeSpan(other)) < kClearly * Median(absl::MakeSpan(guessed)) ? !guess : guess;
}

}  // namespace

bool WantsPrefetch() { return Choice().load(std::memory_order_relaxed); }

void MeasurePrefetch(uint64_t weight_bytes, ThreadPool& pool) {
  static std::once_flag once;
  if (weight_bytes <= kCachedBytes) return;
  std::call_once(once, [&pool] { Measure(pool); });
}

}  // namespace hearth
