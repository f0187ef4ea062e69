// Times the kernels of one token, of eight and of a prompt on a GPU beside what its memory and its matrix
// units can do.
//
//   build/bench/gpu_bench [--emulated]
//
// Each line: kernel, type, tokens, microseconds, GB/s of weights (or cache), and its share of the bandwidth
// that a copy within the GPU's memory reaches (bytes read and written); for prompts TOP/s (a multiplication
// and an addition are two) and their share of what products of 8-bit codes reach that read nothing.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/device/gpu_memory.h"
#include "engine/device/gpu_products.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/gpu_weights.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

class Bench {
 public:
  Bench(gpu::GpuKind kind, bool quick)
      : memory_(*GpuMemory::Open(kind, 0, uint64_t{2} << 30)),
        stream_(*memory_->OpenStream()),
        uploader_(*GpuUploader::Create(*memory_, pool_, Arithmetic::kFast)),
        runs_(quick ? 2 : 50),
        scale_(quick ? 64 : 1) {}

  void Run() {
    const gpu::GpuInfo& info = memory_->info();
    std::printf("%s, %.0f MiB, compute capability %d.%d, %u multiprocessors\n", info.name.c_str(),
                static_cast<double>(info.memory_bytes) / (1 << 20), info.major, info.minor,
                info.multiprocessors);
    MeasureCopy();
    MeasureHandOver();
    const std::pair<const char*, TensorType> types[] = {
        {"Q4_0", TensorType::kQ4_0}, {"Q8_0", TensorType::kQ8_0},     {"Q4_K", TensorType::kQ4_K},
        {"Q6_K", TensorType::kQ6_K}, {"IQ4_XS", TensorType::kIQ4_XS}, {"F16", TensorType::kF16}};
    for (const auto& [name, type] : types) {
      for (const uint32_t tokens : {1u, 8u}) {
        Product(name, type, 4096, 4096, tokens, false);
        Product(name, type, 22016, 4096, tokens, false);
        Product(name, type, 4096, 11008, tokens, true);
      }
    }
    for (const uint32_t positions : {128u, 2048u}) Attention(positions);
    MeasurePeaks();
    for (const auto& [name, type] : types) {
      if (type == TensorType::kF16) continue;
      Prompt(name, type, 12288, 4096, false);
      Prompt(name, type, 4096, 11008, true);
    }
    PromptAttention(2048);
  }

