#ifndef HEARTH_DAEMON_PLANNING_DEVICE_SPEEDS_H_
#define HEARTH_DAEMON_PLANNING_DEVICE_SPEEDS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace hearth {

// How fast devices really read a model's weights while it generates, from what they have counted. Probes
// before the first token know neither the model's kernels nor what a machine's owner does meanwhile. Figures
// follow slowly: a window lasts five seconds and half a second of work at least, and a figure changes when
// two windows in a row agree (within a quarter) that it is another by more than a quarter. What a plan leaves
// out is no longer seen: its figure is forgotten after five minutes, so that it is tried again. Pure: time is
// passed in. Not thread-safe.
class DeviceSpeeds {
 public:
  using Clock = std::chrono::steady_clock;
  using Device = std::pair<std::string, std::string>;  // names of host and device

  // What the device has counted under a plan until now (DeviceCounters, of single rows).
  void Note(const Device& device, uint64_t epoch, uint64_t bytes, uint64_t ns, Clock::time_point now);
  // Forgets hosts that are not among `used` and were last noted long ago.
  void ForgetUnused(const std::set<std::string>& used, Clock::time_point now);
  // nullopt while there is no figure.
  std::optional<double> BytesPerSecond(const Device& device) const;
  // Grows whenever a figure changes, comes or goes.
  uint64_t version() const { return version_; }
  // How long a figure outlives the plans that used its device.
  static constexpr std::chrono::minutes kForgetAfter{5};
  bool empty() const { return states_.empty(); }

 private:
  struct State {
    uint64_t epoch = 0;
    uint64_t bytes = 0;  // at the start of the window
    uint64_t ns = 0;
    Clock::time_point since;
    Clock::time_point noted;
    double figure = 0;  // 0: none
    double doubt = 0;   // the last window where it was another
  };

  void Judge(State& state, double bytes_per_s);

  std::map<Device, State> states_;
  uint64_t version_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_DEVICE_SPEEDS_H_
