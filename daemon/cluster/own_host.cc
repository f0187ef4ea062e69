#include "daemon/cluster/own_host.h"

#include <utility>

#include "absl/strings/str_cat.h"
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
  return Problem();
}

std::string OwnHost::Problem() const {
  return paused_until_ > absl::Now() ? PauseReason(paused_until_) : yields_;
}

void OwnHost::Run() {
  std::string told;
  MutexLock lock(&mutex_);
  while (!stopped_) {
    lock.Unlock();
    yielding_.Look(Yielding::Clock::now());
    lock.Lock();
    yields_ = yielding_.reason();
    if (Problem() == told) {
      wake_.WaitFor(&mutex_, Yielding::kInterval);
      continue;
    }
    told = Problem();
    lock.Unlock();
    changed_();
    lock.Lock();
  }
}

std::string OwnersSentence(const std::string& leader, const std::string& problem, const ClusterPlan& plan) {
  if (problem.empty()) return "";
  if (!plan.Uses(plan.cluster.leader))
    return absl::StrCat("Host ", leader, " leads and holds nothing: ", problem);
  return absl::StrCat("Host ", leader, " keeps its share although ", problem,
                      ", since the others cannot hold it all");
}

}  // namespace hearth
