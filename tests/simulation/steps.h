#ifndef HEARTH_TESTS_SIMULATION_STEPS_H_
#define HEARTH_TESTS_SIMULATION_STEPS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "daemon/steps/scheduler_core.h"
#include "tests/simulation/keeper.h"
#include "tests/simulation/world.h"

namespace hearth::simulation {

// What Scheduler does for a model, around the product's SchedulerCore; its decoder asks the plan's devices
// once for each step.
class Steps {
 public:
  Steps(Coordinator& coordinator, Keeper& keeper);

  // RESOURCE_EXHAUSTED where the queue is full. What follows goes to Clients.
  absl::Status Submit(SchedulerCore::Request request);
  void Cancel(RequestId id);
  void SetBlocked(RequestId id, bool blocked);
  bool idle() const { return !computing_ && core_.running() == 0 && core_.waiting() == 0; }

 private:
  struct Step {
    std::shared_ptr<ActivePlan> plan;  // stays while it is computed
    std::vector<BatchRow> rows;
    std::vector<SchedulerCore::Sampled> sampled;
    std::vector<uint64_t> sums;
    std::map<size_t, FrameHeader> awaited;  // of remote hosts, by number
    bool local = false;                     // the leader's own share is computed
    Micros started = 0;
  };

  void Wake();
  void Loop();
  void FormBatch(bool ready);
  void Evaluate(const SchedulerCore::Batch& batch);
  void Ask(size_t remote);
  void TakeAnswer(uint64_t step, size_t remote, const FrameHeader& header, const std::vector<uint64_t>& sums);
  void Fail(size_t remote);
  void Finish();
  void FinishIfAllAreHere();
  // The tokens that a request's rows of logits give.
  void TakeTokens(RequestId id, absl::Span<const uint64_t> sums);
  void AwaitPlan();

  Coordinator& coordinator_;
  World& world_;
  Keeper& keeper_;
  SchedulerCore core_;
  std::vector<uint32_t> lengths_;  // what the decoder holds
  uint64_t step_ = 0;
  bool computing_ = false;
  bool failed_ = false;
  Step now_;
  absl::Time outage_since_ = absl::InfiniteFuture();
  bool wake_asked_ = false;
  uint64_t timer_ = 0;
  std::map<RequestId, SchedulerCore::Request> requests_;
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_STEPS_H_
