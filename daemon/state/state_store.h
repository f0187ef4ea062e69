#ifndef HEARTH_DAEMON_STATE_STATE_STORE_H_
#define HEARTH_DAEMON_STATE_STATE_STORE_H_

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/identity/kept_hosts.h"

namespace hearth {

// What a request that was sent with an id is known by: the same id of two callers is two requests.
struct RequestName {
  std::string caller;  // the id of the caller's key; empty: of this machine, or passed on by a host
  std::string id;      // a secret: whoever knows it reads the answer

  auto operator<=>(const RequestName&) const = default;
};

enum class RequestKind { kGenerate = 1, kChat = 2 };

// All that it takes to go on with a request: the same seed gives the same tokens under every plan.
struct KeptRequest {
  RequestName name;
  RequestKind kind = RequestKind::kGenerate;
  std::string content;  // the message that asked for it, serialized, without id, seed and earlier tokens
  std::string digest;   // of the model that answers
  std::optional<uint64_t> seed;  // nullopt: to be drawn, or as it is kept
  absl::Time arrived;            // templates know the date
  absl::Time used;               // when it last changed
  std::vector<int32_t> tokens;   // generated so far
};

// What has changed since the last change was written.
struct RequestChanges {
  struct Tokens {
    RequestName name;
    size_t first = 0;  // how many the store has already
    std::vector<int32_t> tokens;
    absl::Time used;
  };
  bool forget_all = false;  // first: nothing of what the store has counts
  std::vector<RequestName> removed;
  std::vector<KeptRequest> put;  // new, or in place of what the store has
  std::vector<Tokens> appended;

  bool empty() const { return !forget_all && removed.empty() && put.empty() && appended.empty(); }
};

// A model that clients have loaded.
struct KeptModel {
  std::string path;
  std::string objective = {};              // as it was asked for; empty: as the daemon is set
  std::string draft = {};                  // path of the model that guesses for it; empty: none
  std::vector<std::string> adapters = {};  // LoRA adapters that change it, as AdapterText

  bool operator==(const KeptModel&) const = default;
};

// Where a coordinator keeps what it is to have again after its death. One implementation lies beside it on
// the disk (sqlite_store.h); what several hosts share can be another. Thread-safe; calls block. Errors say in
// one line what does not work and what to do.
class StateStore : public KeptHosts {
 public:
  virtual absl::StatusOr<std::vector<KeptRequest>> Requests() = 0;
  // All of it. After an error a part of it may be there: the next changes begin with forget_all.
  virtual absl::Status Write(const RequestChanges& changes) = 0;

  // By name.
  virtual absl::StatusOr<std::map<std::string, KeptModel>> Models() = 0;
  virtual absl::Status PutModel(const std::string& name, const KeptModel& model) = 0;
  virtual absl::Status RemoveModel(const std::string& name) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STATE_STATE_STORE_H_
