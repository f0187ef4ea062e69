#include "daemon/weights/shard_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// A coordinator that sends bundles in small chunks and does wrong what a script says, one entry per call.
class FakeCoordinator : public BundleSource {
 public:
  enum class Fault {
    kNone,
    kBreakInTheMiddle,  // of the second bundle
    kDamage,            // one byte of the first bundle
    kEndEarly,          // without an error, after the first bundle
    kRefuse,            // PERMISSION_DENIED
    kTooLong,           // more bytes than announced
  };
  struct Call {
    std::vector<Range> ranges;
  };

  void Add(const std::vector<uint8_t>& bundle) { bundles_[Sha256Of(bundle)] = bundle; }
  void Plan(std::deque<Fault> faults) {
    std::lock_guard lock(mutex_);
    faults_ = std::move(faults);
  }
  std::vector<Call> calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }

  void Shutdown() override {}

  absl::Status FetchBundles(const SessionToken&, const std::string&, const std::vector<Range>& ranges,
                            const ChunkSink& sink) override {
    Fault fault = Fault::kNone;
    {
      std::lock_guard lock(mutex_);
      calls_.push_back({ranges});
      if (!faults_.empty()) {
        fault = faults_.front();
        faults_.pop_front();
      }
    }
    if (fault == Fault::kRefuse) return absl::PermissionDeniedError("not of a member");
    for (size_t i = 0; i < ranges.size(); ++i) {
      if (fault == Fault::kEndEarly && i == 1) return absl::OkStatus();
      std::vector<uint8_t> bundle = bundles_.at(ranges[i].sha256);
      if (fault == Fault::kDamage && i == 0) bundle[bundle.size() / 2] ^= 1;
      if (fault == Fault::kTooLong && i == 0) bundle.resize(bundle.size() + 1);
      for (uint64_t offset = ranges[i].offset; offset < bundle.size();) {
        if (fault == Fault::kBreakInTheMiddle && i == 1 && offset > bundle.size() / 2) {
          return absl::UnavailableError("connection reset");
        }
        const uint64_t count = std::min<uint64_t>(1000, bundle.size() - offset);
        if (absl::Status s = sink(i, offset, absl::MakeSpan(bundle).subspan(offset, count)); !s.ok())
          return s;
        offset += count;
      }
    }
    return absl::OkStatus();
  }

 private:
  std::map<Sha256Digest, std::vector<uint8_t>> bundles_;
  std::mutex mutex_;
  std::deque<Fault> faults_;
  std::vector<Call> calls_;
};

using Fault = FakeCoordinator::Fault;

class FakePublisher : public ShardPublisher {
 public:
  void Publish(uint64_t epoch, std::shared_ptr<HostShare> share, std::shared_ptr<LedStage> stage) override {
    shares_[epoch] = share;
  }
  void Withdraw(uint64_t epoch) override { shares_.erase(epoch); }
  // Of a shard that is ready, while nothing else is wanted.
  HostShare& share(uint64_t epoch) { return *shares_.at(epoch); }

 private:
  std::map<uint64_t, std::shared_ptr<HostShare>> shares_;  // of the loader's thread
};

class ShardLoaderTest : public ::testing::Test {
 protected:
  ShardLoaderTest() : dir_(absl::StrCat(::testing::TempDir(), "/loader-", ::getpid(), "-", counter_++)) {
    const ShardDescription whole = Whole(1);
    coordinator_.Add(fixture_.Bundle(whole.skeleton));
    for (const PlacedUnit& placed : whole.units) coordinator_.Add(fixture_.Bundle(placed.bundle));
    Restart();
  }
  ~ShardLoaderTest() override {
    loader_.reset();
    std::filesystem::remove_all(dir_);
  }

  void Restart(uint64_t max_cache_bytes = 0) {
    loader_.reset();
    loader_ = std::make_unique<ShardLoader>(
        devices_, publisher_, coordinator_, BundleStore::Open(dir_, max_cache_bytes).value(),
        [this] {
          std::lock_guard lock(mutex_);
          changed_.notify_all();
        },
        [this] { return free_memory_.load(); });
  }

  // Units of every kind, kUnits of them.
  ShardDescription Whole(uint64_t epoch) const {
    return fixture_.Describe(
        epoch, [](const UnitId& unit) { return unit.layer == 0 && unit.number < 2 ? "cpu" : ""; });
  }
  static constexpr uint64_t kUnits = 6;

  void Want(std::vector<ShardDescription> shards, uint8_t session = 1) {
    SessionToken token;
    token.fill(session);
    loader_->SetDesired(token, std::move(shards));
  }

