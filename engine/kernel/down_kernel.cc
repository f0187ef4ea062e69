// Rows of `down` added up for the neurons that fire: a few columns of several neurons at a time, whose sums
// stay in registers.
//
// Codes are multiplied in pairs of neurons by factors of 16 bits, seven instructions for 32 columns of two
// neurons in place of twelve in float32 (expected: half of the time of `down`). A 7B layer in Q4_0 with 10 %
// of the neurons, one core of a Zen 4, processor time: predicted 0.80 ms instead of 0.87 for one row, 0.40
// instead of 0.45 for each of 8 and 0.33 instead of 0.40 for each of 128; `down` itself still takes a tenth
// of decoding, a quarter of it for the factors, and groups of which one or two neurons fire cost as much as a
// few more. All rows of a span side by side instead of sixteen: slower than float32, since the first rows of
// hot groups are not asked for ahead.

#include "engine/kernel/down_kernel.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

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

// How 32 columns of a row of values are read.
struct FloatRun {
  static constexpr size_t kBytes = kRun * 4;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadFloat(p + v * kLanes * 4);
  }
};
struct HalfRun {
  static constexpr size_t kBytes = kRun * 2;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadHalf(p + v * kLanes * 2);
  }
};
struct BFloat16Run {
  static constexpr size_t kBytes = kRun * 2;
  static HWY_INLINE void Load(const uint8_t* p, VF32* out) {
    for (size_t v = 0; v < kRunVectors; ++v) out[v] = LoadBFloat16(p + v * kLanes * 2);
  }
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

  // The same of rows whose codes stand behind `scales` bytes of scales, of which a share is asked for as
  // well.
  template <class Codes>
  HWY_INLINE void PrefetchNextCodes(size_t scales, size_t column, size_t cols) const {
    constexpr size_t kFewest = 3;  // the next groups may have more rows
    const size_t all = task.firing.ids.size() + task.firing.following;
    const size_t end = std::min(all, last + std::max<size_t>(kFewest, last - first));
    const size_t from = scales + column / kRun * Codes::kBytes, to = from + cols / kRun * Codes::kBytes;
    for (size_t byte = from; byte < to; byte += kCacheLine) {
      for (size_t i = last; i < end; ++i) __builtin_prefetch(Row(i) + byte, /*rw=*/0, /*locality=*/2);
    }
    const size_t scale = column / kRun * sizeof(uint16_t);
    if (scale % kCacheLine != 0) return;
    for (size_t i = last; i < end; ++i) __builtin_prefetch(Row(i) + scale, /*rw=*/0, /*locality=*/2);
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
    const VF32 value = hn::Set(d, batch.task.firing.values[i]);
    Repeat<kRuns>([&](auto run) HEARTH_INLINE_LAMBDA {
      VF32 w[kRunVectors];
      Run::Load(row + run * Run::kBytes, w);
      Repeat<kRunVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
        VF32& sum = sums[run * kRunVectors + v];
        sum = hn::MulAdd(w[v], value, sum);
      });
    });
  }
  Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
    const VF32 before = kOrder == Order::kChain ? hn::Zero(d) : hn::LoadU(d, y + v * kLanes);
    hn::StoreU(kOrder == Order::kChain ? sums[v] : hn::Add(before, sums[v]), d, y + v * kLanes);
  });
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

// Neurons whose codes are summed as integers before they are scaled, at most: the sums fit 32 bits.
constexpr size_t kSpan = 256;

// The end of the batch that starts with firing neuron `first`.
HWY_INLINE size_t BatchEnd(const DownTask& task, Order order, size_t first) {
  constexpr size_t kChainNeurons = 16;
  const absl::Span<const uint32_t> ids = task.firing.ids;
  if (order == Order::kChain) return std::min(ids.size(), first + kChainNeurons);
  // Groups of codes that share scales consist of whole units.
  const uint32_t width = order == Order::kUnits   ? kDownUnit
                         : order == Order::kSpans ? static_cast<uint32_t>(kSpan)
                                                  : static_cast<uint32_t>(kPieceCols);
  const uint32_t begin = order == Order::kUnits ? 0 : task.group_begin;
  size_t end = first + 1;
  while (end < ids.size() && (ids[end] - begin) / width == (ids[first] - begin) / width) ++end;
  return end;
}

