#ifndef HEARTH_ENGINE_DEVICE_DEVICE_SET_H_
#define HEARTH_ENGINE_DEVICE_DEVICE_SET_H_

#include <array>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/base/timeline.h"
#include "engine/device/device.h"

namespace hearth {

// The devices that together hold a model, asked together. At most one request of each kind of work is in
// flight, so that a layer whose FFN does not wait for its attention runs both at once. Used by one thread;
// allocates nothing.
class DeviceSet {
 public:
  DeviceSet() = default;
  // Borrowed.
  explicit DeviceSet(std::vector<Device*> devices);

  // Starts the work on all devices that hold a part of it: those that are far away first.
  void Submit(const Request& request);
  // Collects what Submit started: the total in sums, (rows, values), which is cleared first (for kOutput
  // there is none). UNAVAILABLE when a device was lost; every device is collected all the same. Also when
  // nothing was submitted.
  absl::Status Collect(Work work, absl::Span<int64_t> sums);

  // See Device: whether any device does, and for those that hold a part of the layer.
  bool wants_guesses() const;
  void Expect(const FfnRequest& request);

  // The device that computes layers from `layer` on whole (Device::WholeLayersFrom); null where none does.
  Device* WholeLayersFrom(uint32_t layer) const;

  // Of whichever device holds the head group. The errors of Device.
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range);
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes);

  // Those that compute in Collect last.
  const std::vector<Device*>& devices() const { return devices_; }

 private:
  struct Pending {
    Device* device;
    Ticket ticket;
    Timeline::Clock::time_point asked;  // where that is recorded
  };
  absl::Status CollectFrom(const Pending& pending, Work work, absl::Span<int64_t> sums);

  std::vector<Device*> devices_;  // those that compute in Collect last
  std::array<std::vector<Pending>, kWorkKinds> pending_;
  std::array<uint32_t, kWorkKinds> layers_ = {};  // of which they are
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_DEVICE_SET_H_