  // Waits until the only shards are these epochs, in this phase.
  bool Await(const std::vector<uint64_t>& epochs, ShardPhase phase) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      const std::vector<ShardStatus> statuses = loader_->Statuses();
      return std::equal(
          statuses.begin(), statuses.end(), epochs.begin(), epochs.end(),
          [phase](const ShardStatus& s, uint64_t e) { return s.epoch == e && s.phase == phase; });
    });
  }

  // Waits until the first shard says this.
  bool AwaitDetail(const std::string& detail) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      const std::vector<ShardStatus> statuses = loader_->Statuses();
      return !statuses.empty() && statuses[0].detail.find(detail) != std::string::npos;
    });
  }

  bool AwaitNothingHeld() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return loader_->UsedBytes("cpu") == 0; });
  }

  bool AwaitNoProblem() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return loader_->problem().empty(); });
  }

  const ShardFixture fixture_;
  const std::string dir_;
  HostDevices devices_{{{"cpu", 1, uint64_t{1} << 30}}};
  FakePublisher publisher_;
  std::atomic<uint64_t> free_memory_{uint64_t{1} << 40};
  FakeCoordinator coordinator_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<ShardLoader> loader_;
  static inline int counter_ = 0;
};

TEST_F(ShardLoaderTest, FetchesLoadsAndReportsAShard) {
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  const ShardStatus status = loader_->Statuses()[0];
  EXPECT_EQ(status.bytes_done, status.bytes_total);
  EXPECT_EQ(status.bytes_total, Whole(1).bytes());
  EXPECT_EQ(loader_->counters().fetched_bytes, status.bytes_total);
  EXPECT_EQ(loader_->counters().fetched_bundles, kUnits + 1);
  EXPECT_GT(loader_->UsedBytes("cpu"), 0);
}

TEST_F(ShardLoaderTest, SaysFromTimeToTimeWhichNeuronsFire) {
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  const std::vector<float> x = fixture_.Input(1, 7);
  FfnRequest request;
  request.rows = 1;
  request.x = x.data();
  request.output_values = fixture_.embedding();
  std::vector<int64_t> sums(fixture_.embedding());
  Device& device = *publisher_.share(1).devices()[0];
  ASSERT_TRUE(device.Collect(device.Submit(request), absl::MakeSpan(sums)).ok());
  int said = 0;
  for (int i = 0; i < 32; ++i) {
    const std::vector<LayerFiring> firing = loader_->Statuses()[0].devices[0].firing;
    if (firing.empty()) continue;
    ++said;
    EXPECT_EQ(firing[0].rows, 1u);
    EXPECT_EQ(firing[0].groups, (std::vector<uint32_t>{0, 1}));
  }
  EXPECT_EQ(said, 2);
}

TEST_F(ShardLoaderTest, BrokenTransferIsResumedWhereItStopped) {
  coordinator_.Plan({Fault::kNone, Fault::kBreakInTheMiddle});
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  const auto calls = coordinator_.calls();
  ASSERT_EQ(calls.size(), 3);  // the skeleton comes alone
  EXPECT_EQ(calls[1].ranges.size(), kUnits);
  EXPECT_EQ(calls[2].ranges.size(), kUnits - 1);
  EXPECT_EQ(calls[2].ranges[0].sha256, calls[1].ranges[1].sha256);
  EXPECT_GT(calls[2].ranges[0].offset, 0);
  EXPECT_EQ(loader_->counters().fetched_bytes, Whole(1).bytes());  // no byte twice
}

TEST_F(ShardLoaderTest, TransferIsResumedAfterARestartOfTheDaemon) {
  coordinator_.Plan({Fault::kNone, Fault::kBreakInTheMiddle});
  Want({Whole(1)});
  ASSERT_TRUE(AwaitDetail("connection reset"));
  Restart();
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  EXPECT_LT(loader_->counters().fetched_bytes, Whole(1).bytes());
}

TEST_F(ShardLoaderTest, DamagedBytesAreFetchedAgainAndNeverUsed) {
  coordinator_.Plan({Fault::kDamage});
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  EXPECT_EQ(coordinator_.calls().size(), 3);
  EXPECT_EQ(loader_->counters().discarded_bundles, 1);
  EXPECT_EQ(loader_->counters().fetched_bundles, kUnits + 1);
}

TEST_F(ShardLoaderTest, CoordinatorThatEndsEarlyRefusesOrSendsTooMuchIsAskedAgain) {
  coordinator_.Plan({Fault::kEndEarly, Fault::kRefuse, Fault::kTooLong});
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  EXPECT_GE(coordinator_.calls().size(), 4);
}

TEST_F(ShardLoaderTest, RestartedDaemonTakesEverythingFromItsCache) {
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  Restart();
  Want({Whole(7)}, 2);
  ASSERT_TRUE(Await({7}, ShardPhase::kReady));
  EXPECT_EQ(coordinator_.calls().size(), 2);
  EXPECT_EQ(loader_->counters().fetched_bytes, 0);
  EXPECT_EQ(loader_->counters().cached_bundles, kUnits + 1);
}

TEST_F(ShardLoaderTest, SecondPlanSharesWhatTheFirstHolds) {
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  const uint64_t used = loader_->UsedBytes("cpu");
  Want({Whole(1), Whole(2)});
  ASSERT_TRUE(Await({1, 2}, ShardPhase::kReady));
  EXPECT_EQ(loader_->UsedBytes("cpu"), used);
  EXPECT_EQ(loader_->counters().cached_bundles, 0);
  Want({Whole(2)});
  ASSERT_TRUE(Await({2}, ShardPhase::kReady));
}

