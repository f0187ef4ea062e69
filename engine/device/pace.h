#ifndef HEARTH_ENGINE_DEVICE_PACE_H_
#define HEARTH_ENGINE_DEVICE_PACE_H_

#include <chrono>
#include <cstdint>

namespace hearth {

// Makes a device as slow as a memory of so many bytes per second, by waiting: to try plans for more machines
// than there are. While the process stands still (stopped, starved) such a memory reads nothing, so a device
// of a machine that is slowed down is slower as well. For one thread at a time.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: as fast as it is.
  explicit Pace(double bytes_per_s = 0) : bytes_per_s_(bytes_per_s) {}

  // Sleeps until reading `bytes` from `start` on may end. By how much a sleep took too long is made up for by
  // the next one, so that the mean is as asked.
  void Await(Clock::time_point start, uint64_t bytes);

  // How much of what passed during a sleep of a millisecond at most counts as reading.
  static std::chrono::nanoseconds Counted(std::chrono::nanoseconds passed);

 private:
  double bytes_per_s_;
  std::chrono::nanoseconds late_{0};
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_PACE_H_
