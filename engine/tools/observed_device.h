#ifndef HEARTH_ENGINE_TOOLS_OBSERVED_DEVICE_H_
#define HEARTH_ENGINE_TOOLS_OBSERVED_DEVICE_H_

#include <string>
#include <vector>

#include "engine/device/device.h"
#include "engine/neuron/ffn_observer.h"

namespace hearth {

// Another device, whose feed-forward work observers look at. It must be one of this process that holds all of
// a layer's neurons, or observers see a part of them.
class ObservedDevice : public Device, private FfnObserver {
 public:
  // Both are borrowed.
  ObservedDevice(Device& device, std::vector<FfnObserver*> observers);

  const std::string& name() const override { return device_.name(); }
  bool Holds(hearth::Work work, uint32_t layer) const override { return device_.Holds(work, layer); }
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override {
    return device_.Collect(ticket, sums);
  }
  bool computes_in_collect() const override { return device_.computes_in_collect(); }
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override { return device_.ReadKv(range); }
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override {
    return device_.WriteKv(range, bytes);
  }
  DeviceCounters counters() const override { return device_.counters(); }

 private:
  void OnRequest(const FfnRequest& request) override;
  void OnHidden(const FfnRequest& request, uint32_t block, uint32_t row, absl::Span<const uint32_t> ids,
                const float* h) override;

  Device& device_;
  const std::vector<FfnObserver*> observers_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_OBSERVED_DEVICE_H_
