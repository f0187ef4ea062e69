#ifndef HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_
#define HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/device/gpu_device.h"
#include "engine/device/gpu_memory.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/model/model.h"

namespace hearth {

// Which devices share a model out.
struct LocalDeviceCounts {
  int cpus = 1;  // at least one: it has what GPUs cannot compute
  int gpus = 0;
  gpu::GpuKind gpu_kind = gpu::GpuKind::kEmulated;
  bool gpus_alone = false;  // CPUs have nothing but that
};

// The devices of one host that share a model out in turn: unit i of every kind and layer lies on device i mod
// count. The first CPU computes on `pool`, the others with one thread each.
struct LocalDevices {
  std::unique_ptr<HostDevices> host;
  std::unique_ptr<HostShare> share;

  static absl::StatusOr<LocalDevices> Make(const Model& model, const DecoderOptions& options, int count,
                                           ThreadPool& pool) {
    return Make(model, options, LocalDeviceCounts{.cpus = count}, pool);
  }

  static absl::StatusOr<LocalDevices> Make(const Model& model, const DecoderOptions& options,
                                           const LocalDeviceCounts& counts, ThreadPool& pool) {
    std::vector<HostDeviceSpec> specs;
    for (int d = 0; d < counts.cpus; ++d) specs.push_back({"cpu" + std::to_string(d), 1});
    for (int d = 0; d < counts.gpus; ++d) {
      specs.push_back({"gpu" + std::to_string(d), 1});
      HEARTH_ASSIGN_OR_RETURN(specs.back().gpu, GpuMemory::Open(counts.gpu_kind, 0, uint64_t{1} << 30));
    }
    LocalDevices local;
    local.host = std::make_unique<HostDevices>(specs, &pool);
    local.share = std::make_unique<HostShare>(model.shared_outline(), options, Shares(model, options, counts),
                                              *local.host);
    FileSource source(model.shared_file(), model.shared_outline());
    HEARTH_RETURN_IF_ERROR(local.share->Load(source, pool));
    return local;
  }

 private:
  static std::vector<DeviceShare> Shares(const Model& model, const DecoderOptions& options,
                                         const LocalDeviceCounts& counts) {
    const ModelOutline& outline = model.outline();
    const auto cpus = static_cast<size_t>(counts.cpus), gpus = static_cast<size_t>(counts.gpus);
    const size_t skipped = counts.gpus_alone ? cpus : 0;
    const std::vector<DeviceShare> even = ShareInTurn(outline, cpus + gpus - skipped);
    std::vector<std::vector<UnitId>> units(cpus + gpus);
    for (size_t d = 0; d < even.size(); ++d) {
      for (const UnitId& unit : even[d].units()) {
        const bool moves = d + skipped >= cpus && !GpuDevice::Supports(outline, unit, options.kv_type).ok();
        units[moves ? 0 : d + skipped].push_back(unit);
      }
    }
    std::vector<DeviceShare> shares(cpus + gpus, DeviceShare::Nothing(outline.spec.n_layers));
    for (size_t d = 0; d < units.size(); ++d) {
      std::sort(units[d].begin(), units[d].end());
      for (const UnitId& unit : units[d]) shares[d].Add(unit);
    }
    return shares;
  }
};

}  // namespace hearth

#endif  // HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_
