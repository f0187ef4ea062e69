#include "daemon/cluster/device_speeds.h"

namespace hearth {
namespace {

constexpr uint64_t kWindowNs = 500'000'000;
constexpr uint64_t kWindowMs = 5000;
constexpr double kFactor = 1.25;
constexpr uint64_t kForgetAfterMs = 5 * 60 * 1000;

bool Agree(double a, double b) { return a <= b * kFactor && b <= a * kFactor; }

}  // namespace

void DeviceSpeeds::Note(const Device& device, uint64_t epoch, uint64_t bytes, uint64_t ns, uint64_t now_ms) {
  State& state = states_[device];
  state.noted_ms = now_ms;
  // Counters begin anew with a plan, and with a daemon.
  if (state.epoch != epoch || bytes < state.bytes || ns < state.ns) {
    state.epoch = epoch;
    state.bytes = bytes;
    state.ns = ns;
    state.since_ms = now_ms;
    return;
  }
  if (ns - state.ns < kWindowNs || now_ms < state.since_ms + kWindowMs) return;
  Judge(state, 1e9 * static_cast<double>(bytes - state.bytes) / static_cast<double>(ns - state.ns));
  state.bytes = bytes;
  state.ns = ns;
  state.since_ms = now_ms;
}

void DeviceSpeeds::Judge(State& state, double bytes_per_s) {
  if (bytes_per_s <= 0 || (state.figure > 0 && Agree(bytes_per_s, state.figure))) {
    state.doubt = 0;
    return;
  }
  if (state.doubt > 0 && Agree(bytes_per_s, state.doubt)) {
    state.figure = bytes_per_s;
    state.doubt = 0;
    ++version_;
    return;
  }
  state.doubt = bytes_per_s;
}

void DeviceSpeeds::ForgetUnused(const std::set<std::string>& used, uint64_t now_ms) {
  for (auto it = states_.begin(); it != states_.end();) {
    if (used.contains(it->first.first) || now_ms < it->second.noted_ms + kForgetAfterMs) {
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
