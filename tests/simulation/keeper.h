#ifndef HEARTH_TESTS_SIMULATION_KEEPER_H_
#define HEARTH_TESTS_SIMULATION_KEEPER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/channel/patience.h"
#include "daemon/cluster/plan_keeper.h"
#include "daemon/cluster/plan_slots.h"
#include "daemon/planning/memory_book.h"
#include "tests/simulation/network.h"
#include "tests/simulation/toy_model.h"
#include "tests/simulation/world.h"

namespace hearth::simulation {

class Coordinator;
class Worker;

// A plan whose devices are simulated.
struct SimulatedPlan : ActivePlan {
  struct Device {
    std::shared_ptr<Line> line;  // null: not connected yet
    Worker* worker = nullptr;
    bool lost = false;
    uint64_t tickets = 0;
    std::unique_ptr<Patience> patience;
  };

  ~SimulatedPlan() {
    for (const Device& device : connections) {
      if (device.line != nullptr) device.line->Close(0);
    }
  }

  Pieces local;
  std::vector<Device> connections;  // of `remotes`
};

// What ClusterModel and PlanPreparer do for a model, around the product's PlanKeeper and PlanSlots; where
// they wait this one goes on with a later event.
class Keeper {
 public:
  Keeper(Coordinator& coordinator, const ToyModel& model);

  void Kick();
  const ToyModel& model() const { return model_; }
  PlanSlots& slots() { return slots_; }
  ReservedBytes Held();
  // Called when a plan is ready.
  void OnReady(std::function<void()> ready) { ready_ = std::move(ready); }

  // ---- For steps.

  // Whether there is a plan to compute with; then `lengths` are what its caches hold of each sequence.
  bool PrepareStep(std::vector<uint32_t>& lengths);
  SimulatedPlan* active() const { return static_cast<SimulatedPlan*>(slots_.active().get()); }
  void ReportLostDevice();
  void NoteToken(absl::Duration took);
  void OnLost(RosterCore::Session session);

  // ---- For invariants.

  bool is_preparing() const { return phase_ != Phase::kIdle; }
  bool fits() const { return fits_; }
  // Whether a fresh plan of all hosts that are there would be worth a move.
  bool BetterPlanIsThere();

 private:
  void Loop();
  bool LetGoOfRetired();
  void ReleaseRetired();
  void Keep();
  absl::Status Replan();
  ReservedBytes HeldByOthers();
  ReservedBytes TakenByOthers();
  PlanWish WishFor(const PlanKeeper::Hosts& hosts);
  absl::StatusOr<std::optional<ClusterPlan>> Reserve(SimulatedPlan* in_use, const PlanKeeper::Hosts& hosts);
  void AwaitRoom();
  void GiveUp();
  void BeginPlan();
  void LoadLocal(const SimulatedPlan* beside);
  void HaveNoRoomBeside(const absl::Status& status);
  void GoOnAlone();
  void LookAtPreparing();
  void Connect(size_t remote);
  void Publish();
  void EndPlan(const absl::Status& status);
  void WantShards();
  void TakeOverCaches(SimulatedPlan* former, SimulatedPlan* plan, std::vector<uint32_t>& lengths);
  absl::Status MoveCaches(SimulatedPlan& former, SimulatedPlan& plan, const std::vector<uint32_t>& lengths);
  Pieces* PiecesOf(SimulatedPlan& plan, RosterCore::Session session);
  void CheckBudgets();

  Coordinator& coordinator_;
  World& world_;
  const ToyModel& model_;
  PlanKeeper keeper_;
  PlanSlots slots_;
  std::vector<std::string> lost_hosts_;
  enum class Phase {
    kIdle,
    kAwaitingRoom,
    kGivingUp,
    kLoading,
    kAwaitingWorkers,
    kConnecting
  } phase_ = Phase::kIdle;
  // Of the plan that is being prepared.
  std::optional<ClusterPlan> placed_;
  PlanKeeper::Hosts placed_hosts_;
  absl::Time room_until_;
  std::shared_ptr<SimulatedPlan> preparing_;  // from kLoading on
  std::shared_ptr<SimulatedPlan> former_;     // that it is to replace, until it has taken over what it can
  bool alone_ = false;                        // that one has been given up
  bool kicked_ = false;
  bool fits_ = true;
  bool stays_for_memory_ = false;  // a better plan would need memory beside the one in use
  uint64_t timer_ = 0;
  uint32_t tokens_ = 0;
  std::function<void()> ready_;
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_KEEPER_H_