// sum += what two neurons add to each lane's column: the code of the first one in a lane's lower half, of the
// other in its upper half, times their two factors of 16 bits at p.
#if HWY_TARGET == HWY_AVX3_DL
HWY_INLINE void AddPair(VI32 codes, const int32_t* p, VI32& sum) {
  asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum.raw) : "v"(codes.raw), "m"(*p));
}
#elif HWY_TARGET == HWY_AVX3
HWY_INLINE void AddPair(VI32 codes, const int32_t* p, VI32& sum) {
  sum = hn::Add(sum, VI32{_mm512_madd_epi16(codes.raw, hn::Set(I32(), *p).raw)});
}
#elif HWY_TARGET == HWY_AVX2
HWY_INLINE void AddPair(VI32 codes, const int32_t* p, VI32& sum) {
  sum = hn::Add(sum, VI32{_mm256_madd_epi16(codes.raw, hn::Set(I32(), *p).raw)});
}
#elif HWY_TARGET == HWY_SSE4
HWY_INLINE void AddPair(VI32 codes, const int32_t* p, VI32& sum) {
  sum = hn::Add(sum, VI32{_mm_madd_epi16(codes.raw, hn::Set(I32(), *p).raw)});
}
#else
HWY_INLINE void AddPair(VI32 codes, const int32_t* p, VI32& sum) {
  const VI32 first = hn::Set(I32(), static_cast<int16_t>(*p)), second = hn::Set(I32(), *p >> 16);
  sum = hn::Add(sum, hn::Mul(hn::ShiftRight<16>(hn::ShiftLeft<16>(codes)), first));
  sum = hn::Add(sum, hn::Mul(hn::ShiftRight<16>(codes), second));
}
#endif

// kLanes bytes of each of two neurons, as AddPair wants codes.
template <class Byte>
HWY_INLINE VI32 LoadPair(const uint8_t* first, const uint8_t* second) {
  const hn::Rebind<Byte, I32> bytes;
  VI32 low = hn::PromoteTo(I32(), LoadBytes(bytes, first));
  if constexpr (std::is_signed_v<Byte>) low = hn::And(low, hn::Set(I32(), 0xffff));
  return hn::Or(low, hn::ShiftLeft<16>(hn::PromoteTo(I32(), LoadBytes(bytes, second))));
}

// 32 columns of codes less kZero: 16 bytes, of which byte i holds code i below code 16 + i ...
struct NibbleCodes {
  static constexpr size_t kBytes = 16;
  static constexpr int kZero = 8;
  static HWY_INLINE void Add(const uint8_t* first, const uint8_t* second, const int32_t* factors,
                             VI32* sums) {
    Repeat<kRunVectors / 2>([&](auto v) HEARTH_INLINE_LAMBDA {
      const VI32 pairs = LoadPair<uint8_t>(first + v * kLanes, second + v * kLanes);
      AddPair(hn::And(pairs, hn::Set(I32(), 0x000f000f)), factors, sums[v]);
      AddPair(hn::And(pairs, hn::Set(I32(), 0x00f000f0)), factors, sums[v + kRunVectors / 2]);
    });
  }
  // What Add has summed, of the vector v.
  static HWY_INLINE VI32 SumOf(size_t v, VI32 sum) {
    return v < kRunVectors / 2 ? sum : hn::ShiftRight<4>(sum);
  }
};
// ... or 32 with a sign.
struct ByteCodes {
  static constexpr size_t kBytes = 32;
  static constexpr int kZero = 0;
  static HWY_INLINE void Add(const uint8_t* first, const uint8_t* second, const int32_t* factors,
                             VI32* sums) {
    Repeat<kRunVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
      AddPair(LoadPair<int8_t>(first + v * kLanes, second + v * kLanes), factors, sums[v]);
    });
  }
  static HWY_INLINE VI32 SumOf(size_t, VI32 sum) { return sum; }
};

