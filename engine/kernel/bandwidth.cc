#include "engine/kernel/bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "engine/kernel/matrix_tiles.h"
#include "engine/kernel/scratch.h"
#include "engine/kernel/simd_targets.h"
#include "engine/kernel/weight_memory.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/bandwidth.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/byte_products-inl.h"
#include "engine/kernel/simd-inl.h"
#include "engine/kernel/tile_products-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Sums that run side by side, so that no addition waits for the one before it.
constexpr size_t kChains = 12;

// The exclusive or of all vectors: something that needs every byte, and next to no arithmetic. As many parts
// as `streams` are read side by side.
uint32_t ReadAll(const uint8_t* bytes, size_t size, size_t streams) {
  const I32 d;
  constexpr size_t kLines = 4, kVectors = kLines * kCacheLine / (sizeof(int32_t) * kLanes);
  const size_t part = size / streams;
  VI32 sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (size_t i = 0; i + kLines * kCacheLine <= part; i += kLines * kCacheLine) {
    for (size_t stream = 0; stream < streams; ++stream) {
      const auto* p = reinterpret_cast<const int32_t*>(bytes + stream * part + i);
      for (size_t v = 0; v < kVectors; ++v) sums[v % 4] = hn::Xor(sums[v % 4], hn::Load(d, p + v * kLanes));
    }
  }
  const VI32 all = hn::Xor(hn::Xor(sums[0], sums[1]), hn::Xor(sums[2], sums[3]));
  return static_cast<uint32_t>(hn::GetLane(all));
}

// `rounds` times kChains products of vectors; returns the operations done.
double MultiplyBytes(size_t rounds, float* result) {
  HWY_ALIGN int8_t codes[4] = {1, 2, 3, 4};
  VI32 sums[kChains];
  Repeat<kChains>([&](auto i) HEARTH_INLINE_LAMBDA { sums[i] = hn::Zero(I32()); });
  const VI32 w = hn::Set(I32(), 0x01020304);
  for (size_t round = 0; round < rounds; ++round) {
    Repeat<kChains>([&](auto i) HEARTH_INLINE_LAMBDA { AddQuad(w, codes, sums[i]); });
  }
  // With constant indices only, else the sums would be kept in memory.
  VI32 all = hn::Zero(I32());
  Repeat<kChains>([&](auto i) HEARTH_INLINE_LAMBDA { all = hn::Add(all, sums[i]); });
  *result = static_cast<float>(hn::GetLane(all));
  return static_cast<double>(rounds) * kChains * kLanes * 4 * 2;
}

// The same with matrix tiles; 0 without them.
double MultiplyTiles([[maybe_unused]] size_t rounds, [[maybe_unused]] float* result) {
#if HWY_TARGET == HWY_AVX3_DL
  if (!HasMatrixTiles()) return 0;
  ConfigureTiles(kQuads);
  for (size_t round = 0; round < rounds; ++round) {
    MultiplyLoadedTiles<0>();
    MultiplyLoadedTiles<1>();
    MultiplyLoadedTiles<2>();
    MultiplyLoadedTiles<3>();
  }
  ReleaseTiles();
  return static_cast<double>(rounds) * 4 * kTileTokens * kPanelRows * kUnitCols * 2;
#else
  return 0;
#endif
}

double MultiplyFloats(size_t rounds, float* result) {
  const F32 d;
  VF32 sums[kChains];
  for (VF32& sum : sums) sum = hn::Zero(d);
  const VF32 factor = hn::Set(d, *result);
  for (size_t i = 0; i < rounds; ++i) {
    for (VF32& sum : sums) sum = hn::MulAdd(sum, factor, factor);
  }
  for (size_t v = 1; v < kChains; ++v) sums[0] = hn::Add(sums[0], sums[v]);
  *result = hn::GetLane(sums[0]);
  return static_cast<double>(rounds) * kChains * kLanes * 2;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {
namespace {

HWY_EXPORT(ReadAll);
HWY_EXPORT(MultiplyBytes);
HWY_EXPORT(MultiplyTiles);
HWY_EXPORT(MultiplyFloats);

// Seconds of the fastest of several calls.
template <class Work>
double BestSeconds(const Work& work) {
  constexpr int kRuns = 4;
  double best = 1e30;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// Operations per second of all threads together; work(rounds, result) returns the operations of one thread.
template <class Work>
double BestRate(ThreadPool& pool, const Work& work) {
  constexpr size_t kRounds = 200'000;
  double operations = 0;
  const double seconds = BestSeconds([&] {
    pool.Run([&](int thread) {
      float result = 0.5f;
      const double done = work(kRounds, &result);
      // A volatile store keeps the compiler from dropping the work.
      [[maybe_unused]] volatile float kept = result;
      if (thread == 0) operations = done * pool.threads();
    });
  });
  return operations / seconds;
}

// Much larger than any cache, and at most a quarter of what is free.
size_t ProbeBytes() {
  constexpr size_t kMost = size_t{768} << 20, kLeast = size_t{64} << 20;
  const long pages = sysconf(_SC_AVPHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
  const size_t free_bytes =
      pages > 0 && page_bytes > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page_bytes) : 0;
  return std::clamp(free_bytes / 4, kLeast, kMost);
}

}  // namespace

double MeasureReadBandwidth(ThreadPool& pool) {
  constexpr size_t kPiece = size_t{1} << 20;
  const size_t pieces = ProbeBytes() / kPiece;
  absl::StatusOr<WeightMemory> memory = WeightMemory::Allocate(pieces * kPiece);
  if (!memory.ok()) return 0;
  // Written, since pages that were never written all stand for the same page of zeros.
  pool.ParallelFor(pieces, 1, [&](size_t begin, size_t end, int) {
    std::fill(memory->data() + begin * kPiece, memory->data() + end * kPiece, 1);
  });
  // Some processors read fastest in one stream per core, others need several.
  double seconds = std::numeric_limits<double>::infinity();
  for (const size_t streams : {1, 4}) {
    seconds = std::min(seconds, BestSeconds([&] {
                         pool.ParallelFor(pieces, 4, [&](size_t begin, size_t end, int) {
                           const uint8_t* bytes = memory->data() + begin * kPiece;
                           [[maybe_unused]] volatile uint32_t kept =
                               HWY_DYNAMIC_DISPATCH(ReadAll)(bytes, (end - begin) * kPiece, streams);
                         });
                       }));
  }
  return static_cast<double>(memory->size()) / seconds;
}

double MeasureInt8Rate(ThreadPool& pool) {
  const double vectors = BestRate(
      pool, [](size_t rounds, float* result) { return HWY_DYNAMIC_DISPATCH(MultiplyBytes)(rounds, result); });
  const double tiles = BestRate(
      pool, [](size_t rounds, float* result) { return HWY_DYNAMIC_DISPATCH(MultiplyTiles)(rounds, result); });
  return std::max(vectors, tiles);
}

double MeasureF32Rate(ThreadPool& pool) {
  return BestRate(pool, [](size_t rounds, float* result) {
    return HWY_DYNAMIC_DISPATCH(MultiplyFloats)(rounds, result);
  });
}

}  // namespace hearth
#endif  // HWY_ONCE
