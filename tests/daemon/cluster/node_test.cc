// A coordinator and a worker in one process, over loopback, with the demo model: the whole cluster half.
#include "daemon/cluster/node.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/tensor_server.h"
#include "daemon/identity/host_id.h"
#include "daemon/membership/host_identity.h"
#include "daemon/membership/known_host.h"
#include "tests/daemon/cluster/node_fixture.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(NodeTest, TwoHostsGenerateWhatOneDoes) {
  const std::vector<TokenId> expected = Expected(40);
  const auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  EXPECT_EQ(Generate(*model, 40).value(), expected);
  // The worker's figures come with its next report.
  EXPECT_TRUE(coordinator->Await([](const ClusterSnapshot& snapshot) {
    const DeviceShareView* share = FindShare(snapshot, "b");
    return share != nullptr && share->neurons_offered[0] > 0 && share->round_trips > 0;
  }));
}

// What 24 layers of this width take in Q8_0: 0.31 GB.
ModelFigures FiguresOf(uint32_t layers) {
  return {.architecture = "llama",
          .weights = "Q8_0",
          .layers = layers,
          .embedding = 1024,
          .feed_forward = 2816,
          .heads = 16,
          .kv_heads = 16,
          .vocabulary = 8000,
          .context = 2048};
}

TEST_F(NodeTest, ModelThatIsNotHereIsExpectedByItsFigures) {
  const auto coordinator = StartCoordinator();
  coordinator->AwaitModel();
  const auto plan = coordinator->node().cluster_view().Expect(FiguresOf(24));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->context_length, 2048u);
  EXPECT_EQ(plan->hosts, std::vector<std::string>{"a"});
  EXPECT_NEAR(static_cast<double>(plan->weight_bytes), 0.335e9, 0.01e9);
  // At 1e10 bytes/s no more than it can read for tokens, and a cache of 512 positions; how much less depends
  // on how fast this machine was measured to compute, and so it does for half of the layers.
  EXPECT_LT(plan->tokens_per_second, 31);
  const auto half = coordinator->node().cluster_view().Expect(FiguresOf(12));
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_GT(half->tokens_per_second, 1.7 * plan->tokens_per_second);
  EXPECT_LT(half->tokens_per_second, 2.1 * plan->tokens_per_second);
  EXPECT_FALSE(plan->others_give_way);
  EXPECT_EQ(coordinator->node().model_host()->List().size(), 1u) << "nothing was loaded";
}

TEST_F(NodeTest, ModelThatDoesNotFitIsExpectedWithWhatIsMissing) {
  const auto coordinator = StartCoordinator();
  const auto plan = coordinator->node().cluster_view().Expect(FiguresOf(100));
  EXPECT_TRUE(absl::IsResourceExhausted(plan.status())) << plan.status();
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("missing"));
  ModelFigures figures = FiguresOf(24);
  figures.architecture = "deepseek2";
  EXPECT_THAT(std::string(coordinator->node().cluster_view().Expect(figures).status().message()),
              HasSubstr("these figures of deepseek2 tell of no model"));
}

TEST_F(NodeTest, HostsTellTheirClocks) {
  const auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  const ClusterSnapshot snapshot = coordinator->node().cluster_view().Snapshot();
  ASSERT_EQ(snapshot.hosts.size(), 2u);
  for (const HostView& host : snapshot.hosts)
    EXPECT_LT(absl::AbsDuration(absl::FromUnixMillis(host.clock_unix_ms) - absl::Now()), absl::Seconds(5))
        << host.name;
}

TEST_F(NodeTest, WhatFiresShowsBesideTheProfile) {
  const auto coordinator = StartCoordinator();
  ASSERT_TRUE(Generate(*coordinator->AwaitModel(), 40).ok());
  ASSERT_TRUE(coordinator->Await([](const ClusterSnapshot& snapshot) {
    return !snapshot.plans.empty() && snapshot.plans[0].firing && snapshot.plans[0].firing->rows >= 5;
  }));
  const FiringView firing = *coordinator->node().cluster_view().Snapshot().plans[0].firing;
  EXPECT_NEAR(firing.firing_share, 0.14, 0.06);
  EXPECT_NEAR(firing.hot_share_expected, 0.82, 0.05);
  EXPECT_NEAR(firing.hot_share_seen, firing.hot_share_expected, 0.2);
}

TEST_F(NodeTest, HostThatJoinsDuringASequenceTakesOverBetweenTwoSteps) {
  const std::vector<TokenId> expected = Expected(40);
  const auto coordinator = StartCoordinator();
  const auto model = coordinator->AwaitModel();
  std::unique_ptr<TestNode> worker;
  const auto tokens = Generate(*model, 40, [&](size_t count) {
    if (count != 10) return;
    worker = StartWorker(*coordinator);
    EXPECT_TRUE(coordinator->Await(SharedWith("b")));
  });
  EXPECT_EQ(tokens.value(), expected);
}

TEST_F(NodeTest, SequenceGoesOnWhenItsHostIsLostAndWhenItComesBack) {
  const std::vector<TokenId> expected = Expected(60);
  const auto coordinator = StartCoordinator();
  auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  const auto tokens = Generate(*model, 60, [&](size_t count) {
    if (count == 5) worker.reset();
    if (count == 20) {
      worker = StartWorker(*coordinator);
      EXPECT_TRUE(coordinator->Await(SharedWith("b")));
    }
    if (count == 40) worker.reset();
  });
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(*tokens, expected);
}

