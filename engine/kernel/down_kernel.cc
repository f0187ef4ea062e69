// Rows of `down` added up for the neurons that fire: a few columns of several neurons at a time, whose sums
// stay in registers.

#include "engine/kernel/down_kernel.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/base/check.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/scratch.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/blocks.h"
#include "engine/quant/types.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/down_kernel.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

using Order = DownKernel::Order;

constexpr size_t kRun = 32;  // columns
constexpr size_t kRunVectors = kRun / kLanes;

// 16 bytes of nibble pairs as 32 numbers less 8: low nibbles first.
HWY_INLINE void LoadNibblePairs(const uint8_t* pairs, VF32* out) {
  const hn::Rebind<uint8_t, F32> bytes;
#if HWY_TARGET <= HWY_AVX3
  // A register holds the sixteen numbers; the look-up ignores all but four bits.
  const __m512 numbers = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  const VI32 pair = hn::PromoteTo(I32(), LoadBytes(bytes, pairs));
  out[0] = VF32{_mm512_permutexvar_ps(pair.raw, numbers)};
  out[1] = VF32{_mm512_permutexvar_ps(hn::ShiftRight<4>(pair).raw, numbers)};
#else
  for (size_t v = 0; v < kRunVectors / 2; ++v) {
    const VI32 pair = hn::PromoteTo(I32(), LoadBytes(bytes, pairs + v * kLanes));
    const VI32 low = hn::And(pair, hn::Set(I32(), 15)), high = hn::ShiftRight<4>(pair);
    out[v] = hn::ConvertTo(F32(), hn::Sub(low, hn::Set(I32(), 8)));
    out[v + kRunVectors / 2] = hn::ConvertTo(F32(), hn::Sub(high, hn::Set(I32(), 8)));
  }
#endif
}

// The half precision number at p in every lane.
HWY_INLINE VF32 BroadcastHalf(const uint8_t* p) {
  const hn::Rebind<uint16_t, F32> d;
  const hn::Rebind<hwy::float16_t, F32> halves;
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  return hn::PromoteTo(F32(), hn::BitCast(halves, hn::Set(d, half)));
}

// How 32 columns of a row are read: Load gives numbers that, times what Factor makes of the neuron's value,
// are what the neuron adds.
struct FloatRun {
  static constexpr size_t kBytes = kRun * 4;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadFloat(p + v * kLanes * 4);
  }
  static HWY_INLINE VF32 Factor(const uint8_t*, VF32 value) { return value; }
};
struct HalfRun {
  static constexpr size_t kBytes = kRun * 2;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadHalf(p + v * kLanes * 2);
  }
  static HWY_INLINE VF32 Factor(const uint8_t*, VF32 value) { return value; }
};
struct BFloat16Run {
  static constexpr size_t kBytes = kRun * 2;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadBFloat16(p + v * kLanes * 2);
  }
  static HWY_INLINE VF32 Factor(const uint8_t*, VF32 value) { return value; }
};
struct NibbleRun {
  static constexpr size_t kBytes = 16;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) { LoadNibblePairs(p, out); }
  static HWY_INLINE VF32 Factor(const uint8_t*, VF32 value) { return value; }
};
struct ByteRun {
  static constexpr size_t kBytes = 32;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadInt8(p + v * kLanes);
  }
  static HWY_INLINE VF32 Factor(const uint8_t*, VF32 value) { return value; }
};
// Blocks with a scale in front, which is multiplied with the neuron's value once for 32 columns.
template <class Codes, class Block>
struct ScaledRun {
  static constexpr size_t kBytes = sizeof(Block);
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) { Codes::Load(p + sizeof(uint16_t), out); }
  static HWY_INLINE VF32 Factor(const uint8_t* p, VF32 value) { return hn::Mul(BroadcastHalf(p), value); }
#if HWY_TARGET <= HWY_AVX3
  // Those of four blocks that follow one another, in one go: each is then spread over a vector as it is
  // loaded.
  static HWY_INLINE void FactorsOfFour(const uint8_t* p, float value, float* out) {
    uint16_t half[4];
    for (size_t i = 0; i < 4; ++i) std::memcpy(&half[i], p + i * kBytes, sizeof(half[i]));
    __m128i halves = _mm_cvtsi32_si128(half[0]);
    halves = _mm_insert_epi16(halves, half[1], 1);
    halves = _mm_insert_epi16(halves, half[2], 2);
    halves = _mm_insert_epi16(halves, half[3], 3);
    _mm_store_ps(out, _mm_mul_ps(_mm_cvtph_ps(halves), _mm_set1_ps(value)));
  }
#endif
};
using Q4_0Run = ScaledRun<NibbleRun, BlockQ4_0>;
using Q8_0Run = ScaledRun<ByteRun, BlockQ8_0>;

