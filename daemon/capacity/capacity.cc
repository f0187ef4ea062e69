#include "daemon/capacity/capacity.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/capacity/gpu_option.h"
#include "daemon/capacity/nvml.h"
#include "engine/base/process_limits.h"
#include "engine/base/quantile.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/prefetch.h"
#include "placement/units.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

// Weights of one row of activations each: together more than any cache holds, as a model's layers are, unless
// the device has little memory.
constexpr size_t kProbeRows = 16384;
constexpr size_t kProbeCols = 8192;
constexpr TensorType kProbeType = TensorType::kQ4_0;
constexpr size_t kProbeMatrices = 4;         // 300 MB
constexpr uint64_t kProbeShareOfMemory = 8;  // they take an eighth of a device's at most
constexpr size_t kArithmeticRows = 512;      // of a matrix that stays in the cache, and large ones repeat
constexpr size_t kBatchRows = 64;
constexpr std::chrono::milliseconds kProbeTime{120};
constexpr size_t kFewestRuns = 5;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Runs a kernel again and again for kProbeTime and returns the seconds of one run: the lower quartile.
// Whatever else the machine does makes single runs slower, and luck does not last for all the layers of a
// token.
template <class Fn>
double SecondsOfRun(Fn run) {
  std::vector<double> seconds;
  const Clock::time_point end = Clock::now() + kProbeTime;
  do {
    const Clock::time_point start = Clock::now();
    run();
    seconds.push_back(Seconds(Clock::now() - start));
  } while (seconds.size() < kFewestRuns || Clock::now() < end);
  return std::max(Quantile(absl::MakeSpan(seconds), 0.25), 1e-9);
}

// One that stays in the cache, of zeros: values do not matter to the time.
Matrix SmallMatrix(ThreadPool& pool) {
  const std::vector<uint8_t> zeros(kArithmeticRows * RowBytes(kProbeType, kProbeCols).value());
  return Matrix::Pack(kProbeType, kArithmeticRows, kProbeCols, zeros, pool).value();
}

// Matrices within the share of a device's memory that probes may take; one at least.
std::vector<Matrix> LargeMatrices(uint64_t memory_bytes, const Matrix& small, ThreadPool& pool) {
  const uint64_t pieces = memory_bytes / kProbeShareOfMemory / small.bytes();
  constexpr uint64_t kLargest = kProbeRows / kArithmeticRows;
  std::vector<Matrix> matrices;
  if (pieces < kLargest)
    matrices.push_back(Matrix::Repeat(small, std::max<uint64_t>(pieces, 1), pool).value());
  for (uint64_t left = pieces; left >= kLargest && matrices.size() < kProbeMatrices; left -= kLargest)
    matrices.push_back(Matrix::Repeat(small, kLargest, pool).value());
  return matrices;
}

double SecondsOfProducts(absl::Span<const Matrix> matrices, size_t batch, ThreadPool& pool) {
  const std::vector<float> input(batch * kProbeCols, 1.0f);
  std::vector<float> output(batch * kProbeRows);
  Activations activations;
  return SecondsOfRun([&] {
    for (const Matrix& matrix : matrices) {
      activations.Set(input.data(), batch, kProbeCols, kProbeCols);
      const Product product{&matrix, output.data(), matrix.rows()};
      MatMul(pool, activations, {&product, 1});
    }
  });
}

double BytesOf(absl::Span<const Matrix> matrices) {
  size_t bytes = 0;
  for (const Matrix& matrix : matrices) bytes += matrix.bytes();
  return static_cast<double>(bytes);
}

// Measures one device in step with the others of its host.
void MeasureDevice(std::barrier<>& together, DeviceCapacity& device) {
  ThreadPool pool(static_cast<int>(device.threads));
  MeasurePrefetch(device.memory_budget_bytes, pool);
  const bool told = device.read_bytes_per_s > 0;
  const Matrix small = SmallMatrix(pool);
  const std::vector<Matrix> large =
      told ? std::vector<Matrix>() : LargeMatrices(device.memory_budget_bytes, small, pool);
  together.arrive_and_wait();
  if (!told) device.read_bytes_per_s = BytesOf(large) / SecondsOfProducts(large, 1, pool);
  together.arrive_and_wait();
  const double operations = 2.0 * kArithmeticRows * kProbeCols * kBatchRows;
  device.operations_per_s = operations / SecondsOfProducts({&small, 1}, kBatchRows, pool);
  together.arrive_and_wait();
  device.dispatch_us = 1e6 * SecondsOfRun([&] { pool.Run([](int) {}); });
}

