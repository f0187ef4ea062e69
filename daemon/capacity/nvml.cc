#include "daemon/capacity/nvml.h"

#include <dlfcn.h>

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

}  // namespace hearth
