#include "daemon/planning/disk_figures.h"

#include <algorithm>

#include "engine/disk/read_speed.h"
#include "engine/neuron/neuron_record.h"

namespace hearth {

bool HasDisk(absl::Span<const HostDeviceSpec> devices) {
  return std::any_of(devices.begin(), devices.end(),
                     [](const HostDeviceSpec& device) { return device.uses_disk; });
}

absl::StatusOr<double> MeasureDisk(const GgufFile& file, const ModelOutline& outline,
                                   absl::Span<const HostDeviceSpec> devices) {
  const auto first = std::find_if(outline.ffn_specs.begin(), outline.ffn_specs.end(), HasRecords);
  if (!HasDisk(devices) || !file.is_packed() || first == outline.ffn_specs.end()) return 0;
  return MeasureRandomReads(file, NeuronRecord::Of(*first, 0).bytes);
}

double DiskSpeed(const placement::Model& model, double bytes_per_s) {
  double used = 0, read = 0;
  for (const placement::Section& section : model.sections) {
    for (const placement::Group& group : section.groups) {
      if (!section.on_disk) continue;
      const double expected = group.expected_bytes();
      used += expected;
      read += expected - std::min(expected, static_cast<double>(group.resident_bytes));
    }
  }
  return read > 0 ? bytes_per_s * used / read : 0;
}

HostCapacity WithDiskSpeed(HostCapacity host, const placement::Model& model, double measured_bytes_per_s) {
  for (DeviceCapacity& device : host.devices) {
    if (device.kind != "disk") continue;
    const double told = device.read_bytes_per_s;
    device.read_bytes_per_s = DiskSpeed(model, told > 0 ? told : measured_bytes_per_s);
  }
  return host;
}

}  // namespace hearth
