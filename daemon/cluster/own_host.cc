#include "daemon/cluster/own_host.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/time/clock.h"
#include "daemon/membership/pauses.h"

namespace hearth {

OwnHost::OwnHost(const YieldOptions& options, std::function<void()> changed)
    : changed_(std::move(changed)), yielding_(options) {}

OwnHost::~OwnHost() { Stop(); }

void OwnHost::Start() {
  thread_ = std::thread([this] { Run(); });
}

void OwnHost::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  wake_.SignalAll();
  if (thread_.joinable()) thread_.join();
}

void OwnHost::SetPause(absl::Time until) {
  {
    MutexLock lock(&mutex_);
    paused_until_ = until;
  }
  wake_.SignalAll();
}

std::string OwnHost::problem() const {
  MutexLock lock(&mutex_);
  return problem_;
}

void OwnHost::Run() {
  MutexLock lock(&mutex_);
  while (!stopped_) {
    lock.Unlock();
    yielding_.Look(Yielding::Clock::now());
    lock.Lock();
    const bool is_paused = paused_until_ > absl::Now();
    std::string problem = is_paused ? PauseReason(paused_until_) : yielding_.reason();
    if (problem == problem_) {
      wake_.WaitFor(&mutex_, Yielding::kInterval);
      continue;
    }
    problem_ = std::move(problem);
    spdlog::info("this machine {}", problem_.empty() ? "holds shares again" : "only leads: " + problem_);
    lock.Unlock();
    changed_();
    lock.Lock();
  }
}

}  // namespace hearth
