#include "daemon/channel/wire_sums.h"

#include "engine/base/check.h"
#include "engine/kernel/fixed_point.h"

namespace hearth {
namespace {

// Whether all values fit 32 bits. Without branches, so that the compiler takes several at a time.
bool FitNarrow(absl::Span<const int64_t> sums) {
  uint64_t misfit = 0;
  for (const int64_t sum : sums) misfit |= static_cast<uint64_t>(sum) + 0x80000000u;
  return misfit >> 32 == 0;
}

template <class T>
absl::Span<const uint8_t> BytesOf(absl::Span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
absl::Span<uint8_t> Room(std::vector<T>& buffer, size_t count) {
  if (buffer.size() < count) buffer.resize(count);
  return {reinterpret_cast<uint8_t*>(buffer.data()), count * sizeof(T)};
}

}  // namespace

void WireSums::Encode(absl::Span<const int64_t> sums) {
  if (!FitNarrow(sums)) {
    type_ = FrameType::kInt64;
    bytes_ = BytesOf(sums);
    return;
  }
  type_ = FrameType::kInt32;
  bytes_ = Room(narrow_, sums.size());
  for (size_t i = 0; i < sums.size(); ++i) narrow_[i] = static_cast<int32_t>(sums[i]);
}

absl::Span<uint8_t> WireSums::Receive(FrameType type, size_t count) {
  HEARTH_CHECK(type == FrameType::kInt32 || type == FrameType::kInt64);
  type_ = type;
  return type == FrameType::kInt32 ? Room(narrow_, count) : Room(wide_, count);
}

void WireSums::AddTo(absl::Span<int64_t> sums) const {
  if (type_ == FrameType::kInt32) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = AddFixedPoint(sums[i], narrow_[i]);
  } else {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = AddFixedPoint(sums[i], wide_[i]);
  }
}

}  // namespace hearth
