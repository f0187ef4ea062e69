#ifndef HEARTH_ENGINE_DEVICE_ASYNC_DEVICE_H_
#define HEARTH_ENGINE_DEVICE_ASYNC_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/device/device.h"

namespace hearth {

// Gives a device that computes in Collect a thread of its own, so that several local devices work at the same
// time.
class AsyncDevice : public Device {
 public:
  explicit AsyncDevice(std::unique_ptr<Device> device);
  ~AsyncDevice() override;

  const std::string& name() const override;
  bool Holds(Work work, uint32_t layer) const override;
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override;
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override;
  DeviceCounters counters() const override;

 private:
  struct Slot;
  void Work();
  void Compute(Slot& slot);
  Slot& SlotOf(Ticket ticket);

  std::unique_ptr<Device> device_;
  std::unique_ptr<Slot[]> slots_;  // kMaxInFlight, in turn
  Ticket submitted_ = 0;
  struct Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_ASYNC_DEVICE_H_
