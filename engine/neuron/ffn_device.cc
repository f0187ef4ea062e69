#include "engine/neuron/ffn_device.h"

#include <algorithm>

#include "engine/base/check.h"

namespace hearth {
namespace {

template <class Fn>
void ForEachHolder(absl::Span<FfnDevice* const> devices, uint32_t layer, bool computes_in_collect, Fn fn) {
  for (FfnDevice* device : devices) {
    if (device->computes_in_collect() == computes_in_collect && device->HoldsLayer(layer)) fn(*device);
  }
}

}  // namespace

absl::Status SubmitFfn(absl::Span<FfnDevice* const> devices, const FfnRequest& request) {
  absl::Status first_error;
  const auto submit = [&](FfnDevice& device) { first_error.Update(device.Submit(request)); };
  ForEachHolder(devices, request.layer, false, submit);
  ForEachHolder(devices, request.layer, true, submit);
  return first_error;
}

absl::Status CollectFfn(absl::Span<FfnDevice* const> devices, const FfnRequest& request,
                        absl::Span<int64_t> sums) {
  HEARTH_CHECK(sums.size() == size_t{request.rows} * request.output_values);
  std::fill(sums.begin(), sums.end(), 0);
  absl::Status first_error;
  const auto collect = [&](FfnDevice& device) { first_error.Update(device.Collect(sums)); };
  ForEachHolder(devices, request.layer, true, collect);
  ForEachHolder(devices, request.layer, false, collect);
  return first_error;
}

absl::Status RunFfn(absl::Span<FfnDevice* const> devices, const FfnRequest& request,
                    absl::Span<int64_t> sums) {
  absl::Status submitted = SubmitFfn(devices, request);
  absl::Status collected = CollectFfn(devices, request, sums);
  return submitted.ok() ? collected : submitted;
}

}  // namespace hearth