template <class Run, size_t kRuns>
concept HasFactorsOfFour = kRuns == 4 && requires {
  Run::FactorsOfFour;
};

// Neurons [first, last) of the firing ones, which are added together.
struct Batch {
  const DownRows& down;
  const DownTask& task;
  size_t first, last;

  HWY_INLINE const uint8_t* Row(size_t i) const { return DownKernel::RowOf(down, task.firing.ids.data()[i]); }

  // Asks for the columns [column, column + cols) of the rows that come next, as many as there are here.
  template <class Run>
  HWY_INLINE void PrefetchNext(size_t column, size_t cols) const {
    const size_t all = task.firing.ids.size() + task.firing.following;
    const size_t end = std::min(all, last + (last - first));
    for (size_t i = last; i < end; ++i) {
      const uint8_t* from = Row(i) + column / kRun * Run::kBytes;
      for (size_t byte = 0; byte < cols / kRun * Run::kBytes; byte += kCacheLine) {
        __builtin_prefetch(from + byte, /*rw=*/0, /*locality=*/2);
      }
    }
  }
};

// Adds kRuns runs of columns from `column` on to task.buffer.
template <class Run, Order kOrder, size_t kRuns>
HWY_INLINE void AddRuns(const Batch& batch, size_t column) {
  constexpr size_t kVectors = kRuns * kRunVectors;
  const F32 d;
  float* y = batch.task.buffer + column;
  VF32 sums[kVectors];
  Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
    sums[v] = kOrder == Order::kChain ? hn::LoadU(d, y + v * kLanes) : hn::Zero(d);
  });
  const size_t offset = column / kRun * Run::kBytes;
  for (size_t i = batch.first; i < batch.last; ++i) {
    const uint8_t* row = batch.Row(i) + offset;
    const float value = batch.task.firing.values[i];
    HWY_ALIGN float factors[4];
    if constexpr (HasFactorsOfFour<Run, kRuns>) Run::FactorsOfFour(row, value, factors);
    Repeat<kRuns>([&](auto run) HEARTH_INLINE_LAMBDA {
      VF32 w[kRunVectors], factor;
      const uint8_t* p = row + run * Run::kBytes;
      Run::Load(p, w);
      if constexpr (HasFactorsOfFour<Run, kRuns>) {
        factor = hn::Set(d, factors[run]);
      } else {
        factor = Run::Factor(p, hn::Set(d, value));
      }
      Repeat<kRunVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
        VF32& sum = sums[run * kRunVectors + v];
        sum = hn::MulAdd(w[v], factor, sum);
      });
    });
  }
  if constexpr (kOrder == Order::kChain) {
    Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA { hn::StoreU(sums[v], d, y + v * kLanes); });
  } else if constexpr (kOrder == Order::kPieces) {
    Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
      hn::StoreU(hn::Add(hn::LoadU(d, y + v * kLanes), sums[v]), d, y + v * kLanes);
    });
  } else {
    const uint8_t* scales =
        DownKernel::ScalesOf(batch.down, batch.task.firing.ids.data()[batch.first]) + column * 2;
    const VF32 scale = hn::Set(d, batch.task.firing.scales[batch.first]);
    Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
      const VF32 both = hn::Mul(LoadHalf(scales + v * kLanes * 2), scale);
      hn::StoreU(hn::MulAdd(sums[v], both, hn::LoadU(d, y + v * kLanes)), d, y + v * kLanes);
    });
  }
}

// Fewer columns than a run, of a type whose values stand by themselves.
template <class Run, Order kOrder>
void AddLastColumns(const Batch& batch, size_t column, size_t cols) {
  constexpr size_t kBytes = Run::kBytes / kRun;
  const F32 d;
  float* y = batch.task.buffer + column;
  HWY_ALIGN float sums[kRun] = {};
  HWY_ALIGN uint8_t bytes[Run::kBytes] = {};
  if (kOrder == Order::kChain) std::copy_n(y, cols, sums);
  for (size_t i = batch.first; i < batch.last; ++i) {
    std::memcpy(bytes, batch.Row(i) + column * kBytes, cols * kBytes);
    VF32 w[kRunVectors];
    Run::Load(bytes, w);
    const VF32 factor = hn::Set(d, batch.task.firing.values[i]);
    for (size_t v = 0; v < kRunVectors; ++v) {
      hn::Store(hn::MulAdd(w[v], factor, hn::Load(d, sums + v * kLanes)), d, sums + v * kLanes);
    }
  }
  for (size_t c = 0; c < cols; ++c) y[c] = kOrder == Order::kChain ? sums[c] : y[c] + sums[c];
}

