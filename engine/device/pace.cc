#include "engine/device/pace.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace hearth {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kSlice = std::chrono::milliseconds(1);
constexpr nanoseconds kStandstill = 2 * kSlice;

}  // namespace

nanoseconds Pace::Counted(nanoseconds passed) { return std::min(passed, kStandstill); }

void Pace::Await(Clock::time_point start, uint64_t bytes) {
  if (bytes_per_s_ <= 0) return;
  const std::chrono::duration<double> takes(static_cast<double>(bytes) / bytes_per_s_);
  const nanoseconds needed = std::chrono::duration_cast<nanoseconds>(takes) - late_;
  Clock::time_point now = Clock::now();
  nanoseconds counted = now - start;
  while (counted < needed) {
    std::this_thread::sleep_for(std::min(needed - counted, kSlice));
    const Clock::time_point before = std::exchange(now, Clock::now());
    counted += Counted(now - before);
  }
  late_ = std::min(counted - needed, kSlice);
}

}  // namespace hearth
