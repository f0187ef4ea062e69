#ifndef HEARTH_DAEMON_PLANNING_DISK_FIGURES_H_
#define HEARTH_DAEMON_PLANNING_DISK_FIGURES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/capacity/capacity.h"
#include "engine/device/host_share.h"
#include "engine/file/gguf.h"
#include "engine/outline/model_outline.h"
#include "placement/model.h"

namespace hearth {

// What plans go by where neurons of a model may stay on a disk.

// Whether one of a host's devices is a disk.
bool HasDisk(absl::Span<const HostDeviceSpec> devices);

// Bytes per second at which a packed file gives neurons one by one, measured for a tenth of a second; 0 for
// other files, and where none of the devices is a disk. The errors of MeasureRandomReads.
absl::StatusOr<double> MeasureDisk(const GgufFile& file, const ModelOutline& outline,
                                   absl::Span<const HostDeviceSpec> devices);

// How fast a disk that gives so many bytes per second answers for the model's neurons: what is resident is
// not read from it. 0 for a model that cannot be on a disk.
double DiskSpeed(const placement::Model& model, double bytes_per_s);

// The same host with the speed that its disks have for the model, of what they were said to read, else of
// what was measured.
HostCapacity WithDiskSpeed(HostCapacity host, const placement::Model& model, double measured_bytes_per_s);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_DISK_FIGURES_H_
