#ifndef HEARTH_DAEMON_MEMBERSHIP_LINK_FIGURES_H_
#define HEARTH_DAEMON_MEMBERSHIP_LINK_FIGURES_H_

#include "placement/cluster.h"

namespace hearth {

// A link's figures as plans use them. They follow what is measured, but not every difference: a busy host
// answers late now and then, and a plan that followed would move weights for nothing. Pure.
class LinkFigures {
 public:
  // A measurement. Figures change when three in a row agree that one of them has: a bandwidth by more than a
  // factor of two, a round trip by more than a factor of three and by more than 300 us. Whether they have
  // changed; the first measurement is taken as it is.
  bool Add(const placement::Link& measured);

  // All zero before the first measurement.
  const placement::Link& now() const { return now_; }

 private:
  placement::Link now_;
  // How many in a row have said so of the bandwidth and of the round trip: slower above 0, faster below.
  int bandwidth_doubts_ = 0;
  int round_trip_doubts_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_LINK_FIGURES_H_