// Runs whose sums stay in registers, rows that are read side by side.
constexpr size_t kRunsTogether = kLanes == 16 ? 8 : kLanes == 8 ? 2 : 1;
constexpr size_t kRowsTogether = 16;

// Adds codes times factors of `pairs` pairs of rows, which are few, to the sums of kRuns runs. The runs'
// codes begin `offset` bytes from a row's start; the factors of pair p for run r stand at factors[p * stride
// + r * run_stride], that of a row which only fills its pair is 0.
template <class Codes, size_t kRuns>
HWY_INLINE void SumCodes(const uint8_t* const* rows, size_t pairs, size_t offset, const int32_t* factors,
                         size_t stride, size_t run_stride, VI32* sums) {
  for (size_t p = 0; p < pairs; ++p) {
    const uint8_t *first = rows[2 * p] + offset, *second = rows[2 * p + 1] + offset;
    Repeat<kRuns>([&](auto run) HEARTH_INLINE_LAMBDA {
      Codes::Add(first + run * Codes::kBytes, second + run * Codes::kBytes,
                 factors + p * stride + run * run_stride, sums + run * kRunVectors);
    });
  }
}

// Calls add(runs, column) for all columns, as many runs of them at a time as go together.
template <class Add>
HWY_INLINE void ForEachRuns(const DownTask& task, const Add& add) {
  size_t column = task.begin;
  for (; column + kRunsTogether * kRun <= task.end; column += kRunsTogether * kRun) {
    add(std::integral_constant<size_t, kRunsTogether>(), column);
  }
  for (; column < task.end; column += kRun) add(std::integral_constant<size_t, 1>(), column);
}

HWY_INLINE int32_t PairOf(int32_t first, int32_t second) {
  return static_cast<int32_t>((static_cast<uint32_t>(first) & 0xffff) | static_cast<uint32_t>(second) << 16);
}

// Codes of neighbouring neurons that share their scales, and whose values are whole numbers.
template <class Codes>
void AddUnit(const Batch& batch) {
  const F32 d;
  const size_t count = batch.last - batch.first, pairs = (count + 1) / 2;
  const uint8_t* rows[kDownUnit];
  int32_t values[kDownUnit], factors[kDownUnit / 2], total = 0;
  for (size_t i = 0; i < 2 * pairs; ++i) {
    const size_t of = batch.first + std::min(i, count - 1);
    rows[i] = batch.Row(of);
    values[i] = i < count ? static_cast<int32_t>(batch.task.firing.values[of]) : 0;
    total += values[i];
  }
  for (size_t p = 0; p < pairs; ++p) factors[p] = PairOf(values[2 * p], values[2 * p + 1]);
  const VI32 zero = hn::Set(I32(), Codes::kZero * total);
  const VF32 scale = hn::Set(d, batch.task.firing.scales[batch.first]);
  const uint8_t* scales = DownKernel::ScalesOf(batch.down, batch.task.firing.ids.data()[batch.first]);
  ForEachRuns(batch.task, [&](auto runs, size_t column) HEARTH_INLINE_LAMBDA {
    constexpr size_t kVectors = runs * kRunVectors;
    batch.PrefetchNext<Codes>(column, runs * kRun);
    VI32 sums[kVectors];
    Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA { sums[v] = hn::Zero(I32()); });
    SumCodes<Codes, runs>(rows, pairs, column / kRun * Codes::kBytes, factors, 1, 0, sums);
    Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
      const VI32 sum = hn::Sub(Codes::SumOf(v % kRunVectors, sums[v]), zero);
      float* y = batch.task.buffer + column + v * kLanes;
      const VF32 both = hn::Mul(LoadHalf(scales + (column + v * kLanes) * 2), scale);
      hn::StoreU(hn::MulAdd(hn::ConvertTo(d, sum), both, hn::LoadU(d, y)), d, y);
    });
  });
}

