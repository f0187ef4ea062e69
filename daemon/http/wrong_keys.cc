#include "daemon/http/wrong_keys.h"

#include <algorithm>
#include <limits>

namespace hearth {

int WrongKeys::Count(const std::string& address, absl::Time now) {
  if (entries_.size() >= kAddresses && !entries_.contains(address)) {
    entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return a.second.since < b.second.since;
    }));
  }
  Entry& entry = entries_[address];
  if (entry.count == 0 || now - entry.since >= kInterval) entry = {now, 0};
  if (entry.count < std::numeric_limits<int>::max()) ++entry.count;
  return entry.count;
}

}  // namespace hearth
