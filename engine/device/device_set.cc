#include "engine/device/device_set.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace hearth {

DeviceSet::DeviceSet(std::vector<Device*> devices) : devices_(std::move(devices)) {
  std::stable_partition(devices_.begin(), devices_.end(),
                        [](const Device* device) { return !device->computes_in_collect(); });
  for (std::vector<Pending>& pending : pending_) pending.reserve(devices_.size());
}

void DeviceSet::Submit(const Request& request) {
  const Work work = WorkOf(request);
  std::vector<Pending>& pending = pending_[static_cast<size_t>(work)];
  HEARTH_CHECK(pending.empty());
  for (Device* device : devices_) {
    if (device->Holds(work, LayerOf(request))) pending.push_back({device, device->Submit(request)});
  }
}

absl::Status DeviceSet::Collect(Work work, absl::Span<int64_t> sums) {
  std::vector<Pending>& pending = pending_[static_cast<size_t>(work)];
  std::fill(sums.begin(), sums.end(), 0);
  absl::Status first_error;
  // The caller's own share first, while the others compute theirs.
  for (auto it = pending.rbegin(); it != pending.rend(); ++it) {
    first_error.Update(it->device->Collect(it->ticket, sums));
  }
  pending.clear();
  return first_error;
}

bool DeviceSet::wants_guesses() const {
  return std::any_of(devices_.begin(), devices_.end(),
                     [](const Device* device) { return device->wants_guesses(); });
}

void DeviceSet::Expect(const FfnRequest& request) {
  for (Device* device : devices_) {
    if (device->wants_guesses() && device->Holds(Work::kFfn, request.layer)) device->Expect(request);
  }
}

Device* DeviceSet::WholeLayersFrom(uint32_t layer) const {
  for (Device* device : devices_) {
    if (device->WholeLayersFrom(layer) > layer) return device;
  }
  return nullptr;
}

absl::StatusOr<std::vector<uint8_t>> DeviceSet::ReadKv(const KvRange& range) {
  absl::StatusOr<std::vector<uint8_t>> bytes = absl::InvalidArgumentError("no device holds any head group");
  for (Device* device : devices_) {
    bytes = device->ReadKv(range);
    if (!absl::IsInvalidArgument(bytes.status())) break;
  }
  return bytes;
}

absl::Status DeviceSet::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  absl::Status status = absl::InvalidArgumentError("no device holds any head group");
  for (Device* device : devices_) {
    status = device->WriteKv(range, bytes);
    if (!absl::IsInvalidArgument(status)) break;
  }
  return status;
}

}  // namespace hearth
