#include "daemon/capacity/nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

// The part of NVML's stable C interface that is used here. The library comes with the driver and is loaded
// when it is there, so that Hearth needs neither to be built nor to run.
using Return = int;  // 0 is success
using Handle = void*;
struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct Library {
  Library() : handle(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {}
  ~Library() {
    if (handle != nullptr) ::dlclose(handle);
  }

  template <class Function>
  bool Find(const char* name, Function*& function) const {
    function = handle == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(handle, name));
    return function != nullptr;
  }

  void* handle;
};

}  // namespace

std::vector<NvmlDevice> ListNvmlDevices() {
  std::vector<NvmlDevice> devices;
  const Library library;
  Return (*init)();
  Return (*shutdown)();
  Return (*get_count)(unsigned int*);
  Return (*get_device)(unsigned int, Handle*);
  Return (*get_name)(Handle, char*, unsigned int);
  Return (*get_memory)(Handle, Memory*);
  if (!library.Find("nvmlInit_v2", init) || !library.Find("nvmlShutdown", shutdown) ||
      !library.Find("nvmlDeviceGetCount_v2", get_count) ||
      !library.Find("nvmlDeviceGetHandleByIndex_v2", get_device) ||
      !library.Find("nvmlDeviceGetName", get_name) || !library.Find("nvmlDeviceGetMemoryInfo", get_memory) ||
      init() != 0) {
    return devices;
  }
  unsigned int count = 0;
  if (get_count(&count) != 0) count = 0;
  for (unsigned int i = 0; i < count; ++i) {
    Handle device = nullptr;
    char name[96] = "";
    Memory memory{};
    if (get_device(i, &device) != 0 || get_name(device, name, sizeof(name)) != 0 ||
        get_memory(device, &memory) != 0) {
      continue;
    }
    devices.push_back({absl::StrCat("gpu", i, " ", name), memory.total, memory.used});
  }
  shutdown();
  return devices;
}

struct NvmlUse::Driver {
  // What one process has used: percent of the time and of the memory's bandwidth.
  struct Sample {
    unsigned int pid;
    unsigned long long time_us;
    unsigned int compute, memory, encoder, decoder;
  };

  Library library;
  Return (*shutdown)() = nullptr;
  Return (*get_use)(Handle, Sample*, unsigned int*, unsigned long long) = nullptr;
  std::vector<Handle> gpus;

  static std::unique_ptr<Driver> Open() {
    auto driver = std::make_unique<Driver>();
    const Library& library = driver->library;
    Return (*init)();
    Return (*get_count)(unsigned int*);
    Return (*get_device)(unsigned int, Handle*);
    if (!library.Find("nvmlInit_v2", init) || !library.Find("nvmlDeviceGetCount_v2", get_count) ||
        !library.Find("nvmlDeviceGetHandleByIndex_v2", get_device) ||
        !library.Find("nvmlDeviceGetProcessUtilization", driver->get_use) || init() != 0) {
      return nullptr;
    }
    library.Find("nvmlShutdown", driver->shutdown);
    unsigned int count = 0;
    if (get_count(&count) != 0) count = 0;
    for (unsigned int i = 0; i < count; ++i) {
      if (Handle gpu = nullptr; get_device(i, &gpu) == 0) driver->gpus.push_back(gpu);
    }
    return driver;
  }
  ~Driver() {
    if (shutdown != nullptr) shutdown();
  }
};

NvmlUse::NvmlUse() : driver_(Driver::Open()) {
  if (driver_ != nullptr) seen_us_.resize(driver_->gpus.size());
}

NvmlUse::~NvmlUse() = default;

double NvmlUse::ShareOfOthers() {
  if (driver_ == nullptr) return 0;
  constexpr unsigned int kMostSamples = 256;
  const auto own = static_cast<unsigned int>(::getpid());
  unsigned int percent = 0;
  for (size_t i = 0; i < driver_->gpus.size(); ++i) {
    std::vector<Driver::Sample> samples(kMostSamples);
    unsigned int count = kMostSamples;
    if (driver_->get_use(driver_->gpus[i], samples.data(), &count, seen_us_[i]) != 0) continue;
    samples.resize(std::min(count, kMostSamples));
    for (const Driver::Sample& sample : samples) {
      seen_us_[i] = std::max<uint64_t>(seen_us_[i], sample.time_us);
      if (sample.pid != own) percent = std::max(percent, std::min(sample.compute, 100u));
    }
  }
  return percent / 100.0;
}

}  // namespace hearth
