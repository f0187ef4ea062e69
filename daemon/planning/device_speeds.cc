#include "daemon/planning/device_speeds.h"

#include "daemon/capacity/steady_figures.h"

namespace hearth {
namespace {

constexpr uint64_t kWindowNs = 500'000'000;
constexpr std::chrono::seconds kWindow{5};
constexpr double kFactor = 1.25;

}  // namespace

void DeviceSpeeds::Note(const Device& device, uint64_t epoch, uint64_t bytes, uint64_t ns,
                        Clock::time_point now) {
  State& state = states_[device];
  state.noted = now;
  // Counters begin anew with a plan, and with a daemon.
  if (state.epoch != epoch || bytes < state.bytes || ns < state.ns) {
    state.epoch = epoch;
    state.bytes = bytes;
    state.ns = ns;
    state.since = now;
    return;
  }
  if (ns - state.ns < kWindowNs || now < state.since + kWindow) return;
  Judge(state, 1e9 * static_cast<double>(bytes - state.bytes) / static_cast<double>(ns - state.ns));
  state.bytes = bytes;
  state.ns = ns;
  state.since = now;
}

void DeviceSpeeds::Judge(State& state, double bytes_per_s) {
  if (bytes_per_s <= 0 || (state.figure > 0 && WithinFactor(bytes_per_s, state.figure, kFactor))) {
    state.doubt = 0;
    return;
  }
  if (state.doubt > 0 && WithinFactor(bytes_per_s, state.doubt, kFactor)) {
    state.figure = bytes_per_s;
    state.doubt = 0;
    ++version_;
    return;
  }
  state.doubt = bytes_per_s;
}

void DeviceSpeeds::ForgetUnused(const std::set<std::string>& used, Clock::time_point now) {
  for (auto it = states_.begin(); it != states_.end();) {
    if (used.contains(it->first.first) || now < it->second.noted + kForgetAfter) {
      ++it;
      continue;
    }
    if (it->second.figure > 0) ++version_;
    it = states_.erase(it);
  }
}

std::optional<double> DeviceSpeeds::BytesPerSecond(const Device& device) const {
  const auto found = states_.find(device);
  if (found == states_.end() || found->second.figure <= 0) return std::nullopt;
  return found->second.figure;
}

}  // namespace hearth
