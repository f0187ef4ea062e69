#include "daemon/capacity/shared_machine.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

HostCapacity Machine(uint64_t memory_bytes, std::vector<uint64_t> budgets) {
  HostCapacity capacity;
  capacity.memory_bytes = memory_bytes;
  for (uint64_t budget : budgets) capacity.devices.emplace_back().memory_budget_bytes = budget;
  return capacity;
}

std::vector<uint64_t> BudgetsLeft(HostCapacity capacity, uint64_t taken) {
  OfferWhatIsLeft(taken, capacity);
  std::vector<uint64_t> budgets;
  for (const DeviceCapacity& device : capacity.devices) budgets.push_back(device.memory_budget_bytes);
  return budgets;
}

using Budgets = std::vector<uint64_t>;

TEST(SharedMachine, BudgetsThatFitStay) {
  EXPECT_EQ(BudgetsLeft(Machine(100, {30, 20}), 50), (Budgets{30, 20}));
}

TEST(SharedMachine, LastDevicesGiveWhatTheMachineDoesNotHave) {
  EXPECT_EQ(BudgetsLeft(Machine(100, {30, 20}), 60), (Budgets{30, 10}));
  EXPECT_EQ(BudgetsLeft(Machine(100, {30, 20}), 85), (Budgets{15, 0}));
  EXPECT_EQ(BudgetsLeft(Machine(100, {30, 20}), 1000), (Budgets{0, 0}));
}

TEST(SharedMachine, MoreThanTheMachineHasIsNeverOffered) {
  EXPECT_EQ(BudgetsLeft(Machine(100, {uint64_t{1} << 40, 20}), 0), (Budgets{100, 0}));
}

TEST(SharedMachine, UnknownMemoryAndGpusAreLeftAlone) {
  EXPECT_EQ(BudgetsLeft(Machine(0, {30}), 50), (Budgets{30}));
  for (const char* kind : {"gpu", "emulated-gpu"}) {
    HostCapacity gpu = Machine(100, {70, 20});
    gpu.devices[0].kind = kind;
    EXPECT_EQ(BudgetsLeft(gpu, 90), (Budgets{70, 10}));
    EXPECT_EQ(OfferedBytes(gpu), 20);
  }
}

}  // namespace
}  // namespace hearth
