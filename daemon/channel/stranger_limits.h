#ifndef HEARTH_DAEMON_CHANNEL_STRANGER_LIMITS_H_
#define HEARTH_DAEMON_CHANNEL_STRANGER_LIMITS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/types/span.h"

namespace hearth {

// What strangers are told apart by: an IPv4 address, or the first half of an IPv6 one, since a machine has as
// many of the second half as it wants. `address` has 4 or 16 bytes.
std::string NetworkOf(absl::Span<const uint8_t> address);

// Who has to go so that one more of `next` finds room: the oldest of its own network where that has
// `per_network` already, else, where there are `total`, the oldest of the network that has most; those of
// `spared` only where nobody else is there. `present` is in the order in which they came. Nothing where there
// is room.
std::optional<size_t> WhoMakesRoom(absl::Span<const std::string> present, const std::string& next,
                                   size_t per_network, size_t total, const std::string& spared = "");

// How often a network may have work done for it: a token bucket each. Keeps at most `networks` of them; the
// one that has not been seen for longest is forgotten, which gives it a full bucket.
class StrangerRate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Options {
    double per_second = 1;
    double burst = 8;
    size_t networks = 1024;
  };

  explicit StrangerRate(const Options& options) : options_(options) {}

  // Takes a token of the network's bucket; false where it is empty. `now` does not go back.
  bool Allow(const std::string& network, TimePoint now);
  // A token comes back: the work was not for a stranger.
  void GiveBack(const std::string& network);

 private:
  struct Bucket {
    double tokens;
    TimePoint seen;
  };

  const Options options_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_STRANGER_LIMITS_H_