// Codes of neurons that have scales of their own. What a neuron's value and the scale of a run make is
// rounded to 16 bits, for all neurons of the batch by the same measure.
struct SpanFactors {
  size_t units = 0;
  float* steps = nullptr;     // (units): what one of a factor stands for
  int32_t* totals = nullptr;  // (units): of all neurons' factors
  int32_t* pairs = nullptr;   // (pairs of neurons, units)
};

// The scales of rows for kLanes runs, of which `count` are there, times the neuron's value.
HWY_INLINE VF32 ExactFactors(const Batch& batch, size_t i, size_t unit, size_t count) {
  const uint8_t* scales = batch.Row(i) + unit * sizeof(uint16_t);
  HWY_ALIGN uint16_t last[kLanes] = {};
  if (count < kLanes) {
    std::memcpy(last, scales, count * sizeof(uint16_t));
    scales = reinterpret_cast<const uint8_t*>(last);
  }
  return hn::Mul(LoadHalf(scales), hn::Set(F32(), batch.task.firing.values[i]));
}

// For the units [begin, end).
HWY_INLINE void MakeFactors(const Batch& batch, size_t begin, size_t end, SpanFactors& out) {
  constexpr float kLargest = 32767, kNothing = 1e-30f;
  constexpr size_t kAhead = 8;  // rows
  const F32 d;
  const I32 di;
  for (size_t unit = begin; unit < end; unit += kLanes) {
    const size_t lanes = std::min(kLanes, end - unit);
    VF32 largest = hn::Zero(d);
    for (size_t i = batch.first; i < batch.last; ++i) {
      if (i + kAhead < batch.last) __builtin_prefetch(batch.Row(i + kAhead) + unit * sizeof(uint16_t));
      largest = hn::Max(largest, hn::Abs(ExactFactors(batch, i, unit, lanes)));
    }
    const VF32 inverse =
        hn::IfThenElseZero(hn::Gt(largest, hn::Set(d, kNothing)), hn::Div(hn::Set(d, kLargest), largest));
    VI32 total = hn::Zero(di);
    for (size_t i = batch.first, p = 0; i < batch.last; i += 2, ++p) {
      const VI32 first = hn::NearestInt(hn::Mul(ExactFactors(batch, i, unit, lanes), inverse));
      VI32 second = hn::Zero(di);
      if (i + 1 < batch.last) {
        second = hn::NearestInt(hn::Mul(ExactFactors(batch, i + 1, unit, lanes), inverse));
      }
      total = hn::Add(total, hn::Add(first, second));
      hn::StoreU(hn::Or(hn::And(first, hn::Set(di, 0xffff)), hn::ShiftLeft<16>(second)), di,
                 out.pairs + p * out.units + unit);
    }
    hn::StoreU(hn::Div(largest, hn::Set(d, kLargest)), d, out.steps + unit);
    hn::StoreU(total, di, out.totals + unit);
  }
}

