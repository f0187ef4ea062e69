#include "daemon/capacity/capacity.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/capacity/gpu_option.h"
#include "daemon/capacity/nvml.h"
#include "engine/base/process_limits.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

// Weights that no cache holds, and rows enough that arithmetic is the limit.
constexpr size_t kProbeRows = 16384;
constexpr size_t kProbeCols = 4096;
constexpr size_t kArithmeticRows = 512;  // of the matrix, so that it stays in the cache
constexpr size_t kBatchRows = 64;
constexpr std::chrono::milliseconds kProbeTime{120};

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Runs a kernel again and again for kProbeTime and returns the seconds of one run: the best, since whatever
// else the machine does only makes it slower.
template <class Fn>
double BestSeconds(Fn run) {
  double best = 1e9;
  const Clock::time_point end = Clock::now() + kProbeTime;
  do {
    const Clock::time_point start = Clock::now();
    run();
    best = std::min(best, Seconds(Clock::now() - start));
  } while (Clock::now() < end);
  return std::max(best, 1e-9);
}

// A Q8_0 matrix of zeros: the values do not matter to the time.
Matrix ProbeMatrix(size_t rows, ThreadPool& pool) {
  const std::vector<uint8_t> blocks(rows * RowBytes(TensorType::kQ8_0, kProbeCols).value());
  return Matrix::Pack(TensorType::kQ8_0, rows, kProbeCols, blocks, pool).value();
}

double SecondsOfProduct(const Matrix& matrix, size_t batch, ThreadPool& pool) {
  const std::vector<float> input(batch * kProbeCols, 1.0f);
  std::vector<float> output(batch * matrix.rows());
  Activations activations;
  return BestSeconds([&] {
    activations.Set(input.data(), batch, kProbeCols, kProbeCols);
    const Product product{&matrix, output.data(), matrix.rows()};
    MatMul(pool, activations, {&product, 1});
  });
}

// Measures one device in step with the others of its host.
void MeasureDevice(std::barrier<>& together, DeviceCapacity& device) {
  ThreadPool pool(static_cast<int>(device.threads));
  const Matrix large = ProbeMatrix(kProbeRows, pool);
  const Matrix small = ProbeMatrix(kArithmeticRows, pool);
  together.arrive_and_wait();
  const double bytes = static_cast<double>(kProbeRows * RowBytes(TensorType::kQ8_0, kProbeCols).value());
  device.read_bytes_per_s = bytes / SecondsOfProduct(large, 1, pool);
  together.arrive_and_wait();
  const double operations = 2.0 * kArithmeticRows * kProbeCols * kBatchRows;
  device.operations_per_s = operations / SecondsOfProduct(small, kBatchRows, pool);
  together.arrive_and_wait();
  device.dispatch_us = 1e6 * BestSeconds([&] { pool.Run([](int) {}); });
}

// One that could not be measured stays without speed. An emulated GPU stands for one of this bandwidth, so all its
// figures are as much faster.
void TakeBandwidth(double bytes_per_s, DeviceCapacity& device) {
  if (device.read_bytes_per_s <= 0) return;
  const double factor = device.kind == "emulated-gpu" ? bytes_per_s / device.read_bytes_per_s : 1;
  device.read_bytes_per_s = bytes_per_s;
  device.operations_per_s *= factor;
  device.dispatch_us /= factor;
}

}  // namespace

