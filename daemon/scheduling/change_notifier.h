#ifndef HEARTH_DAEMON_SCHEDULING_CHANGE_NOTIFIER_H_
#define HEARTH_DAEMON_SCHEDULING_CHANGE_NOTIFIER_H_

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace hearth {

// Wants to know when models or the cluster change.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;
  // Called by the notifier's thread, one call at a time.
  virtual void OnChange() = 0;
};

// Tells listeners of changes from a thread of its own, so that who notices a change is never held up: at most
// once per `interval` however many changes there are, and once per `heartbeat` when there are none.
// Thread-safe.
class ChangeNotifier {
 public:
  ChangeNotifier(absl::Duration interval, absl::Duration heartbeat);
  ~ChangeNotifier() { Stop(); }

  // When it returns no listener is being called or will be. Not from a listener.
  void Stop();
  void Notify();
  // Until the listener is destroyed.
  void Add(std::weak_ptr<ChangeListener> listener);
  // The same for one that a stranger has asked for; false where kMaxListeners are there already.
  bool AddIfFew(std::weak_ptr<ChangeListener> listener);
  static constexpr size_t kMaxListeners = 512;

 private:
  void Run();
  void ForgetGone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<std::shared_ptr<ChangeListener>> Listeners() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const absl::Duration interval_;
  const absl::Duration heartbeat_;
  Mutex mutex_;
  CondVar wake_;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::weak_ptr<ChangeListener>> listeners_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_CHANGE_NOTIFIER_H_