template <class Run, Order kOrder>
void AddBatch(const Batch& batch) {
  // Four runs keep eight vectors of AVX-512 in flight, which hides the latency of multiply-add.
  constexpr size_t kTogether = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  size_t column = batch.task.begin;
  for (; column + kTogether * kRun <= batch.task.end; column += kTogether * kRun) {
    batch.PrefetchNext<Run>(column, kTogether * kRun);
    AddRuns<Run, kOrder, kTogether>(batch, column);
  }
  for (; column + kRun <= batch.task.end; column += kRun) AddRuns<Run, kOrder, 1>(batch, column);
  if (column < batch.task.end) AddLastColumns<Run, kOrder>(batch, column, batch.task.end - column);
}

// The end of the batch that starts with firing neuron `first`.
HWY_INLINE size_t BatchEnd(const DownTask& task, Order order, size_t first) {
  constexpr size_t kChainNeurons = 16;
  const absl::Span<const uint32_t> ids = task.firing.ids;
  if (order == Order::kChain) return std::min(ids.size(), first + kChainNeurons);
  // Groups of codes consist of whole units.
  const uint32_t width = order == Order::kUnits ? kDownUnit : static_cast<uint32_t>(kPieceCols);
  const uint32_t begin = order == Order::kUnits ? 0 : task.group_begin;
  size_t end = first + 1;
  while (end < ids.size() && (ids[end] - begin) / width == (ids[first] - begin) / width) ++end;
  return end;
}

template <class Run, Order kOrder>
void AddAll(const DownRows& down, const DownTask& task) {
  for (size_t first = 0, last; first < task.firing.ids.size(); first = last) {
    last = BatchEnd(task, kOrder, first);
    AddBatch<Run, kOrder>({down, task, first, last});
  }
}

// A row of any type, dequantised; only by neuron.
void AddDequantised(const DownRows& down, const DownTask& task) {
  HWY_ALIGN float values[DownRows::kColumnStep];
  const TypeInfo& info = GetTypeInfo(DownKernel::TypeOf(down));
  for (size_t i = 0; i < task.firing.ids.size(); ++i) {
    const VF32 factor = hn::Set(F32(), task.firing.values[i]);
    for (size_t column = task.begin; column < task.end; column += DownRows::kColumnStep) {
      const size_t count = std::min(DownRows::kColumnStep, task.end - column);
      const uint8_t* from =
          DownKernel::RowOf(down, task.firing.ids[i]) + column / info.block_values * info.block_bytes;
      Dequantize(info.type, absl::MakeConstSpan(from, count / info.block_values * info.block_bytes), count,
                 values);
      float* y = task.buffer + column;
      Transform(values, y, count, y,
                [factor](VF32 w, VF32 sum) HWY_ATTR { return hn::MulAdd(w, factor, sum); });
    }
  }
}

template <Order kOrder>
void AddValues(const DownRows& down, const DownTask& task) {
  switch (DownKernel::TypeOf(down)) {
    case TensorType::kF32:
      return AddAll<FloatRun, kOrder>(down, task);
    case TensorType::kF16:
      return AddAll<HalfRun, kOrder>(down, task);
    case TensorType::kBF16:
      return AddAll<BFloat16Run, kOrder>(down, task);
    default:
      HEARTH_CHECK(!"no type of single values");
  }
}

void AddChain(const DownRows& down, const DownTask& task) {
  switch (DownKernel::TypeOf(down)) {
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBF16:
      return AddValues<Order::kChain>(down, task);
    case TensorType::kQ4_0:
      return AddAll<Q4_0Run, Order::kChain>(down, task);
    case TensorType::kQ8_0:
      return AddAll<Q8_0Run, Order::kChain>(down, task);
    default:
      return AddDequantised(down, task);
  }
}

void RunDown(const DownRows& down, const DownTask& task) {
  float* y = task.buffer + task.begin;
  std::fill(y, task.buffer + task.end, 0.0f);
  switch (DownKernel::OrderOf(down)) {
    case Order::kChain:
      AddChain(down, task);
      break;
    case Order::kPieces:
      AddValues<Order::kPieces>(down, task);
      break;
    case Order::kUnits:
      if (DownKernel::TypeOf(down) == TensorType::kQ4_0) {
        AddAll<NibbleRun, Order::kUnits>(down, task);
      } else {
        AddAll<ByteRun, Order::kUnits>(down, task);
      }
      break;
  }
  AddFixedPoints(y, task.end - task.begin, task.sums + task.begin);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(RunDown);

void DownKernel::Run(const DownRows& down, const DownTask& task) {
  HWY_DYNAMIC_DISPATCH(RunDown)(down, task);
}

}  // namespace hearth
#endif  // HWY_ONCE
