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
  layers_[static_cast<size_t>(work)] = LayerOf(request);
  for (Device* device : devices_) {
    if (!device->Holds(work, LayerOf(request))) continue;
    Timeline::Clock::time_point asked;
    if (Timeline::Current() != nullptr) asked = Timeline::Clock::now();
    pending.push_back({device, device->Submit(request), asked});
  }
}

absl::Status DeviceSet::Collect(Work work, absl::Span<int64_t> sums) {
  std::vector<Pending>& pending = pending_[static_cast<size_t>(work)];
  std::fill(sums.begin(), sums.end(), 0);
  absl::Status first_error;
  // The caller's own share first, while the others compute theirs.
  for (auto it = pending.rbegin(); it != pending.rend(); ++it) {
    first_error.Update(CollectFrom(*it, work, sums));
  }
  pending.clear();
  return first_error;
}

absl::Status DeviceSet::CollectFrom(const Pending& pending, Work work, absl::Span<int64_t> sums) {
  const auto what = [&] { return WorkText(work, layers_[static_cast<size_t>(work)]); };
  if (pending.device->computes_in_collect()) {
    const Timeline::Span span(Timeline::Kind::kComputed, pending.device->name(), what);
    return pending.device->Collect(pending.ticket, sums);
  }
  const absl::Status status = pending.device->Collect(pending.ticket, sums);
  if (Timeline* timeline = Timeline::Current(); timeline != nullptr)
    timeline->Add({Timeline::Kind::kAnswered, pending.device->name(), what(), pending.asked});
  return status;
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