// Hosts that leave a plan with notice: nothing is lost, the cached positions move as well.

TEST_F(NodeTest, PausedHostGivesItsShareAwayWithoutLosingContext) {
  const std::vector<TokenId> expected = Expected(40);
  const auto coordinator = StartCoordinator();
  auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  HostControl& pauses = *coordinator->node().host_control();
  const auto tokens = Generate(*model, 40, [&](size_t count) {
    if (count == 10) {
      const uint32_t length = model->decoder().SequenceLength(0);
      EXPECT_GT(FindShare(coordinator->node().cluster_view().Snapshot(), "b")->head_groups, 0);
      ASSERT_EQ(pauses.Pause("b", absl::InfiniteFuture(), std::nullopt), absl::OkStatus());
      EXPECT_TRUE(coordinator->Await(Alone()));
      EXPECT_TRUE(model->PrepareStep().ok());
      EXPECT_EQ(model->decoder().SequenceLength(0), length);
      EXPECT_THAT(coordinator->node().cluster_view().Snapshot().hosts[1].detail, HasSubstr("paused until"));
      EXPECT_THAT(coordinator->node().cluster_view().Snapshot().plans[0].explanation,
                  HasSubstr("Host b is left out: it is paused"));
      // A host that is started anew is still paused.
      worker.reset();
      worker = StartWorker(*coordinator);
      EXPECT_TRUE(coordinator->Await([](const ClusterSnapshot& snapshot) {
        return snapshot.hosts[1].state == HostState::kAlive && !snapshot.hosts[1].detail.empty();
      }));
    }
    if (count == 20) {
      ASSERT_EQ(pauses.Resume("b", std::nullopt), absl::OkStatus());
      EXPECT_TRUE(coordinator->Await(SharedWith("b")));
    }
  });
  EXPECT_EQ(tokens.value(), expected);
}

// The leader has no memory beside the plan in use: that one is given up first, and the sequence read again.
TEST_F(NodeTest, PlanWithoutRoomBesideTheOneInUseComesInTwoStepsAndTheTextGoesOn) {
  const std::vector<TokenId> expected = Expected(30);
  NodeOptions options = CoordinatorOptions();
  options.free_memory = [] { return uint64_t{200} << 20; };  // less than has to stay free
  TestNode coordinator(options);
  ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
  const auto model = coordinator.AwaitModel();
  ASSERT_NE(model, nullptr);
  const auto worker = StartWorker(coordinator);
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  std::string detail;
  const auto tokens = Generate(*model, 30, [&](size_t count) {
    if (count != 10) return;
    ASSERT_EQ(coordinator.node().host_control()->Pause("b", absl::InfiniteFuture(), std::nullopt),
              absl::OkStatus());
    EXPECT_TRUE(coordinator.Await([&](const ClusterSnapshot&) { return model->NewPlanWaits(); }));
    EXPECT_TRUE(model->PlanIsOnItsWay());
    detail = coordinator.node().model_host()->List()[0].detail;
    EXPECT_TRUE(absl::IsUnavailable(model->PrepareStep()));
    EXPECT_EQ(model->decoder().SequenceLength(0), 0u);
    EXPECT_TRUE(coordinator.Await(Alone()));
    EXPECT_FALSE(model->PlanIsOnItsWay());
  });
  EXPECT_EQ(tokens.value(), expected);
  EXPECT_THAT(detail, HasSubstr("in two steps, since there is no room for another plan beside plan"));
  EXPECT_THAT(coordinator.node().cluster_view().Snapshot().plans[0].explanation,
              HasSubstr("It came in two steps"));
}

TEST_F(NodeTest, PauseOutlivesTheCoordinatorAndEndsByItself) {
  auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  const absl::Time until = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()) + 7);
  ASSERT_TRUE(coordinator->node().host_control()->Pause("b", until, std::nullopt).ok());
  ASSERT_TRUE(coordinator->Await(Alone()));
  const int port = coordinator->port();
  coordinator.reset();
  coordinator = StartCoordinator(port);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  EXPECT_GE(absl::Now(), until);
}

