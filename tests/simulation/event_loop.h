#ifndef HEARTH_TESTS_SIMULATION_EVENT_LOOP_H_
#define HEARTH_TESTS_SIMULATION_EVENT_LOOP_H_

#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace hearth::simulation {

// Scrambles a number (SplitMix64's finish).
inline uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}
inline uint64_t Mix(uint64_t a, uint64_t b) { return Mix(a ^ Mix(b)); }

// The only source of chance in a simulation.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed)) {}

  uint64_t Next() { return Mix(state_++); }
  // In [0, n).
  uint64_t Below(uint64_t n) { return Next() % n; }
  double Uniform(double from, double to) {
    return from + (to - from) * 0x1p-53 * static_cast<double>(Next() >> 11);
  }
  bool Chance(double p) { return Uniform(0, 1) < p; }
  double Exponential(double mean) { return -mean * std::log(1 - Uniform(0, 1)); }

 private:
  uint64_t state_;
};

// The simulated clock: what is to happen, in order of time and, at the same time, of having been asked for.
class EventLoop {
 public:
  using Micros = int64_t;
  static constexpr Micros kSecond = 1'000'000;

  Micros now() const { return now_; }
  uint64_t now_ms() const { return static_cast<uint64_t>(now_ / 1000); }
  absl::Time time() const { return absl::UnixEpoch() + absl::Microseconds(now_); }
  std::chrono::steady_clock::time_point steady() const {
    return std::chrono::steady_clock::time_point(std::chrono::microseconds(now_));
  }
  uint64_t events() const { return events_; }

  void At(Micros when, std::function<void()> what) {
    queue_.push({std::max(when, now_), next_++, std::move(what)});
  }
  // Lets everything happen up to then.
  void RunUntil(Micros end) {
    while (!queue_.empty() && queue_.top().when <= end) {
      now_ = queue_.top().when;
      const std::function<void()> what = std::move(queue_.top().what);
      queue_.pop();
      ++events_;
      what();
    }
    now_ = end;
  }

 private:
  struct Event {
    Micros when;
    uint64_t number;
    mutable std::function<void()> what;

    bool operator<(const Event& other) const {
      return std::pair(when, number) > std::pair(other.when, other.number);
    }
  };

  Micros now_ = kSecond;
  uint64_t next_ = 0;
  uint64_t events_ = 0;
  std::priority_queue<Event> queue_;
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_EVENT_LOOP_H_
