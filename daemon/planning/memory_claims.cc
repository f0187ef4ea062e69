#include "daemon/planning/memory_claims.h"

#include <algorithm>

namespace hearth {
namespace {

uint64_t BytesOn(const DeviceName& device, const ReservedBytes& use) {
  const auto found = use.find(device);
  return found == use.end() ? 0 : found->second;
}

bool IsFull(const std::vector<MemoryClaim>& claims, size_t number, const DeviceName& device) {
  const MemoryClaim& own = claims[number];
  const auto budget = own.budgets.find(device);
  if (budget == own.budgets.end()) return false;
  uint64_t sum = BytesOn(device, own.reserved);
  for (size_t i = 0; i < claims.size(); ++i) {
    if (i != number) sum += std::max(BytesOn(device, claims[i].reserved), BytesOn(device, claims[i].held));
  }
  return sum > budget->second;
}

// Whether `other` holds more than it has reserved where there is no room for `number`.
bool WaitsFor(const std::vector<MemoryClaim>& claims, size_t number, size_t other) {
  const MemoryClaim& holder = claims[other];
  return number != other && std::any_of(holder.held.begin(), holder.held.end(), [&](const auto& held) {
           const auto& [device, bytes] = held;
           return bytes > BytesOn(device, holder.reserved) && BytesOn(device, claims[number].reserved) > 0 &&
                  IsFull(claims, number, device);
         });
}

}  // namespace

std::optional<DeviceName> FullDevice(const std::vector<MemoryClaim>& claims, size_t number) {
  for (const auto& [device, bytes] : claims[number].reserved) {
    if (IsFull(claims, number, device)) return device;
  }
  return std::nullopt;
}

std::optional<size_t> WhoGivesUp(const std::vector<MemoryClaim>& claims) {
  std::vector<size_t> waiting;
  for (size_t i = 0; i < claims.size(); ++i) {
    if (claims[i].waits) waiting.push_back(i);
  }
  const auto is_at_an_end = [&](size_t i) {
    const auto waits_for = [&](size_t other) { return WaitsFor(claims, i, other); };
    const auto is_waited_for_by = [&](size_t other) { return WaitsFor(claims, other, i); };
    return std::none_of(waiting.begin(), waiting.end(), waits_for) ||
           std::none_of(waiting.begin(), waiting.end(), is_waited_for_by);
  };
  for (;;) {  // what is left in the end are circles, and chains between them
    const auto end = std::find_if(waiting.begin(), waiting.end(), is_at_an_end);
    if (end == waiting.end()) break;
    waiting.erase(end);
  }
  return waiting.empty() ? std::nullopt : std::optional(waiting.back());
}

}  // namespace hearth
