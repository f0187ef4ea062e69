#include "engine/tools/observed_device.h"

#include <utility>

namespace hearth {

ObservedDevice::ObservedDevice(Device& device, std::vector<FfnObserver*> observers)
    : device_(device), observers_(std::move(observers)) {}

Ticket ObservedDevice::Submit(const Request& request) {
  const FfnRequest* ffn = std::get_if<FfnRequest>(&request);
  if (ffn == nullptr) return device_.Submit(request);
  FfnRequest observed = *ffn;
  observed.observer = this;
  OnRequest(observed);
  return device_.Submit(observed);
}

void ObservedDevice::OnRequest(const FfnRequest& request) {
  for (FfnObserver* observer : observers_) observer->OnRequest(request);
}

void ObservedDevice::OnHidden(const FfnRequest& request, uint32_t block, uint32_t row,
                              absl::Span<const uint32_t> ids, const float* h) {
  for (FfnObserver* observer : observers_) observer->OnHidden(request, block, row, ids, h);
}

}  // namespace hearth
