#ifndef HEARTH_CLIENT_COMMAND_INTERRUPT_H_
#define HEARTH_CLIENT_COMMAND_INTERRUPT_H_

#include <atomic>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// Lets Ctrl-C cancel what is under way instead of ending the command. SIGINT has to be blocked in all threads
// (Block, before any is started); a thread waits for it. Without a handler set, Ctrl-C ends the process.
class Interrupt {
 public:
  // To be called before any thread is started: the signal goes to those who ask for it.
  static void Block();
  // Starts the waiting thread, which lasts as long as the process.
  static Interrupt& Get();

  // While it lives, Ctrl-C calls `handler`, from another thread.
  class Handler {
   public:
    explicit Handler(std::function<void()> handler) { Get().Set(std::move(handler)); }
    ~Handler() { Get().Set(nullptr); }
    // Whether Ctrl-C was pressed since this handler was made.
    bool called() const { return Get().called_; }
  };

 private:
  void Set(std::function<void()> handler);
  [[noreturn]] void Wait();

  Mutex mutex_;
  std::function<void()> handler_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> called_ = false;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_INTERRUPT_H_
