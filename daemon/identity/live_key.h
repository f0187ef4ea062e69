#ifndef HEARTH_DAEMON_IDENTITY_LIVE_KEY_H_
#define HEARTH_DAEMON_IDENTITY_LIVE_KEY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"
#include "proto/connection_key.h"

namespace hearth {

// A key whose certificate is renewed while it is in use: what is begun from then on shows the new one, what
// is under way goes on. Copies share what they say. Thread-safe.
class LiveKey {
 public:
  LiveKey() : LiveKey(ConnectionKey()) {}
  LiveKey(ConnectionKey key) : state_(std::make_shared<State>()) {
    MutexLock lock(&state_->mutex);
    state_->key = std::move(key);
  }

  ConnectionKey get() const {
    MutexLock lock(&state_->mutex);
    return state_->key;
  }
  bool empty() const { return get().empty(); }
  // Another one after each Replace.
  uint64_t version() const {
    MutexLock lock(&state_->mutex);
    return state_->version;
  }
  void Replace(ConnectionKey key) const {
    MutexLock lock(&state_->mutex);
    state_->key = std::move(key);
    ++state_->version;
  }

 private:
  struct State {
    Mutex mutex;
    ConnectionKey key ABSL_GUARDED_BY(mutex);
    uint64_t version ABSL_GUARDED_BY(mutex) = 0;
  };
  std::shared_ptr<State> state_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_LIVE_KEY_H_
