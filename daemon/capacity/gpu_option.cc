#include "daemon/capacity/gpu_option.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_scratch.h"
#include "engine/gpu/gpu_matrix.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kGpuProbeCols = 4096;
constexpr uint32_t kGpuProbeRows = 65536;       // Q8_0: 285 MB, which no cache holds
constexpr uint32_t kEmulatedGpuProbeRows = 64;  // an emulator is slow
constexpr int kProbeRuns = 5;

// The best of some runs: whatever else the machine does only makes one slower.
template <class Fn>
double BestSeconds(gpu::Gpu& stream, Fn run) {
  double best = 1e9;
  for (int i = 0; i < kProbeRuns; ++i) {
    const Clock::time_point start = Clock::now();
    run();
    stream.Finish();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return std::max(best, 1e-9);
}

}  // namespace

absl::StatusOr<std::shared_ptr<GpuMemory>> OpenGpuOption(const DeviceOption& option) {
  const gpu::GpuKind kind = option.emulated ? gpu::GpuKind::kEmulated : gpu::GpuKind::kCuda;
  uint64_t budget = option.memory_bytes.value_or(0);
  if (!option.memory_bytes) {
    std::string why;
    const std::unique_ptr<gpu::Gpu> gpu = gpu::OpenGpu(kind, option.number, &why);
    if (gpu == nullptr) return absl::UnavailableError(absl::StrCat("device ", option.name, ": ", why));
    budget = gpu->info().free_bytes / 10 * 9;
  }
  absl::StatusOr<std::shared_ptr<GpuMemory>> memory = GpuMemory::Open(kind, option.number, budget);
  if (memory.ok()) return memory;
  return absl::Status(memory.status().code(),
                      absl::StrCat("device ", option.name, ": ", memory.status().message()));
}

absl::StatusOr<GpuFigures> MeasureGpu(GpuMemory& memory) {
  uint32_t rows = memory.kind() == gpu::GpuKind::kEmulated ? kEmulatedGpuProbeRows : kGpuProbeRows;
  const uint64_t room = memory.budget_bytes() - memory.used_bytes();
  const auto bytes_of = [](uint32_t count) {
    return gpu::LayoutOf(gpu::GpuType::kQ8_0, count, kGpuProbeCols).bytes;
  };
  while (rows > kEmulatedGpuProbeRows && bytes_of(rows) > room / 2) rows /= 2;
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<gpu::Gpu> stream, memory.OpenStream());
  const gpu::MatrixLayout layout = gpu::LayoutOf(gpu::GpuType::kQ8_0, rows, kGpuProbeCols);
  HEARTH_ASSIGN_OR_RETURN(const GpuBuffer weights, memory.Allocate(layout.bytes));
  HEARTH_ASSIGN_OR_RETURN(const GpuBuffer out,
                          memory.Allocate(uint64_t{gpu::kMaxTokens} * rows * sizeof(float)));
  HEARTH_ASSIGN_OR_RETURN(GpuActivations x, GpuActivations::Create(memory, gpu::kMaxTokens, kGpuProbeCols));
  stream->Clear(weights.as<void>(), layout.bytes);
  stream->Clear(x.values(), uint64_t{gpu::kMaxTokens} * kGpuProbeCols * sizeof(float));

  gpu::MatVecArgs args;
  uint8_t* const base = weights.as<uint8_t>();
  args.products[0].weights = {
      gpu::GpuType::kQ8_0, rows, kGpuProbeCols, base + layout.codes, base + layout.high, base + layout.scales,
      base + layout.super};
  args.products[0].out = out.as<float>();
  args.products[0].out_stride = rows;
  args.product_count = 1;
  // Zeros have a scale of 0, which is skipped: round something else.
  std::vector<float> ones(size_t{gpu::kMaxTokens} * kGpuProbeCols, 1.0f);
  stream->CopyIn(x.values(), ones.data(), ones.size() * sizeof(float));
  args.x = x.For(gpu::GpuType::kQ8_0, false, gpu::kMaxTokens, *stream);
  for (uint32_t t = 0; t < gpu::kMaxTokens; ++t) args.tokens.in[t] = args.tokens.out[t] = t;
  args.tokens.count = 1;
  GpuFigures figures;
  figures.read_bytes_per_s =
      static_cast<double>(bytes_of(rows)) / BestSeconds(*stream, [&] { stream->MatVec(args, false); });
  args.tokens.count = gpu::kMaxTokens;
  figures.operations_per_s = 2.0 * gpu::kMaxTokens * rows * kGpuProbeCols /
                             BestSeconds(*stream, [&] { stream->MatVec(args, false); });
  args.products[0].weights.rows = 1;
  args.tokens.count = 1;
  figures.dispatch_us = 1e6 * BestSeconds(*stream, [&] { stream->MatVec(args, false); });
  if (!stream->error().empty()) return absl::UnavailableError(stream->error());
  return figures;
}

}  // namespace hearth