absl::StatusOr<std::vector<HostDeviceSpec>> ChooseDevices(const std::vector<DeviceOption>& options,
                                                          uint32_t threads) {
  if (threads == 0) threads = static_cast<uint32_t>(ThreadPool::AvailableCores());
  std::vector<DeviceOption> wanted = options;
  // What belongs to no unit is the first CPU's work.
  if (std::none_of(wanted.begin(), wanted.end(), IsCpu)) {
    for (const DeviceOption& option : wanted) {
      if (option.name != "cpu") continue;
      return absl::InvalidArgumentError("device cpu: that is the name of the CPU beside it; give the gpu another one");
    }
    wanted.emplace(wanted.begin())->name = "cpu";
  }
  std::stable_partition(wanted.begin(), wanted.end(), IsCpu);
  uint32_t threads_left = threads;
  uint32_t without_threads = 0;
  for (const DeviceOption& option : wanted) {
    if (!IsCpu(option)) continue;
    if (option.threads) {
      threads_left -= std::min<uint32_t>(threads_left, static_cast<uint32_t>(*option.threads));
    } else {
      ++without_threads;
    }
  }
  const auto cpus = static_cast<uint64_t>(std::count_if(wanted.begin(), wanted.end(), IsCpu));
  const uint64_t memory_share = ReadProcessLimits().memory_free_bytes / 10 * 8 / cpus;
  std::vector<HostDeviceSpec> devices;
  for (const DeviceOption& option : wanted) {
    HostDeviceSpec device{option.name, 1, option.memory_bytes.value_or(memory_share)};
    if (!IsCpu(option)) {
      HEARTH_ASSIGN_OR_RETURN(device.gpu, OpenGpuOption(option));
      device.memory_bytes = device.gpu->budget_bytes();
    } else if (option.threads) {
      device.threads = *option.threads;
    } else {
      const uint32_t share = std::max(1u, threads_left / without_threads);
      device.threads = static_cast<int>(share);
      threads_left -= std::min(threads_left, share);
      --without_threads;
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

HostCapacity MeasureHost(const std::vector<HostDeviceSpec>& devices,
                         const std::vector<DeviceOption>& options) {
  HostCapacity host;
  host.cores = static_cast<uint32_t>(ThreadPool::AvailableCores());
  for (const HostDeviceSpec& spec : devices) {
    DeviceCapacity device;
    device.name = spec.name;
    device.memory_budget_bytes = spec.memory_bytes;
    device.threads = static_cast<uint32_t>(spec.threads);
    if (spec.gpu != nullptr) {
      device.kind = spec.gpu->kind() == gpu::GpuKind::kEmulated ? "emulated-gpu" : "gpu";
      device.threads = 0;
    }
    host.devices.push_back(device);
  }
  const auto cpus = std::count_if(devices.begin(), devices.end(),
                                  [](const HostDeviceSpec& spec) { return spec.gpu == nullptr; });
  std::barrier<> together(static_cast<std::ptrdiff_t>(cpus));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].gpu != nullptr) continue;
    threads.emplace_back([&together, &device = host.devices[i]] { MeasureDevice(together, device); });
  }
  for (std::thread& thread : threads) thread.join();
  bool offers_gpu = false;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].gpu == nullptr) continue;
    offers_gpu = true;
    const absl::StatusOr<GpuFigures> figures = MeasureGpu(*devices[i].gpu);
    if (!figures.ok()) continue;  // a device without speed is shown, and gets nothing
    host.devices[i].read_bytes_per_s = figures->read_bytes_per_s;
    host.devices[i].operations_per_s = figures->operations_per_s;
    host.devices[i].dispatch_us = figures->dispatch_us;
  }
  for (const DeviceOption& option : options) {
    for (DeviceCapacity& device : host.devices) {
      if (device.name == option.name && option.read_bytes_per_s) TakeBandwidth(*option.read_bytes_per_s, device);
    }
  }
  if (offers_gpu) return host;
  for (const NvmlDevice& gpu : ListNvmlDevices()) {
    DeviceCapacity device;
    device.name = gpu.name;
    device.kind = "gpu";
    device.memory_budget_bytes = gpu.memory_bytes;
    device.memory_used_bytes = gpu.memory_used_bytes;
    host.devices.push_back(std::move(device));
  }
  return host;
}

void UpdateFreeBytes(const std::string& directory, HostCapacity& capacity) {
  const ProcessLimits limits = ReadProcessLimits();
  capacity.memory_bytes = limits.memory_bytes;
  capacity.memory_free_bytes = limits.memory_free_bytes;
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  capacity.disk_free_bytes = error ? 0 : space.available;
}

}  // namespace hearth
