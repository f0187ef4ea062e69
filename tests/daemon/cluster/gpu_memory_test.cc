// Allocations of a GPU that fail while a share is loaded: whoever leads makes another plan, without the GPU,
// and the text is the same.
#include <gmock/gmock.h>

#include "tests/cuda_emu/emulator_control.h"
#include "tests/daemon/cluster/node_fixture.h"

namespace hearth {
namespace {

constexpr size_t kTokens = 6;

class GpuMemoryNodeTest : public NodeTest {
 protected:
  void TearDown() override { cuda_emu::FailAllocationAfter(-1); }

  // A processor, and a card that is planned as ten times as fast.
  static std::vector<DeviceOption> Devices() {
    std::vector<DeviceOption> devices = TestNode::Devices(2);
    devices[1].name = "gpu0";
    devices[1].kind = placement::DeviceKind::kGpu;
    devices[1].emulated = true;
    devices[1].memory_bytes = uint64_t{64} << 20;
    devices[1].threads.reset();
    devices[1].read_bytes_per_s = 1e11;
    return devices;
  }
  static bool UsesGpu(const ClusterSnapshot& snapshot, const std::string& host) {
    if (snapshot.plans.empty() || !snapshot.plans[0].active) return false;
    return std::any_of(snapshot.plans[0].shares.begin(), snapshot.plans[0].shares.end(),
                       [&](const DeviceShareView& share) {
                         return share.host == host && share.device == "gpu0" && share.weight_bytes > 0;
                       });
  }
};

TEST_F(GpuMemoryNodeTest, LeaderWhoseGpuFailsAnAllocationPlansWithoutIt) {
  const std::vector<TokenId> expected = Expected(kTokens);
  NodeOptions options = CoordinatorOptions();
  options.devices = Devices();
  TestNode coordinator(options);
  ModelHost& models = *coordinator.node().model_host();
  const int64_t live = cuda_emu::LiveAllocations();
  const auto load = [&] {
    EXPECT_TRUE(models.Load({"demo", kModel}).ok());
    coordinator.AwaitModel();
  };
  const auto unload = [&] {
    EXPECT_TRUE(models.Unload("demo").ok());
    EXPECT_TRUE(coordinator.Await([&](const ClusterSnapshot&) { return models.List().empty(); }));
    EXPECT_EQ(cuda_emu::LiveAllocations(), live);
  };
  const int64_t before = cuda_emu::AllocationCount();
  load();
  const int64_t sites = cuda_emu::AllocationCount() - before;
  EXPECT_TRUE(UsesGpu(coordinator.node().cluster_view().Snapshot(), "a"));
  unload();
  ASSERT_GT(sites, 50);
  for (int64_t site = 0; site < sites; ++site) {
    SCOPED_TRACE(site);
    cuda_emu::FailAllocationAfter(site);
    load();
    EXPECT_FALSE(UsesGpu(coordinator.node().cluster_view().Snapshot(), "a"));
    if (site % 8 == 0) {
      EXPECT_EQ(Generate(*coordinator.AwaitModel(), kTokens).value(), expected);
    }
    unload();
  }
}

TEST_F(GpuMemoryNodeTest, LeaderWhoseGpuFailsAnAllocationInAStepPlansWithoutItAndTheTextGoesOn) {
  const std::vector<TokenId> expected = Expected(kTokens);
  NodeOptions options = CoordinatorOptions();
  options.devices = Devices();
  for (int64_t site = 0;; ++site) {
    SCOPED_TRACE(site);
    TestNode coordinator(options);
    ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
    const auto model = coordinator.AwaitModel();
    ASSERT_TRUE(UsesGpu(coordinator.node().cluster_view().Snapshot(), "a"));
    cuda_emu::FailAllocationAfter(site);
    const int64_t before = cuda_emu::AllocationCount();
    const auto tokens = Generate(*model, kTokens);
    cuda_emu::FailAllocationAfter(-1);
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    if (cuda_emu::AllocationCount() - before <= site) {
      EXPECT_GT(site, 1) << "no allocation of a step has failed";
      break;
    }
    EXPECT_EQ(*tokens, expected);
    EXPECT_FALSE(UsesGpu(coordinator.node().cluster_view().Snapshot(), "a"));
  }
}

TEST_F(GpuMemoryNodeTest, WorkerWhoseGpuFailsAnAllocationComputesOnItsProcessorWhileTheTextGoesOn) {
  const std::vector<TokenId> expected = Expected(20);
  // Generates while a worker joins whose allocation of that number fails (-1: none); returns how many it
  // makes.
  const auto generate_with_worker = [&](int64_t failing) {
    const auto coordinator = StartCoordinator();
    NodeOptions options = WorkerOptions(*coordinator);
    options.devices = Devices();
    const auto model = coordinator->AwaitModel();
    std::unique_ptr<TestNode> worker;
    int64_t made = 0;
    const auto tokens = Generate(*model, 20, [&](size_t count) {
      if (count != 8) return;
      const int64_t before = cuda_emu::AllocationCount();
      cuda_emu::FailAllocationAfter(failing);
      worker = std::make_unique<TestNode>(options);
      ASSERT_TRUE(coordinator->Await(SharedWith("b")));
      made = cuda_emu::AllocationCount() - before;
      EXPECT_EQ(UsesGpu(coordinator->node().cluster_view().Snapshot(), "b"), failing < 0);
    });
    EXPECT_EQ(tokens.value(), expected);
    return made;
  };
  const int64_t made = generate_with_worker(-1);
  ASSERT_GT(made, 50);
  generate_with_worker(made - 20);  // of its share: its measurements are long over
}

}  // namespace
}  // namespace hearth