 private:
  // Microseconds of one of many queued runs, the best of three times.
  double Time(const std::function<void()>& queue) {
    queue();
    stream_->Finish();
    double best = 1e30;
    for (int round = 0; round < 3; ++round) {
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < runs_; ++i) queue();
      stream_->Finish();
      best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - start).count() / runs_);
    }
    if (!stream_->error().empty()) std::printf("failed: %s\n", stream_->error().c_str());
    return best;
  }

  void Print(const std::string& what, double us, double bytes) const {
    const double rate = bytes / us * 1e-3;
    std::printf("%-40s %9.1f us %8.1f GB/s %5.1f %%\n", what.c_str(), us, rate, 100 * rate / copy_);
  }

  void MeasureCopy() {
    const uint64_t bytes = (uint64_t{512} << 20) / scale_;
    const GpuBuffer from = *memory_->Allocate(bytes), to = *memory_->Allocate(bytes);
    const double us = Time([&] { stream_->CopyWithin(to.as<void>(), from.as<void>(), bytes); });
    copy_ = 2.0 * static_cast<double>(bytes) / us * 1e-3;
    std::printf("copy within its memory: %.1f GB/s\n", copy_);
    uint8_t* const host = static_cast<uint8_t*>(stream_->AllocateHost(bytes));
    const double in_us = Time([&] { stream_->CopyIn(to.as<void>(), host, bytes); });
    const double out_us = Time([&] { stream_->CopyOut(host, to.as<void>(), bytes); });
    std::printf("from the host %.1f GB/s, to the host %.1f GB/s\n", static_cast<double>(bytes) / in_us * 1e-3,
                static_cast<double>(bytes) / out_us * 1e-3);
    stream_->FreeHost(host);
  }

  // A small request and its answer: 16 KiB in, 32 KiB out, one kernel, the wait.
  void MeasureHandOver() {
    const GpuBuffer x = *memory_->Allocate(16384), y = *memory_->Allocate(32768);
    uint8_t* const host = static_cast<uint8_t*>(stream_->AllocateHost(49152));
    const auto queue = [&] {
      stream_->CopyIn(x.as<void>(), host, 16384);
      stream_->Clear(y.as<void>(), 32768);
      stream_->CopyOut(host + 16384, y.as<void>(), 32768);
    };
    const auto wait = [&] {
      stream_->Mark(0);
      stream_->WaitFor(0);
    };
    std::printf("a request and its answer: %.1f us", Time([&] { queue(), wait(); }));
    stream_->Record();
    queue();
    const std::unique_ptr<gpu::Gpu::Recording> recording = stream_->EndRecord();
    std::printf(", recorded %.1f us\n", Time([&] { stream_->Replay(*recording), wait(); }));
    stream_->FreeHost(host);
  }

  void Product(const char* name, TensorType type, uint32_t rows, uint32_t cols, uint32_t tokens, bool fixed) {
    rows /= scale_;
    // Several matrices in turn, so that no cache holds them.
    const uint64_t row_bytes = *RowBytes(type, cols);
    std::vector<uint8_t> row(row_bytes);
    std::mt19937 random(1);
    for (uint8_t& byte : row) byte = static_cast<uint8_t>(random());
    const size_t copies = std::clamp<size_t>((uint64_t{300} << 20) / scale_ / (rows * row_bytes), 1, 16);
    std::vector<GpuLinear> weights;
    for (size_t i = 0; i < copies; ++i) {
      weights.push_back(*uploader_->Rows(type, rows, cols, [&](size_t, size_t count, uint8_t* out) {
        for (size_t r = 0; r < count; ++r) std::memcpy(out + r * row_bytes, row.data(), row_bytes);
      }));
    }
    GpuActivations x = *GpuActivations::Create(*memory_, gpu::kMaxTokens, cols);
    const std::vector<float> ones(size_t{gpu::kMaxTokens} * cols, 1.0f);
    stream_->CopyIn(x.values(), ones.data(), ones.size() * sizeof(float));
    stream_->Finish();
    const GpuBuffer out = *memory_->Allocate(uint64_t{gpu::kMaxTokens} * rows * sizeof(int64_t));
    gpu::TokenRows rows_of;
    rows_of.count = tokens;
    for (uint32_t t = 0; t < tokens; ++t) rows_of.in[t] = rows_of.out[t] = t;
    size_t next = 0;
    const double us = Time([&] {
      const gpu::GpuMatrix& matrix = weights[next++ % copies].matrix;
      const gpu::GpuRows input = x.For(matrix.type, false, gpu::kMaxTokens, *stream_);
      if (fixed) {
        stream_->FixedMatVec({matrix, input, rows_of, out.as<int64_t>(), rows, true}, false);
        return;
      }
      gpu::MatVecArgs args;
      args.products[0] = {matrix, out.as<float>(), rows, nullptr, 1};
      args.product_count = 1;
      args.x = input;
      args.tokens = rows_of;
      stream_->MatVec(args, false);
    });
    char what[80];
    std::snprintf(what, sizeof(what), "%s %u x %u, %u token%s%s", name, rows, cols, tokens,
                  tokens > 1 ? "s" : "", fixed ? ", fixed" : "");
    Print(what, us, static_cast<double>(rows * row_bytes));
  }

  double Peak(bool codes) {
    gpu::PeakArgs args;
    args.codes = codes;
    args.blocks = memory_->info().multiprocessors * 8;
    args.rounds = 2048 / scale_;
    const GpuBuffer out = *memory_->Allocate(uint64_t{args.blocks} * gpu::kPeakWarps * 32 * sizeof(float));
    args.out = out.as<float>();
    const double us = Time([&] { stream_->Peak(args); });
    const double products = double{gpu::kPeakProducts} * args.rounds * args.blocks * gpu::kPeakWarps;
    return products * (codes ? 16 * 8 * 32 : 16 * 8 * 16) * 2 / us * 1e-6;
  }

  void MeasurePeaks() {
    peak_ = Peak(true);
    peak_halves_ = Peak(false);
    std::printf("matrix units: 8-bit codes %.0f TOP/s, halves %.0f TFLOP/s\n", peak_, peak_halves_);
  }

  void Prompt(const char* name, TensorType type, uint32_t rows, uint32_t cols, bool fixed) {
    rows /= scale_;
    const uint32_t tokens = 2048 / scale_;
    std::vector<uint8_t> row(*RowBytes(type, cols));
    std::mt19937 random(1);
    for (uint8_t& byte : row) byte = static_cast<uint8_t>(random());
    const GpuLinear weights = *uploader_->Rows(type, rows, cols, [&](size_t, size_t count, uint8_t* out) {
      for (size_t r = 0; r < count; ++r) std::memcpy(out + r * row.size(), row.data(), row.size());
    });
    GpuActivations x = *GpuActivations::Create(*memory_, tokens, cols);
    const std::vector<float> ones(size_t{tokens} * cols, 1.0f);
    stream_->CopyIn(x.values(), ones.data(), ones.size() * sizeof(float));
    stream_->Finish();
    const GpuBuffer out = *memory_->Allocate(uint64_t{tokens} * rows * sizeof(int64_t));
    const gpu::GpuRows input = x.For(weights.matrix.type, false, tokens, *stream_);
    const gpu::ProductOut product = {weights.matrix, out.as<float>(), rows, nullptr, 1};
    const double us = Time([&] {
      if (fixed) {
        SumRows(weights.matrix, input, tokens, out.as<int64_t>(), rows, true, false, *stream_);
      } else {
        MultiplyRows({&product, 1}, input, tokens, false, *stream_);
      }
    });
    char what[80];
    std::snprintf(what, sizeof(what), "%s %u x %u, %u tokens%s", name, rows, cols, tokens,
                  fixed ? ", fixed" : "");
    const double rate = 2.0 * rows * cols * tokens / us * 1e-6;
    std::printf("%-40s %9.1f us %8.1f TOP/s %5.1f %%\n", what, us, rate, 100 * rate / peak_);
  }

  static constexpr uint32_t kHeads = 32, kDim = 128;  // of attention

  static gpu::AttentionArgs HeadsOf(const GpuBuffer& query, const GpuBuffer& out) {
    gpu::AttentionArgs args;
    args.query = query.as<float>();
    args.out = out.as<float>();
    args.out_stride = kHeads * kDim;
    args.heads = args.kv_heads = kHeads;
    args.key_dim = args.value_dim = kDim;
    args.scale = 0.1f;
    return args;
  }

  void PromptAttention(uint32_t positions) {
    positions /= scale_;
    const uint64_t bytes = uint64_t{kHeads} * positions * kDim * 2,
                   floats = uint64_t{positions} * kHeads * kDim;
    const GpuBuffer keys = *memory_->Allocate(bytes), values = *memory_->Allocate(bytes);
    const GpuBuffer query = *memory_->Allocate(floats * 4), out = *memory_->Allocate(floats * 4);
    for (const GpuBuffer* buffer : {&keys, &values, &query})
      stream_->Clear(buffer->as<void>(), buffer->bytes());
    std::vector<gpu::GpuPlace> row_places;
    std::vector<gpu::RowTile> row_tiles;
    for (uint32_t p = 0; p < positions; ++p) row_places.push_back({0, p});
    for (uint32_t p = 0; p < positions; p += gpu::kPromptTileRows) {
      row_tiles.push_back({p, std::min(gpu::kPromptTileRows, positions - p)});
    }
    const GpuBuffer places = *memory_->Allocate(row_places.size() * sizeof(row_places[0])),
                    tiles = *memory_->Allocate(row_tiles.size() * sizeof(row_tiles[0]));
    stream_->CopyIn(places.as<void>(), row_places.data(), places.bytes());
    stream_->CopyIn(tiles.as<void>(), row_tiles.data(), tiles.bytes());
    stream_->Finish();
    gpu::AttentionArgs args = HeadsOf(query, out);
    args.places = places.as<gpu::GpuPlace>();
    args.tiles = tiles.as<gpu::RowTile>();
    args.tile_count = static_cast<uint32_t>(row_tiles.size());
    args.rows = positions;
    args.cache = {gpu::GpuKv::kF16, keys.as<uint8_t>(), values.as<uint8_t>(), kHeads, positions, kDim * 2,
                  kDim * 2};
    const double us = Time([&] { stream_->PromptAttention(args); });
    const double rate = 2.0 * kHeads * kDim * positions * (positions + 1.0) / us * 1e-6;
    char what[80];
    std::snprintf(what, sizeof(what), "attention of a prompt of %u, F16", positions);
    std::printf("%-40s %9.1f us %8.1f TFLOP/s %4.1f %%\n", what, us, rate, 100 * rate / peak_halves_);
  }

  void Attention(uint32_t positions) {
    const uint64_t bytes = uint64_t{kHeads} * positions * kDim * 2;
    const GpuBuffer keys = *memory_->Allocate(bytes), values = *memory_->Allocate(bytes);
    const GpuBuffer query = *memory_->Allocate(kHeads * kDim * 4),
                    out = *memory_->Allocate(kHeads * kDim * 4);
    for (const GpuBuffer* buffer : {&keys, &values, &query})
      stream_->Clear(buffer->as<void>(), buffer->bytes());
    const gpu::GpuPlace place = {0, positions - 1};
    const gpu::RowTile tile = {0, 1};
    const GpuBuffer places = *memory_->Allocate(sizeof(place)), tiles = *memory_->Allocate(sizeof(tile));
    stream_->CopyIn(places.as<void>(), &place, sizeof(place));
    stream_->CopyIn(tiles.as<void>(), &tile, sizeof(tile));
    stream_->Finish();
    gpu::AttentionArgs args = HeadsOf(query, out);
    args.places = places.as<gpu::GpuPlace>();
    args.tiles = tiles.as<gpu::RowTile>();
    args.tile_count = args.rows = 1;
    args.chunks = (positions + gpu::kChunkPositions - 1) / gpu::kChunkPositions;
    args.cache = {gpu::GpuKv::kF16, keys.as<uint8_t>(), values.as<uint8_t>(), kHeads, positions, kDim * 2,
                  kDim * 2};
    const GpuBuffer partial = *memory_->Allocate(gpu::PartialFloats(1, kHeads, args.chunks, kDim) * 4);
    args.partial = partial.as<float>();
    char what[80];
    std::snprintf(what, sizeof(what), "attention to %u positions, F16", positions);
    Print(what, Time([&] { stream_->Attention(args); }), 2.0 * static_cast<double>(bytes));
  }

  ThreadPool pool_{4};
  const std::shared_ptr<GpuMemory> memory_;
  const std::unique_ptr<gpu::Gpu> stream_;
  const std::unique_ptr<GpuUploader> uploader_;
  const int runs_;
  const uint32_t scale_;
  double copy_ = 1;
  double peak_ = 1, peak_halves_ = 1;
};

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  const bool emulated = argc > 1 && std::string(argv[1]) == "--emulated";
  const hearth::gpu::GpuKind kind = emulated ? hearth::gpu::GpuKind::kEmulated : hearth::gpu::GpuKind::kCuda;
  std::string why;
  if (hearth::gpu::CountGpus(kind, &why) == 0) {
    std::fprintf(stderr, "gpu_bench: no GPU: %s\n", why.c_str());
    return 1;
  }
  hearth::Bench(kind, emulated).Run();
  return 0;
}
