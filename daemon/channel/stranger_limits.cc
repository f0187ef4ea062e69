#include "daemon/channel/stranger_limits.h"

#include <algorithm>

#include "engine/base/check.h"

namespace hearth {
namespace {

constexpr size_t kIpv4Bytes = 4, kIpv6Bytes = 16;
constexpr uint8_t kMappedPrefix[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // of an IPv4 address as IPv6

}  // namespace

std::string NetworkOf(absl::Span<const uint8_t> address) {
  HEARTH_CHECK(address.size() == kIpv4Bytes || address.size() == kIpv6Bytes);
  if (address.size() == kIpv6Bytes) {
    const bool mapped = std::equal(std::begin(kMappedPrefix), std::end(kMappedPrefix), address.begin());
    address = mapped ? address.last(kIpv4Bytes) : address.first(kIpv6Bytes / 2);
  }
  return {address.begin(), address.end()};
}

std::optional<size_t> WhoMakesRoom(absl::Span<const std::string> present, const std::string& next,
                                   size_t per_network, size_t total, const std::string& spared) {
  std::map<std::string, size_t> counts;
  for (const std::string& network : present) ++counts[network];
  if (counts.size() > 1) counts.erase(spared);
  size_t most = 0;
  for (const auto& [network, count] : counts) most = std::max(most, count);
  const auto own = std::count(present.begin(), present.end(), next);
  const bool own_is_full = static_cast<size_t>(own) >= per_network;
  if (!own_is_full && present.size() < total) return std::nullopt;
  for (size_t i = 0; i < present.size(); ++i) {
    if (own_is_full ? present[i] == next : counts[present[i]] == most) return i;
  }
  return std::nullopt;
}

bool StrangerRate::Allow(const std::string& network, TimePoint now) {
  auto found = buckets_.find(network);
  if (found == buckets_.end()) {
    if (buckets_.size() >= options_.networks) {
      buckets_.erase(std::min_element(buckets_.begin(), buckets_.end(), [](const auto& a, const auto& b) {
        return a.second.seen < b.second.seen;
      }));
    }
    found = buckets_.emplace(network, Bucket{options_.burst, now}).first;
  }
  Bucket& bucket = found->second;
  const double passed_s = std::chrono::duration<double>(now - bucket.seen).count();
  bucket.tokens = std::min(options_.burst, bucket.tokens + passed_s * options_.per_second);
  bucket.seen = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void StrangerRate::GiveBack(const std::string& network) {
  const auto found = buckets_.find(network);
  if (found != buckets_.end()) found->second.tokens = std::min(options_.burst, found->second.tokens + 1);
}

}  // namespace hearth
