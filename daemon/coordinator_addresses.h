#ifndef HEARTH_DAEMON_COORDINATOR_ADDRESSES_H_
#define HEARTH_DAEMON_COORDINATOR_ADDRESSES_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/term.h"
#include "engine/base/mutex.h"

namespace hearth {

// Where each host that may lead is reached once it does: HOST:PORT of plain and of encrypted ports.
struct PlacesToLead {
  std::vector<std::string> plain, encrypted;
  Term term = {};  // of the one that does
};

// Where a worker finds its coordinator: at one address, or at one of several, of which the one in use is
// known to all that hold a copy. Copies share what they say. Thread-safe.
class CoordinatorAddresses {
 public:
  CoordinatorAddresses() : CoordinatorAddresses(std::string()) {}
  // HOST:PORT, or several with commas between them. Empty: none.
  CoordinatorAddresses(const std::string& list) : state_(std::make_shared<State>()) { Use(list); }
  CoordinatorAddresses(const char* list) : CoordinatorAddresses(std::string(list)) {}

  // In place of those before.
  void Use(const std::string& list) const {
    MutexLock lock(&state_->mutex);
    const std::string used = state_->current();
    state_->list = absl::StrSplit(list, ',', absl::SkipEmpty());
    const auto found = std::find(state_->list.begin(), state_->list.end(), used);
    state_->used = found == state_->list.end() ? 0 : static_cast<size_t>(found - state_->list.begin());
  }
  // There is no coordinator at `address`: the next one is in use, unless another is already.
  void PassOver(const std::string& address) const {
    MutexLock lock(&state_->mutex);
    if (state_->list.empty() || state_->current() != address) return;
    state_->used = (state_->used + 1) % state_->list.size();
  }

  bool empty() const { return size() == 0; }
  size_t size() const {
    MutexLock lock(&state_->mutex);
    return state_->list.size();
  }
  // The one in use; empty where there is none.
  std::string current() const {
    MutexLock lock(&state_->mutex);
    return state_->current();
  }
  std::string text() const {
    MutexLock lock(&state_->mutex);
    return absl::StrJoin(state_->list, ",");
  }

 private:
  struct State {
    std::string current() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      return list.empty() ? std::string() : list[used];
    }
    Mutex mutex;
    std::vector<std::string> list ABSL_GUARDED_BY(mutex);
    size_t used ABSL_GUARDED_BY(mutex) = 0;
  };
  std::shared_ptr<State> state_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_COORDINATOR_ADDRESSES_H_
