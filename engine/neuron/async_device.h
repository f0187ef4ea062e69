#ifndef HEARTH_ENGINE_NEURON_ASYNC_DEVICE_H_
#define HEARTH_ENGINE_NEURON_ASYNC_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/neuron/ffn_device.h"

namespace hearth {

// Gives a device that computes in Collect a thread of its own, so that several local devices work at the same
// time.
class AsyncDevice : public FfnDevice {
 public:
  explicit AsyncDevice(std::unique_ptr<FfnDevice> device);
  ~AsyncDevice() override;

  const std::string& name() const override;
  bool HoldsLayer(uint32_t layer) const override;
  absl::Status Submit(const FfnRequest& request) override;
  absl::Status Collect(absl::Span<int64_t> sums) override;
  FfnCounters counters() const override;
  FfnDevice& inner() { return *device_; }

 private:
  void Work();
  void ComputeSubmitted();

  std::unique_ptr<FfnDevice> device_;
  struct Mailbox;
  std::unique_ptr<Mailbox> mailbox_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_ASYNC_DEVICE_H_
