#ifndef HEARTH_DAEMON_HTTP_WRONG_KEYS_H_
#define HEARTH_DAEMON_HTTP_WRONG_KEYS_H_

#include <map>
#include <string>

#include "absl/time/time.h"

namespace hearth {

// How often an address has shown a key that is nobody's. Pure: time is an argument. Not thread-safe.
class WrongKeys {
 public:
  static constexpr size_t kAddresses = 1024;  // the one known longest makes room
  static constexpr int kMost = 10;            // of an address in an interval
  static constexpr absl::Duration kInterval = absl::Minutes(1);

  // Counts one: how many there were from this address within the interval, which begins with the first.
  int Count(const std::string& address, absl::Time now);

 private:
  struct Entry {
    absl::Time since;
    int count = 0;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_WRONG_KEYS_H_
