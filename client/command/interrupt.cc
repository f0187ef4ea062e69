#include "client/command/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "engine/command_line/program.h"

namespace hearth {
namespace {

sigset_t Sigint() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

void Interrupt::Block() {
  const sigset_t signals = Sigint();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Interrupt& Interrupt::Get() {
  static Interrupt* const instance = [] {
    auto* const made = new Interrupt();  // the thread uses it until the process ends
    std::thread([made] { made->Wait(); }).detach();
    return made;
  }();
  return *instance;
}

void Interrupt::Set(std::function<void()> handler) {
  MutexLock lock(&mutex_);
  if (handler) called_ = false;
  handler_ = std::move(handler);
}

void Interrupt::Wait() {
  const sigset_t signals = Sigint();
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    MutexLock lock(&mutex_);
    // A second Ctrl-C while the first one has not taken effect ends the command too.
    if (!handler_ || called_) _exit(kInterruptedExit);
    called_ = true;
    handler_();
  }
}

}  // namespace hearth
