#ifndef HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_
#define HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/model/model.h"

namespace hearth {

// The devices of one host that share a model out in turn: unit i of every kind and layer lies on device i mod
// count. The first computes on `pool`, the others with one thread each.
struct LocalDevices {
  std::unique_ptr<HostDevices> host;
  std::unique_ptr<HostShare> share;

  static absl::StatusOr<LocalDevices> Make(const Model& model, const DecoderOptions& options, int count,
                                           ThreadPool& pool) {
    std::vector<HostDeviceSpec> specs;
    for (int d = 0; d < count; ++d) specs.push_back({"cpu" + std::to_string(d), 1});
    LocalDevices local;
    local.host = std::make_unique<HostDevices>(specs, &pool);
    local.share = std::make_unique<HostShare>(model.shared_outline(), options,
                                              ShareInTurn(model.outline(), specs.size()), *local.host);
    FileSource source(model.shared_file(), model.shared_outline());
    HEARTH_RETURN_IF_ERROR(local.share->Load(source, pool));
    return local;
  }
};

}  // namespace hearth

#endif  // HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_
