#include "engine/device/gpu_exchange.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace hearth {

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) stream_->FreeHost(data_);
}

PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : stream_(other.stream_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

uint8_t* PinnedMemory::Reserve(uint64_t bytes) {
  if (bytes <= bytes_) return data_;
  if (data_ != nullptr) stream_->FreeHost(data_);
  data_ = static_cast<uint8_t*>(stream_->AllocateHost(bytes));
  bytes_ = data_ == nullptr ? 0 : bytes;
  return data_;
}

void GpuInput::Use(uint64_t bytes) {
  HEARTH_CHECK(bytes <= bytes_ - used_);
  constexpr uint64_t kPartEnd = 16;
  used_ = std::min(bytes_, used_ + (bytes + kPartEnd - 1) / kPartEnd * kPartEnd);
}

float* GpuInput::TakeRows(const float* from, uint32_t rows, uint32_t cols, GpuActivations& to) {
  const Part<float> part = Take<float>(uint64_t{rows} * to.cols());
  for (uint32_t t = 0; t < rows; ++t) {
    float* const row = part.host + size_t{t} * to.cols();
    std::fill(std::copy_n(from + size_t{t} * cols, cols, row), row + to.cols(), 0.0f);
  }
  to.SetValues(part.device);
  return part.device;
}

}  // namespace hearth