TEST_F(ShardLoaderTest, AnotherModelOfTheSameSkeletonSharesNothing) {
  ShardDescription other_name = Whole(2), other_file = Whole(3);
  other_name.model = "another";
  other_file.model_digest = "sha256:another";
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  const uint64_t used = loader_->UsedBytes("cpu");
  Want({Whole(1), other_name, other_file});
  ASSERT_TRUE(Await({1, 2, 3}, ShardPhase::kReady));
  EXPECT_EQ(loader_->UsedBytes("cpu"), 3 * used);
}

TEST_F(ShardLoaderTest, SkeletonThatIsNoModelFailsAndADesiredOneReplacesIt) {
  const std::vector<uint8_t> nonsense(64, 1);
  coordinator_.Add(nonsense);
  ShardDescription broken = Whole(1);
  broken.skeleton = {Sha256Of(nonsense), nonsense.size()};
  Want({broken});
  ASSERT_TRUE(Await({1}, ShardPhase::kFailed));
  EXPECT_THAT(loader_->Statuses()[0].detail, HasSubstr("model test"));
  Want({Whole(2)});
  EXPECT_TRUE(Await({2}, ShardPhase::kReady));
}

TEST_F(ShardLoaderTest, CacheLargerThanAnyMemoryFails) {
  ShardDescription huge = Whole(1);
  huge.decoder.context_length = 1 << 24;
  huge.decoder.sequences = 4096;
  Want({huge});
  EXPECT_TRUE(Await({1}, ShardPhase::kFailed));
}

TEST_F(ShardLoaderTest, SameEpochOfANewSessionIsLoadedAnew) {
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  Want({fixture_.Describe(1, [](const UnitId& unit) { return unit == UnitId() ? "cpu" : ""; })}, 2);
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  EXPECT_LT(loader_->Statuses()[0].bytes_total, Whole(1).bytes());
}

TEST_F(ShardLoaderTest, ShardThatCannotBeSaysWhyAndADesiredOneReplacesIt) {
  Want({fixture_.Describe(1, [](const UnitId&) { return "no such device"; })});
  ASSERT_TRUE(Await({1}, ShardPhase::kFailed));
  EXPECT_THAT(loader_->Statuses()[0].detail, HasSubstr("no such device"));
  Want({Whole(2)});
  EXPECT_TRUE(Await({2}, ShardPhase::kReady));
}

TEST_F(ShardLoaderTest, ShardThatHasNoRoomBesideTheFormerOneFailsBeforeItIsFetched) {
  free_memory_ = uint64_t{64} << 20;  // which is to stay free
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kFailed));
  EXPECT_TRUE(AwaitDetail("bytes of memory more"));
  EXPECT_EQ(loader_->UsedBytes("cpu"), 0u);
  free_memory_ = uint64_t{1} << 30;
  Want({Whole(2)});
  ASSERT_TRUE(Await({2}, ShardPhase::kReady));
  // What is there already needs none: less than a shard is free.
  free_memory_ = (uint64_t{64} << 20) + Whole(3).bytes() / 2;
  Want({Whole(2), Whole(3)});
  EXPECT_TRUE(Await({2, 3}, ShardPhase::kReady));
}

TEST_F(ShardLoaderTest, NothingWantedDropsEverything) {
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kReady));
  Want({});
  EXPECT_TRUE(AwaitNothingHeld());
  EXPECT_TRUE(loader_->Statuses().empty());
}

TEST_F(ShardLoaderTest, DiskThatCannotBeWrittenIsToldAndLookedAtAgainUntilItCan) {
  // A file where the directory of arriving bundles was: writes fail, also for root.
  const std::string partial = dir_ + "/partial";
  std::filesystem::rename(partial, partial + ".away");
  std::ofstream(partial) << "in the way";
  Want({Whole(1)});
  ASSERT_TRUE(AwaitDetail("cache: cannot write"));
  EXPECT_THAT(loader_->problem(), HasSubstr(partial));
  EXPECT_NE(loader_->Statuses()[0].phase, ShardPhase::kFailed) << "it is to be tried again";
  Want({});  // the coordinator leaves the host out
  ASSERT_TRUE(AwaitNothingHeld());
  std::filesystem::remove(partial);
  std::filesystem::rename(partial + ".away", partial);
  ASSERT_TRUE(AwaitNoProblem());
  Want({Whole(2)});
  EXPECT_TRUE(Await({2}, ShardPhase::kReady));
}

TEST_F(ShardLoaderTest, CacheThatMayNotHoldAShardFailsWithTheLimit) {
  Restart(/*max_cache_bytes=*/100);
  Want({Whole(1)});
  ASSERT_TRUE(Await({1}, ShardPhase::kFailed));
  EXPECT_THAT(loader_->Statuses()[0].detail, HasSubstr("may hold 100 bytes"));
  EXPECT_EQ(loader_->problem(), "");
}

}  // namespace
}  // namespace hearth