template <class Codes>
void AddSpan(const Batch& batch) {
  static thread_local Scratch<int32_t> scratch;
  const F32 d;
  const DownTask& task = batch.task;
  const size_t units = batch.down.n_embd() / kRun, pairs = (batch.last - batch.first + 1) / 2;
  SpanFactors factors;
  factors.units = (units + kLanes - 1) / kLanes * kLanes;
  factors.pairs = scratch.Reserve((pairs + 2) * factors.units + batch.down.n_embd());
  factors.totals = factors.pairs + pairs * factors.units;
  factors.steps = reinterpret_cast<float*>(factors.totals + factors.units);
  int32_t* const all = factors.totals + 2 * factors.units;  // (n_embd)
  MakeFactors(batch, task.begin / kRun, (task.end + kRun - 1) / kRun, factors);
  std::fill(all + task.begin, all + task.end, 0);
  // A few rows at a time, since that is what memory and prefetchers are good at.
  for (size_t first = batch.first; first < batch.last; first += kRowsTogether) {
    const Batch few = {batch.down, task, first, std::min(batch.last, first + kRowsTogether)};
    const uint8_t* rows[kRowsTogether];
    for (size_t i = 0; i < kRowsTogether; ++i) rows[i] = few.Row(std::min(first + i, few.last - 1));
    const int32_t* of_rows = factors.pairs + (first - batch.first) / 2 * factors.units;
    ForEachRuns(task, [&](auto runs, size_t column) HEARTH_INLINE_LAMBDA {
      constexpr size_t kVectors = runs * kRunVectors;
      few.PrefetchNextCodes<Codes>(units * sizeof(uint16_t), column, runs * kRun);
      VI32 sums[kVectors];
      Repeat<kVectors>([&](auto v)
                           HEARTH_INLINE_LAMBDA { sums[v] = hn::LoadU(I32(), all + column + v * kLanes); });
      const size_t unit = column / kRun;
      SumCodes<Codes, runs>(rows, (few.last - first + 1) / 2, units * sizeof(uint16_t) + unit * Codes::kBytes,
                            of_rows + unit, factors.units, 1, sums);
      Repeat<kVectors>([&](auto v)
                           HEARTH_INLINE_LAMBDA { hn::StoreU(sums[v], I32(), all + column + v * kLanes); });
    });
  }
  for (size_t unit = task.begin / kRun; unit * kRun < task.end; ++unit) {
    const VI32 zero = hn::Set(I32(), Codes::kZero * factors.totals[unit]);
    const VF32 step = hn::Set(d, factors.steps[unit]);
    Repeat<kRunVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
      const size_t column = unit * kRun + v * kLanes;
      const VI32 sum = hn::Sub(Codes::SumOf(v, hn::LoadU(I32(), all + column)), zero);
      float* y = task.buffer + column;
      hn::StoreU(hn::MulAdd(hn::ConvertTo(d, sum), step, hn::LoadU(d, y)), d, y);
    });
  }
}

template <Order kOrder, class Add>
void AddBatches(const DownRows& down, const DownTask& task, const Add& add) {
  for (size_t first = 0, last; first < task.firing.ids.size(); first = last) {
    last = BatchEnd(task, kOrder, first);
    add(Batch{down, task, first, last});
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
      return AddBatches<kOrder>(down, task, AddBatch<FloatRun, kOrder>);
    case TensorType::kF16:
      return AddBatches<kOrder>(down, task, AddBatch<HalfRun, kOrder>);
    case TensorType::kBF16:
      return AddBatches<kOrder>(down, task, AddBatch<BFloat16Run, kOrder>);
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
    default:
      return AddDequantised(down, task);
  }
}

void RunDown(const DownRows& down, const DownTask& task) {
  float* y = task.buffer + task.begin;
  std::fill(y, task.buffer + task.end, 0.0f);
  const bool nibbles = DownKernel::TypeOf(down) == TensorType::kQ4_0;
  switch (DownKernel::OrderOf(down)) {
    case Order::kChain:
      AddChain(down, task);
      break;
    case Order::kPieces:
      AddValues<Order::kPieces>(down, task);
      break;
    case Order::kSpans:
      AddBatches<Order::kSpans>(down, task, nibbles ? AddSpan<NibbleCodes> : AddSpan<ByteCodes>);
      break;
    case Order::kUnits:
      AddBatches<Order::kUnits>(down, task, nibbles ? AddUnit<NibbleCodes> : AddUnit<ByteCodes>);
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
