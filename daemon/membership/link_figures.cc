#include "daemon/membership/link_figures.h"

#include <cmath>
#include <cstdlib>

#include "daemon/capacity/steady_figures.h"

namespace hearth {
namespace {

constexpr double kBandwidthFactor = 2;
constexpr double kRoundTripFactor = 3;
constexpr double kRoundTripUs = 300;
constexpr int kInARow = 3;

// How much slower (1) or faster (-1) a link has become in each figure; 0: the same.
int BandwidthChange(const placement::Link& from, const placement::Link& to) {
  if (WithinFactor(from.bytes_per_s, to.bytes_per_s, kBandwidthFactor)) return 0;
  return to.bytes_per_s < from.bytes_per_s ? 1 : -1;
}

int RoundTripChange(const placement::Link& from, const placement::Link& to) {
  if (WithinFactor(from.round_trip_us, to.round_trip_us, kRoundTripFactor)) return 0;
  if (std::abs(from.round_trip_us - to.round_trip_us) <= kRoundTripUs) return 0;
  return to.round_trip_us > from.round_trip_us ? 1 : -1;
}

// Of so many measurements that agree before this one.
int CountOn(int doubts, int change) {
  if (change == 0) return 0;
  return doubts * change > 0 ? doubts + change : change;
}

}  // namespace

bool LinkFigures::Add(const placement::Link& measured) {
  if (now_.bytes_per_s <= 0) {
    now_ = measured;
    return true;
  }
  bandwidth_doubts_ = CountOn(bandwidth_doubts_, BandwidthChange(now_, measured));
  round_trip_doubts_ = CountOn(round_trip_doubts_, RoundTripChange(now_, measured));
  if (std::abs(bandwidth_doubts_) < kInARow && std::abs(round_trip_doubts_) < kInARow) return false;
  now_ = measured;
  bandwidth_doubts_ = round_trip_doubts_ = 0;
  return true;
}

}  // namespace hearth