// What the options say of a device; null: nothing.
const DeviceOption* OptionOf(const std::vector<DeviceOption>& options, const std::string& device) {
  const auto found = std::find_if(options.begin(), options.end(),
                                  [&](const DeviceOption& option) { return option.name == device; });
  return found == options.end() ? nullptr : &*found;
}

std::optional<double> ToldBandwidth(const std::vector<DeviceOption>& options, const std::string& device) {
  const DeviceOption* option = OptionOf(options, device);
  return option == nullptr ? std::nullopt : option->read_bytes_per_s;
}

// In place of the measured one. An emulated GPU stands for one of this bandwidth, so all its figures are as
// much faster.
void TakeBandwidth(double bytes_per_s, DeviceCapacity& device) {
  const double factor = device.kind == "emulated-gpu" ? bytes_per_s / device.read_bytes_per_s : 1;
  device.read_bytes_per_s = bytes_per_s;
  device.operations_per_s *= factor;
  device.dispatch_us /= factor;
}

// A disk's neurons are computed as the CPU computes its own.
void ComputeAsOneThreadOf(const DeviceCapacity& cpu, DeviceCapacity& disk) {
  disk.operations_per_s = cpu.operations_per_s * disk.threads / cpu.threads;
  disk.dispatch_us = cpu.dispatch_us;
}

bool IsGpu(const DeviceOption& option) { return option.kind == placement::DeviceKind::kGpu; }

// CPUs and disks share the memory that there is.
absl::Status CheckMemory(const std::vector<DeviceOption>& options, const ProcessLimits& limits) {
  if (limits.memory_bytes == 0) return absl::OkStatus();  // unknown
  uint64_t left = limits.memory_bytes;
  for (const DeviceOption& option : options) {
    const uint64_t wanted = IsGpu(option) ? 0 : option.memory_bytes.value_or(0);
    if (wanted > left) {
      return absl::InvalidArgumentError(
          absl::StrCat("device ", option.name, ": memory=", placement::FormatBytes(wanted),
                       " is more than the ", placement::FormatBytes(left), " that this machine has for it"));
    }
    left -= wanted;
  }
  return absl::OkStatus();
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
      return absl::InvalidArgumentError(
          "device cpu: that is the name of the CPU beside it; give this one another name");
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
  const auto gpus = static_cast<uint64_t>(
      std::count_if(wanted.begin(), wanted.end(), [](const auto& option) { return IsGpu(option); }));
  const ProcessLimits limits = ReadProcessLimits();
  HEARTH_RETURN_IF_ERROR(CheckMemory(wanted, limits));
  const uint64_t memory_share = limits.memory_free_bytes / 10 * 8 / (wanted.size() - gpus);
  std::vector<HostDeviceSpec> devices;
  for (const DeviceOption& option : wanted) {
    HostDeviceSpec device{option.name, 1, option.memory_bytes.value_or(memory_share)};
    device.pace_bytes_per_s = option.pace_bytes_per_s.value_or(0);
    if (IsGpu(option)) {
      HEARTH_ASSIGN_OR_RETURN(device.gpu, OpenGpuOption(option));
      device.memory_bytes = device.gpu->budget_bytes();
    } else if (IsDisk(option)) {
      device.uses_disk = true;
      device.threads = option.threads.value_or(1);
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
    } else {
      const DeviceOption* option = OptionOf(options, device.name);
      if (option != nullptr && IsDisk(*option)) device.kind = "disk";
      device.read_bytes_per_s = ToldBandwidth(options, device.name).value_or(0);
    }
    host.devices.push_back(device);
  }
  const auto is_cpu = [](const DeviceCapacity& device) { return device.kind == "cpu"; };
  std::barrier<> together(std::count_if(host.devices.begin(), host.devices.end(), is_cpu));
  std::vector<std::thread> threads;
  for (DeviceCapacity& device : host.devices) {
    if (!is_cpu(device)) continue;
    threads.emplace_back([&together, &device] { MeasureDevice(together, device); });
  }
  for (std::thread& thread : threads) thread.join();
  for (DeviceCapacity& device : host.devices) {
    if (device.kind == "disk") ComputeAsOneThreadOf(host.devices.front(), device);
  }
  bool offers_gpu = false;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].gpu == nullptr) continue;
    offers_gpu = true;
    const absl::StatusOr<GpuFigures> figures = MeasureGpu(*devices[i].gpu);
    if (!figures.ok()) continue;  // a device without speed is shown, and gets nothing
    host.devices[i].read_bytes_per_s = figures->read_bytes_per_s;
    host.devices[i].operations_per_s = figures->operations_per_s;
    host.devices[i].dispatch_us = figures->dispatch_us;
    const std::optional<double> told = ToldBandwidth(options, devices[i].name);
    if (told) TakeBandwidth(*told, host.devices[i]);
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