TEST_F(NodeTest, PausesThatCannotBeAreRefused) {
  const auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  HostControl& pauses = *coordinator->node().host_control();
  const absl::Time forever = absl::InfiniteFuture();
  const absl::Status not_its_own =
      pauses.Pause("a", forever, ParseHostId(ReadHostIdentity(dir_ + "/b")->id).value());
  EXPECT_EQ(not_its_own.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(not_its_own.message()), HasSubstr("pauses and resumes itself only"));
  EXPECT_EQ(pauses.Resume("", std::nullopt).code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status unknown = pauses.Pause("c", forever, std::nullopt);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("b"));
  EXPECT_EQ(pauses.Resume("b", std::nullopt).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, PausedCoordinatorOnlyLeadsAndTheTextGoesOn) {
  const std::vector<TokenId> expected = Expected(40);
  const auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  HostControl& pauses = *coordinator->node().host_control();
  const auto tokens = Generate(*model, 40, [&](size_t count) {
    if (count == 10) {
      const uint32_t length = model->decoder().SequenceLength(0);
      ASSERT_EQ(pauses.Pause("", absl::InfiniteFuture(), std::nullopt), absl::OkStatus());
      EXPECT_TRUE(coordinator->Await(AllAt("b")));
      EXPECT_TRUE(model->PrepareStep().ok());
      EXPECT_EQ(model->decoder().SequenceLength(0), length) << "the context has moved as well";
      const ClusterSnapshot snapshot = coordinator->node().cluster_view().Snapshot();
      EXPECT_THAT(snapshot.hosts[0].detail, HasSubstr("paused until"));
      EXPECT_THAT(snapshot.plans[0].explanation, HasSubstr("Host a leads and holds nothing: it is paused"));
    }
    if (count == 20) {
      ASSERT_EQ(pauses.Resume("a", std::nullopt), absl::OkStatus());
      EXPECT_TRUE(
          coordinator->Await([](const ClusterSnapshot& snapshot) { return HoldsUnits(snapshot, "a"); }));
    }
  });
  EXPECT_EQ(tokens.value(), expected);
}

TEST_F(NodeTest, PausedCoordinatorKeepsWhatNoOtherHostHolds) {
  const std::vector<TokenId> expected = Expected(10);
  const auto coordinator = StartCoordinator();
  const auto model = coordinator->AwaitModel();
  ASSERT_EQ(coordinator->node().host_control()->Pause("a", absl::InfiniteFuture(), std::nullopt),
            absl::OkStatus());
  NodeOptions small = WorkerOptions(*coordinator);
  small.devices = TestNode::Devices(1);
  small.devices[0].memory_bytes = uint64_t{1} << 20;
  const TestNode worker(small);
  EXPECT_TRUE(coordinator->Await([](const ClusterSnapshot& snapshot) {
    return HoldsUnits(snapshot, "a") &&
           absl::StrContains(snapshot.plans[0].explanation, "Host a keeps its share although it is paused");
  }));
  EXPECT_EQ(Generate(*model, 10).value(), expected);
}

TEST_F(NodeTest, CoordinatorYieldsToAGameAndTakesItsShareWhenItIsOver) {
  const std::vector<TokenId> expected = Expected(60);
  NodeOptions options = CoordinatorOptions();
  options.yield = {.mode = YieldMode::kOn, .quiet = absl::Seconds(2), .root = dir_ + "/machine"};
  const std::filesystem::path gpu = options.yield.root + "/sys/class/drm/card0/device";
  std::filesystem::create_directories(gpu);
  const auto play = [&](int percent) { std::ofstream(gpu / "gpu_busy_percent") << percent << "\n"; };
  play(0);
  TestNode coordinator(options);
  ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
  const auto worker = StartWorker(coordinator);
  const auto model = coordinator.AwaitModel();
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  const auto tokens = Generate(*model, 60, [&](size_t count) {
    if (count == 20) {
      play(95);
      EXPECT_TRUE(coordinator.Await(AllAt("b")));
      EXPECT_THAT(coordinator.node().cluster_view().Snapshot().hosts[0].detail,
                  HasSubstr("it yields: another program uses 95 % of its graphics card"));
    }
    if (count == 40) {
      play(0);
      EXPECT_TRUE(
          coordinator.Await([](const ClusterSnapshot& snapshot) { return HoldsUnits(snapshot, "a"); }));
    }
  });
  EXPECT_EQ(tokens.value(), expected);
}

TEST_F(NodeTest, HostYieldsToAGameAndComesBackWhenItIsOver) {
  const std::vector<TokenId> expected = Expected(60);
  const auto coordinator = StartCoordinator();
  NodeOptions options = WorkerOptions(*coordinator);
  options.yield = {.mode = YieldMode::kOn, .quiet = absl::Seconds(2), .root = dir_ + "/machine"};
  const std::filesystem::path gpu = options.yield.root + "/sys/class/drm/card0/device";
  std::filesystem::create_directories(gpu);
  const auto play = [&](int percent) { std::ofstream(gpu / "gpu_busy_percent") << percent << "\n"; };
  play(0);
  const TestNode worker(options);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  const auto tokens = Generate(*model, 60, [&](size_t count) {
    if (count == 20) {
      play(95);
      EXPECT_TRUE(coordinator->Await(Alone()));
      EXPECT_THAT(coordinator->node().cluster_view().Snapshot().hosts[1].detail,
                  HasSubstr("it yields: another program uses 95 % of its graphics card"));
    }
    if (count == 40) {
      play(0);
      EXPECT_TRUE(coordinator->Await(SharedWith("b")));
    }
  });
  EXPECT_EQ(tokens.value(), expected);
}

TEST_F(NodeTest, LossOfAHostWithoutHeadsCostsNoContext) {
  keep_attention_ = true;
  const auto coordinator = StartCoordinator();
  auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  ASSERT_TRUE(Generate(*model, 5).ok());
  EXPECT_EQ(FindShare(coordinator->node().cluster_view().Snapshot(), "b")->head_groups, 0);
  const uint32_t length = model->decoder().SequenceLength(0);
  worker.reset();
  ASSERT_TRUE(coordinator->Await(Alone()));
  ASSERT_TRUE(model->PrepareStep().ok());
  EXPECT_EQ(model->decoder().SequenceLength(0), length);
}

TEST_F(NodeTest, LossOfAHostWithHeadsMakesSequencesBeginAnew) {
  const auto coordinator = StartCoordinator();
  auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  ASSERT_TRUE(Generate(*model, 5).ok());
  EXPECT_GT(FindShare(coordinator->node().cluster_view().Snapshot(), "b")->head_groups, 0);
  worker.reset();
  ASSERT_TRUE(coordinator->Await(Alone()));
  ASSERT_TRUE(model->PrepareStep().ok());
  EXPECT_EQ(model->decoder().SequenceLength(0), 0u);
}

TEST_F(NodeTest, LostHostShowsInTheClusterAndThePlanThatFollowsIsANewOne) {
  const auto coordinator = StartCoordinator();
  auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  const uint64_t epoch = coordinator->node().cluster_view().Snapshot().plans[0].epoch;
  worker.reset();
  ASSERT_TRUE(coordinator->Await([](const ClusterSnapshot& snapshot) {
    return snapshot.hosts[1].state == HostState::kLost && !snapshot.hosts[1].detail.empty();
  }));
  ASSERT_TRUE(coordinator->Await(Alone()));
  EXPECT_GT(coordinator->node().cluster_view().Snapshot().plans[0].epoch, epoch);
}

TEST_F(NodeTest, ModelThatNoLongerFitsSaysWhichHostIsMissingAndGoesOnWhenItIsBack) {
  NodeOptions options = CoordinatorOptions();
  options.devices = TestNode::Devices(1);
  options.devices[0].memory_bytes = uint64_t{4} << 20;  // its own part and some groups
  TestNode coordinator(options);
  auto worker = std::make_unique<TestNode>(WorkerOptions(coordinator));
  ASSERT_TRUE(coordinator.Await([](const ClusterSnapshot& snapshot) {
    return snapshot.hosts.size() == 2 && snapshot.hosts[1].state == HostState::kAlive;
  }));
  ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
  const auto model = coordinator.AwaitModel();
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  ASSERT_TRUE(Generate(*model, 3).ok());
  worker.reset();
  ASSERT_TRUE(coordinator.Await([&](const ClusterSnapshot&) {
    return coordinator.node().model_host()->List()[0].state == ModelState::kFailed;
  }));
  const absl::Status status = model->PrepareStep();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("host b"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("are missing"));
  EXPECT_TRUE(coordinator.node().model_host()->Find("demo").ok());  // its requests wait
  worker = std::make_unique<TestNode>(WorkerOptions(coordinator));
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  EXPECT_TRUE(Generate(*model, 3).ok());
}

TEST_F(NodeTest, ReturningHostGetsItsShardFromItsCache) {
  // A leader so slow that all it may give away goes to the worker, however their link is measured each time.
  NodeOptions options = CoordinatorOptions();
  options.devices = TestNode::Devices(1);
  options.devices[0].read_bytes_per_s = 1e3;
  TestNode coordinator(options);
  ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
  auto worker = StartWorker(coordinator);
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  const auto fetched = [](const ClusterSnapshot& snapshot) {
    return snapshot.hosts[1].weights_fetched_bytes;
  };
  EXPECT_GT(fetched(coordinator.node().cluster_view().Snapshot()), 0);
  worker.reset();
  ASSERT_TRUE(coordinator.Await(Alone()));
  worker = StartWorker(coordinator);
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  const ClusterSnapshot snapshot = coordinator.node().cluster_view().Snapshot();
  EXPECT_EQ(fetched(snapshot), 0);
  EXPECT_GT(snapshot.hosts[1].groups_from_cache, 0);
}

TEST_F(NodeTest, DamagedCacheIsFetchedAgain) {
  const std::vector<TokenId> expected = Expected(10);
  const auto coordinator = StartCoordinator();
  auto worker = StartWorker(*coordinator);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  worker.reset();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_ + "/b/cache/sha256")) {
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), 100);
  }
  worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  EXPECT_EQ(Generate(*model, 10).value(), expected);
}

