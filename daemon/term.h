#ifndef HEARTH_DAEMON_TERM_H_
#define HEARTH_DAEMON_TERM_H_

#include <cstdint>
#include <string>

namespace hearth {

// Which coordinator of its home one is: a host that takes the place of another has the next number.
struct Term {
  std::string home;  // the id of its authority; empty: not known
  uint64_t number = 0;

  // Whether the same home has had a later one.
  bool IsBefore(const Term& other) const {
    return !home.empty() && home == other.home && number < other.number;
  }
  bool operator==(const Term&) const = default;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_TERM_H_
