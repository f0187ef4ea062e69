#ifndef HEARTH_TESTS_DAEMON_STATE_KEPT_REQUEST_H_
#define HEARTH_TESTS_DAEMON_STATE_KEPT_REQUEST_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "daemon/state/state_store.h"

namespace hearth {

// A request as a store is to give it back: no field has its default.
inline KeptRequest RequestToKeep(const std::string& id, std::vector<int32_t> tokens = {}) {
  KeptRequest request;
  request.name = {"caller", id};
  request.kind = RequestKind::kChat;
  request.content = std::string("a\0b", 3);
  request.digest = "sha256:00ff";
  request.seed = uint64_t{1} << 63 | 7;
  request.arrived = absl::FromUnixMicros(1234567);
  request.used = absl::FromUnixMicros(2345678);
  request.tokens = std::move(tokens);
  return request;
}

// The change that writes it.
inline RequestChanges PutOf(KeptRequest request) {
  RequestChanges changes;
  changes.put.push_back(std::move(request));
  return changes;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_STATE_KEPT_REQUEST_H_