TEST_F(NodeTest, WorkerFindsItsCoordinatorAgainAfterARestart) {
  auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  const int port = coordinator->port();
  coordinator.reset();
  coordinator = StartCoordinator(port);
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  EXPECT_TRUE(Generate(*coordinator->AwaitModel(), 10).ok());
}

TEST_F(NodeTest, SeveralDevicesPerHostGenerateWhatOneDoes) {
  const std::vector<TokenId> expected = Expected(20);
  NodeOptions options = CoordinatorOptions();
  options.devices = TestNode::Devices(2);
  TestNode coordinator(options);
  ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
  NodeOptions worker_options = WorkerOptions(coordinator);
  worker_options.devices = TestNode::Devices(2);
  const TestNode worker(worker_options);
  const auto model = coordinator.AwaitModel();
  ASSERT_TRUE(coordinator.Await(SharedWith("b")));
  EXPECT_EQ(Generate(*model, 20).value(), expected);
}

TEST_F(NodeTest, ModelThatDoesNotFitSaysHowMuchIsMissing) {
  NodeOptions options = CoordinatorOptions();
  options.devices = TestNode::Devices(1);
  options.devices[0].memory_bytes = 1 << 20;
  TestNode coordinator(options);
  ASSERT_TRUE(coordinator.node().model_host()->Load({"demo", kModel}).ok());
  ASSERT_TRUE(coordinator.Await([&](const ClusterSnapshot&) {
    return coordinator.node().model_host()->List()[0].state == ModelState::kFailed;
  }));
  EXPECT_FALSE(coordinator.node().model_host()->List()[0].detail.empty());
  // What the header tells is enough: the file was not read for its digest.
  EXPECT_EQ(coordinator.node().model_host()->List()[0].digest, "");
  EXPECT_EQ(coordinator.node().model_host()->Find("demo").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, FileChangedWhileItIsUsedFailsItsModelAlone) {
  const auto coordinator = StartCoordinator();
  const auto whole = coordinator->AwaitModel();
  ModelHost& models = *coordinator->node().model_host();
  const std::string path = dir_ + "/changed.gguf";
  std::filesystem::copy_file(kModel, path);
  ASSERT_TRUE(models.Load({"changed", path}).ok());
  ASSERT_TRUE(coordinator->Await([&](const ClusterSnapshot&) { return models.Find("changed").ok(); }));
  const std::shared_ptr<ServedModel> changed = *models.Find("changed");
  const std::vector<TokenId> expected = Generate(*changed, 10).value();
  std::filesystem::resize_file(path, 100);
  EXPECT_EQ(Generate(*changed, 10).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(models.List()[1].state, ModelState::kFailed);
  EXPECT_THAT(models.List()[1].detail, HasSubstr("changed.gguf was changed while it was in use"));
  EXPECT_FALSE(models.Find("changed").ok());
  EXPECT_EQ(Generate(*whole, 10).value(), expected);
}

TEST_F(NodeTest, LoadRefusesWhatIsNoModelAndNamesInUse) {
  const auto coordinator = StartCoordinator();
  ModelHost& models = *coordinator->node().model_host();
  EXPECT_EQ(models.Load({"other", "/no/such/file"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(models.Load({"other", "/proc/self/cmdline"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(models.Load({"demo", kModel}).status().code(), absl::StatusCode::kAlreadyExists);
  const auto missing = models.Find("nobody");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("demo"));
}

TEST_F(NodeTest, LoadRefusesNamesAndPathsThatCannotBeShown) {
  const auto coordinator = StartCoordinator();
  ModelHost& models = *coordinator->node().model_host();
  for (const std::string& name :
       {std::string(9000, 'n'), std::string("a\nb"), std::string("\x1b[2J"), std::string(" ")}) {
    EXPECT_EQ(models.Load({name, kModel}).status().code(), absl::StatusCode::kInvalidArgument);
  }
  const std::string behind_nul = std::string(kModel) + std::string("\0x", 2);
  EXPECT_EQ(models.Load({"other", behind_nul}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(models.Load({"other", std::string(100000, 'p')}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(models.List().size(), 1);
}

TEST_F(NodeTest, ModelThatFailedDoesNotStandBesideOneThatWorks) {
  const auto coordinator = StartCoordinator();
  ASSERT_NE(coordinator->AwaitModel(), nullptr);
  ModelHost& models = *coordinator->node().model_host();
  // A GGUF file that is no model: it has neither metadata nor tensors.
  const std::string path = absl::StrCat(::testing::TempDir(), "/empty-", ::getpid(), ".gguf");
  std::ofstream(path) << std::string("GGUF\3\0\0\0", 8) << std::string(16, '\0');
  const auto loaded = models.Load({"broken", path});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_TRUE(coordinator->Await([&](const ClusterSnapshot&) {
    return models.Find("broken").status().code() == absl::StatusCode::kFailedPrecondition;
  }));
  EXPECT_TRUE(models.Find("").ok());
  std::filesystem::remove(path);
}

TEST_F(NodeTest, ModelThatFoundNoRoomIsPlacedWhenAnotherGoes) {
  NodeOptions options = CoordinatorOptions();
  options.devices = TestNode::Devices(1);
  options.devices[0].memory_bytes = 9 << 20;  // one model and its cache, not two
  TestNode coordinator(options);
  ModelHost& models = *coordinator.node().model_host();
  const auto state_of = [&](const std::string& name) {
    for (const ModelInfo& model : models.List()) {
      if (model.name == name) return model.state;
    }
    return ModelState::kUnloading;
  };
  const auto await_state = [&](const std::string& name, ModelState state) {
    return coordinator.Await([&](const ClusterSnapshot&) { return state_of(name) == state; });
  };
  ASSERT_TRUE(models.Load({"one", kModel}).ok());
  ASSERT_TRUE(await_state("one", ModelState::kReady));
  ASSERT_TRUE(models.Load({"two", kModel}).ok());
  ASSERT_TRUE(await_state("two", ModelState::kFailed));
  // Asked for once more it fails again, but is not in its own way.
  ASSERT_TRUE(models.Load({"two", kModel}).ok());
  ASSERT_TRUE(await_state("two", ModelState::kFailed));
  ASSERT_TRUE(models.Unload("one").ok());
  EXPECT_TRUE(await_state("two", ModelState::kReady));
  EXPECT_EQ(models.Load({"two", kModel}).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(NodeTest, ModelIsPlannedForItsOwnObjectiveOrTheDaemons) {
  NodeOptions options = CoordinatorOptions();
  options.objective = {placement::ObjectiveKind::kPrompt, 4096};
  TestNode coordinator(options);  // with two slots, and steps of 32 rows
  ModelHost& models = *coordinator.node().model_host();
  ASSERT_TRUE(models.Load({"prompts", kModel}).ok());
  ASSERT_EQ(models.Load({"streams", kModel, placement::OfStreams(2)}).status(), absl::OkStatus());
  ASSERT_TRUE(coordinator.Await([](const ClusterSnapshot& snapshot) { return snapshot.plans.size() == 2; }));
  EXPECT_EQ(models.List()[0].objective, options.objective);
  const std::vector<PlanView> plans = coordinator.node().cluster_view().Snapshot().plans;
  EXPECT_EQ(plans[0].objective, (placement::Objective{placement::ObjectiveKind::kPrompt, 32}))
      << "a step has no more rows";
  EXPECT_THAT(plans[0].explanation, HasSubstr("The plan is for reading prompts: a chunk of 32 tokens"));
  EXPECT_EQ(plans[1].objective, placement::OfStreams(2));
  EXPECT_GT(plans[1].expected_tokens_per_second, 1000 / plans[1].expected_token_ms);
  EXPECT_EQ(plans[1].measured_tokens_per_second, 0);
  const absl::Status refused = models.Load({"more", kModel, placement::OfStreams(3)}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("throughput:3 is of 3 streams, and hearthd's --slots is 2"));
}

// The leader has room for one model and not for what of another must be there too. The worker, which is slow,
// gets what of the first has to make way.
TEST_F(NodeTest, ModelThatFillsTheLeaderMovesPartlyToAnotherHostForASecondOne) {
  const auto roomy = StartCoordinator();
  ASSERT_TRUE(roomy->Await([](const ClusterSnapshot& snapshot) { return !snapshot.plans.empty(); }));
  const uint64_t used = roomy->node().cluster_view().Snapshot().hosts[0].devices[0].memory_used_bytes;
  NodeOptions options = CoordinatorOptions();
  options.state_dir += "-tight";
  options.devices = TestNode::Devices(1);
  options.devices[0].memory_bytes = used + 4096;
  options.use_every_host = false;
  TestNode coordinator(options);
  NodeOptions worker_options = WorkerOptions(coordinator);
  worker_options.devices = TestNode::Devices(1);
  worker_options.devices[0].read_bytes_per_s = 1e8;
  TestNode worker(worker_options);
  ASSERT_TRUE(coordinator.Await([](const ClusterSnapshot& snapshot) {
    return snapshot.hosts.size() == 2 && snapshot.hosts[1].state == HostState::kAlive;
  }));
  ModelHost& models = *coordinator.node().model_host();
  const auto await_found = [&](const std::string& name) {
    std::shared_ptr<ServedModel> found;
    EXPECT_TRUE(coordinator.Await([&](const ClusterSnapshot&) {
      // As an idle scheduler does.
      if (const auto one = models.Find("one"); name != "one" && (*one)->NewPlanWaits()) {
        EXPECT_TRUE((*one)->PrepareStep().ok());
      }
      if (const auto model = models.Find(name); model.ok()) found = *model;
      return found != nullptr;
    }));
    return found;
  };
  const auto share_of = [&](const std::string& model) {
    uint64_t bytes = 0;
    for (const PlanView& plan : coordinator.node().cluster_view().Snapshot().plans) {
      for (const DeviceShareView& share : plan.shares) {
        if (plan.model == model && share.host == "b") bytes += share.weight_bytes;
      }
    }
    return bytes;
  };
  ASSERT_TRUE(models.Load({"one", kModel}).ok());
  const auto one = await_found("one");
  ASSERT_NE(one, nullptr);
  const auto before = Generate(*one, 5);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(share_of("one"), 0u);
  ASSERT_TRUE(models.Load({"two", kModel}).ok());
  const auto two = await_found("two");
  ASSERT_NE(two, nullptr) << models.List().back().detail;
  EXPECT_GT(share_of("one"), 0u);
  for (ServedModel* model : {one.get(), two.get()}) {
    const auto after = Generate(*model, 5);
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_EQ(*after, *before);
  }
  // When the second goes the first comes back.
  ASSERT_TRUE(models.Unload("two").ok());
  EXPECT_TRUE(coordinator.Await([&](const ClusterSnapshot&) {
    if (one->NewPlanWaits()) {
      EXPECT_TRUE(one->PrepareStep().ok());
    }
    return share_of("one") == 0;
  }));
}

TEST_F(NodeTest, WorkerThatTheCoordinatorRefusesHearsWhy) {
  const auto coordinator = StartCoordinator();
  NodeOptions options = WorkerOptions(*coordinator);
  options.name = CoordinatorOptions().name;
  TestNode worker(options);
  const absl::Status refused = worker.node().AwaitAccepted();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("another --name"));
}

TEST_F(NodeTest, WorkerWhoseCoordinatorIsNotThereYetIsNoError) {
  NodeOptions options = CoordinatorOptions();
  options.name = "early";
  options.join = "127.0.0.1:1";
  TestNode worker(options);
  EXPECT_TRUE(worker.node().AwaitAccepted().ok());
  EXPECT_TRUE(worker.node().Refusal().ok());
}

TEST_F(NodeTest, WorkerThatACoordinatorRefusesWhenItComesLaterHearsWhyToo) {
  const int port = StartCoordinator()->port();  // it is gone again
  NodeOptions options = CoordinatorOptions();
  options.state_dir += "-early";
  options.join = absl::StrCat("127.0.0.1:", port);
  TestNode worker(options);
  ASSERT_TRUE(worker.node().AwaitAccepted().ok());
  const auto coordinator = StartCoordinator(port);
  ASSERT_TRUE(coordinator->Await([&](const ClusterSnapshot&) { return !worker.node().Refusal().ok(); }));
  EXPECT_THAT(std::string(worker.node().Refusal().message()), HasSubstr("another --name"));
}

TEST_F(NodeTest, UnloadedModelFailsItsStepsAndLeavesTheList) {
  const auto coordinator = StartCoordinator();
  const auto worker = StartWorker(*coordinator);
  const auto model = coordinator->AwaitModel();
  ASSERT_TRUE(coordinator->Await(SharedWith("b")));
  ASSERT_TRUE(Generate(*model, 3).ok());
  ModelHost& models = *coordinator->node().model_host();
  EXPECT_EQ(models.Unload("nobody").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(models.Unload("demo").ok());
  EXPECT_EQ(model->PrepareStep().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(coordinator->Await([&](const ClusterSnapshot&) { return models.List().empty(); }));
  EXPECT_TRUE(models.Load({"demo", kModel}).ok());
  EXPECT_TRUE(coordinator->Await(SharedWith("b")));
}

NodeOptions WorkerOptions() {
  NodeOptions options;
  options.name = "b";
  options.state_dir = ::testing::TempDir();
  options.join = "127.0.0.1:1";
  options.devices = TestNode::Devices(1);
  return options;
}

TEST(NodeCreate, TensorPortInUseIsRefusedWithTheAddress) {
  const auto other = TensorServer::Open("127.0.0.1:0");
  ASSERT_TRUE(other.ok()) << other.status();
  NodeOptions options = WorkerOptions();
  options.tensor_listen = (*other)->address();
  const absl::Status status = Node::Create(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(options.tensor_listen));
  EXPECT_THAT(std::string(status.message()), HasSubstr("in use"));
}

TEST(NodeCreate, TensorAddressThatIsNoneIsRefused) {
  NodeOptions options = WorkerOptions();
  options.tensor_listen = "not an address";
  const absl::Status status = Node::Create(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not an address"));
}

TEST(NodeCreate, GpuThatIsNotThereIsRefusedByName) {
  NodeOptions options = WorkerOptions();
  options.devices[0].name = "g";
  options.devices[0].kind = placement::DeviceKind::kGpu;
  options.devices[0].number = 63;
  options.devices[0].threads.reset();
  const absl::Status status = Node::Create(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device g: "));
}

// Hosts that a former coordinator has seen, and the packets that this one sends.
class Bedroom : public KeptHosts {
 public:
  // `memory_bytes`: of its one device.
  void Add(const std::string& name, uint8_t number, uint64_t memory_bytes) {
    KnownHost host;
    host.report.host = name;
    host.report.tensor_address = "192.168.1.20:7773";
    host.report.identity.id = HostId({number}).Text();
    host.report.network_cards = {{{2, 0, 0, 0, 0, number}, true}};
    host.report.capacity.devices = {{.name = "cpu",
                                     .kind = "cpu",
                                     .memory_budget_bytes = memory_bytes,
                                     .threads = 1,
                                     .read_bytes_per_s = 1e10,
                                     .operations_per_s = 1e11}};
    host.link = {.round_trip_us = 100, .bytes_per_s = 1e8};
    hosts_[host.report.identity.id] = ToStored(host);
  }
  absl::StatusOr<std::map<std::string, std::string>> Hosts() override { return hosts_; }
  absl::Status PutHost(const std::string&, const std::string&) override { return absl::OkStatus(); }
  absl::Status RemoveHost(const std::string&) override { return absl::OkStatus(); }

  absl::StatusOr<std::vector<std::string>> Send(const std::vector<MacAddress>& macs) {
    std::lock_guard lock(mutex_);
    for (const MacAddress& mac : macs) sent_.push_back(mac[5]);
    return std::vector<std::string>{"192.168.1.255"};
  }
  // The numbers of those to whom packets were sent.
  std::vector<int> sent() {
    std::lock_guard lock(mutex_);
    return sent_;
  }

 private:
  std::map<std::string, std::string> hosts_;
  std::mutex mutex_;
  std::vector<int> sent_;
};

// A coordinator, alone, that has no memory for the demo model.
class WakingTest : public NodeTest {
 protected:
  static constexpr uint64_t kPlenty = uint64_t{1} << 30, kTooLittle = 1 << 10;

  std::unique_ptr<TestNode> StartSmallCoordinator(bool wakes = true) {
    NodeOptions options = CoordinatorOptions();
    options.use_every_host = false;
    options.devices = TestNode::Devices(1);
    options.devices[0].memory_bytes = uint64_t{1} << 20;
    options.wake_for_models = wakes;
    options.kept_hosts = bedroom_;
    options.wake = [bedroom = bedroom_](const auto& macs) { return bedroom->Send(macs); };
    return std::make_unique<TestNode>(options);
  }
  // Loads the model, which fails, and returns why.
  std::string LoadInVain(TestNode& coordinator) {
    ModelHost& models = *coordinator.node().model_host();
    EXPECT_TRUE(models.Load({"demo", kModel}).ok());
    EXPECT_TRUE(coordinator.Await(
        [&](const ClusterSnapshot&) { return models.List()[0].state == ModelState::kFailed; }));
    return models.List()[0].detail;
  }
  // Lets the model's thread end.
  static void Unload(TestNode& coordinator) {
    ModelHost& models = *coordinator.node().model_host();
    EXPECT_TRUE(models.Unload("demo").ok());
    EXPECT_TRUE(coordinator.Await([&](const ClusterSnapshot&) { return models.List().empty(); }));
  }

  const std::shared_ptr<Bedroom> bedroom_ = std::make_shared<Bedroom>();
};

TEST_F(WakingTest, ModelWakesTheHostWithoutWhichItDoesNotFitOnce) {
  bedroom_->Add("b", 2, kPlenty);
  bedroom_->Add("c", 3, kTooLittle);
  const auto coordinator = StartSmallCoordinator();
  EXPECT_THAT(LoadInVain(*coordinator), HasSubstr("; woken for it: b"));
  const absl::Status asked = coordinator->node().model_host()->Find("demo").status();
  EXPECT_THAT(std::string(asked.message()), HasSubstr("woken for it: b"));
  Unload(*coordinator);
  EXPECT_THAT(bedroom_->sent(), ElementsAre(2));
}

TEST_F(WakingTest, NobodyIsWokenForAModelThatDoesNotFitThenEither) {
  bedroom_->Add("c", 3, kTooLittle);
  const auto coordinator = StartSmallCoordinator();
  EXPECT_THAT(LoadInVain(*coordinator), Not(HasSubstr("woken")));
  EXPECT_THAT(bedroom_->sent(), IsEmpty());
}

TEST_F(WakingTest, NobodyIsWokenWhereThatIsOff) {
  bedroom_->Add("b", 2, kPlenty);
  const auto coordinator = StartSmallCoordinator(false);
  EXPECT_THAT(LoadInVain(*coordinator), Not(HasSubstr("woken")));
  EXPECT_THAT(bedroom_->sent(), IsEmpty());
  EXPECT_TRUE(coordinator->node().host_control()->Wake("b").ok());
  EXPECT_THAT(bedroom_->sent(), ElementsAre(2));
}

TEST_F(WakingTest, HostsAreWokenByNameOrAllOfThem) {
  bedroom_->Add("b", 2, kPlenty);
  bedroom_->Add("c", 3, kPlenty);
  const auto coordinator = StartSmallCoordinator();
  HostControl& control = *coordinator->node().host_control();
  const absl::StatusOr<WokenHosts> one = control.Wake("c");
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->hosts.size(), 1u);
  EXPECT_EQ(one->hosts[0].name, "c");
  EXPECT_THAT(one->hosts[0].macs, ElementsAre("02:00:00:00:00:03"));
  EXPECT_GT(one->hosts[0].woken, absl::InfinitePast());
  EXPECT_THAT(one->broadcasts, ElementsAre("192.168.1.255"));
  EXPECT_EQ(control.Wake("")->hosts.size(), 2u);
  EXPECT_THAT(bedroom_->sent(), ElementsAre(3, 2, 3));
  const ClusterSnapshot snapshot = coordinator->node().cluster_view().Snapshot();
  EXPECT_EQ(snapshot.hosts.size(), 1u);
  EXPECT_EQ(snapshot.away.size(), 2u);
}

TEST_F(WakingTest, ForgottenHostIsNotWoken) {
  bedroom_->Add("b", 2, kPlenty);
  const auto coordinator = StartSmallCoordinator();
  coordinator->node().Forget(HostId({2}));
  EXPECT_THAT(LoadInVain(*coordinator), Not(HasSubstr("woken")));
  EXPECT_EQ(coordinator->node().host_control()->Wake("b").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(bedroom_->sent(), IsEmpty());
}

TEST_F(WakingTest, WakingThatCannotBeIsRefused) {
  const auto coordinator = StartSmallCoordinator();
  HostControl& control = *coordinator->node().host_control();
  const auto refusal = [&](const std::string& host, absl::StatusCode code) {
    const absl::Status status = control.Wake(host).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal("", absl::StatusCode::kFailedPrecondition), HasSubstr("no machine is away"));
  EXPECT_THAT(refusal("a", absl::StatusCode::kFailedPrecondition), HasSubstr("is here already"));
  EXPECT_THAT(refusal("nobody", absl::StatusCode::kNotFound), HasSubstr("\"nobody\": a"));
  {
    const auto worker = StartWorker(*coordinator);
    ASSERT_TRUE(coordinator->Await([](const ClusterSnapshot& snapshot) {
      return snapshot.hosts.size() == 2 && snapshot.hosts[1].state == HostState::kAlive;
    }));
    EXPECT_THAT(refusal("b", absl::StatusCode::kFailedPrecondition), HasSubstr("is here already"));
  }
  ASSERT_TRUE(coordinator->Await(
      [](const ClusterSnapshot& snapshot) { return snapshot.hosts[1].state == HostState::kLost; }));
  EXPECT_THAT(refusal("b", absl::StatusCode::kFailedPrecondition), HasSubstr("has told no network card"));
  EXPECT_THAT(bedroom_->sent(), IsEmpty());
}

}  // namespace
}  // namespace hearth
