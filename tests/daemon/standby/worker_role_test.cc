#include "daemon/standby/worker_role.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "daemon/identity/home.h"
#include "daemon/identity/identity_files.h"
#include "daemon/standby/coordinator_role.h"
#include "daemon/standby/home_state.h"
#include "daemon/standby/succession.h"
#include "tests/daemon/identity/temporary_state.h"
#include "tests/daemon/standby/standby_server.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// b works for a, whose home it may lead.
class WorkerRoleTest : public ::testing::Test {
 protected:
  WorkerRoleTest() {
    v1::Succession own;
    own.set_home(ParseCertificate(home_->key().authority_pem)->id.Text());
    own.set_term(4);
    coordinator_ =
        MakeCoordinatorRole({"a", a_.path(), SealerOf(1), {}}, own, [] { return std::vector<ModelInfo>(); });
    coordinator_->Stand(PlaceAt("a", "127.0.0.1:2"));
    server_ = std::make_unique<StandbyServer>(coordinator_.get());
  }

  std::unique_ptr<StandbyRole> Role(std::optional<Sealer> sealer) const {
    auto role = MakeWorkerRole({"b", b_.path(), std::move(sealer), {}}, server_->address());
    role->Stand(PlaceAt("b", "127.0.0.1:1"));
    return role;
  }
  void AwaitState() const {
    const absl::Time end = absl::Now() + kPatience;
    while (!std::filesystem::exists(b_.path() + "/standby-state") && absl::Now() < end)
      absl::SleepFor(absl::Milliseconds(5));
  }
  static absl::StatusOr<v1::PromoteResponse> Promote(StandbyRole& role, bool force = false) {
    std::promise<absl::StatusOr<v1::PromoteResponse>> promise;
    role.Promote(force, [&](absl::StatusOr<v1::PromoteResponse> result) { promise.set_value(result); });
    return promise.get_future().get();
  }
  bool HasTheHome() const {
    return std::filesystem::exists(b_.path() + "/identity/authority-key.pem") ||
           ReadSuccession(b_.path()).value().has_value();
  }

  const TemporaryState a_, b_;
  const std::unique_ptr<Home> home_ = Home::Open(a_.path(), "a").value();
  std::unique_ptr<StandbyRole> coordinator_;
  std::unique_ptr<StandbyServer> server_;
};

TEST_F(WorkerRoleTest, TakesTheLeadOfTheNextTermOnceTheCoordinatorIsGone) {
  const auto role = Role(SealerOf(1));
  AwaitState();
  server_->End();
  const auto promoted = Promote(*role);
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_EQ(promoted->term(), 5u);
  const v1::Succession succession = *ReadSuccession(b_.path()).value();
  EXPECT_EQ(succession.term(), 5u);
  EXPECT_FALSE(succession.has_leader());
  EXPECT_EQ(Home::Open(b_.path(), "b").value()->key().authority_pem, home_->key().authority_pem);
  const absl::Time end = absl::Now() + kPatience;
  while (!role->IsOver() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(role->IsOver());
}

TEST_F(WorkerRoleTest, TakesItInALaterTermThanAnyItHasHeardOf) {
  v1::Succession heard;
  heard.set_home(ParseCertificate(home_->key().authority_pem)->id.Text());
  heard.set_term(9);
  heard.mutable_leader()->set_host("c");
  ASSERT_TRUE(WriteSuccession(b_.path(), heard).ok());
  const auto role = Role(SealerOf(1));
  AwaitState();
  server_->End();
  EXPECT_EQ(Promote(*role)->term(), 10u);
}

TEST_F(WorkerRoleTest, KeepsALaterStateThanThatOfWhoLeadsInAFormerTerm) {
  v1::HomeState later = CollectHomeState(IdentityFiles::Open(a_.path()).value(), {}).value();
  later.set_term(6);
  later.mutable_leader()->set_host("c");
  const std::string sealed = SealHomeState(later, SealerOf(1));
  std::ofstream(b_.path() + "/standby-state", std::ios::binary) << sealed;
  {
    const auto role = Role(SealerOf(1));
    // It asks at least once before it is promoted.
    EXPECT_FALSE(Promote(*role).ok());
  }
  server_->End();
  EXPECT_EQ(Promote(*Role(SealerOf(1)))->term(), 7u);
}

TEST_F(WorkerRoleTest, IsRefusedWhileTheCoordinatorAnswersAndChangesNothing) {
  const auto role = Role(SealerOf(1));
  AwaitState();
  for (const bool force : {false, true})
    EXPECT_THAT(std::string(Promote(*role, force).status().message()), HasSubstr("a leads the home"));
  EXPECT_FALSE(role->IsOver());
  EXPECT_FALSE(HasTheHome());
}

TEST_F(WorkerRoleTest, WithoutASecretItIsNoStandby) {
  const auto role = Role(std::nullopt);
  EXPECT_THAT(std::string(Promote(*role, true).status().message()), HasSubstr("--standby FILE"));
}

TEST_F(WorkerRoleTest, WithAnotherSecretItHasNoState) {
  const auto role = Role(SealerOf(2));
  server_->End();
  const auto refused = Promote(*role, true);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("no state of the home yet"));
  EXPECT_FALSE(std::filesystem::exists(b_.path() + "/standby-state"));
  EXPECT_FALSE(HasTheHome());
}

TEST_F(WorkerRoleTest, AStateThatIsDamagedOnTheDiskIsRefused) {
  {
    const auto role = Role(SealerOf(1));
    AwaitState();
  }
  server_->End();
  std::filesystem::resize_file(b_.path() + "/standby-state", 40);
  EXPECT_EQ(Promote(*Role(SealerOf(1)), true).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(HasTheHome());
}

}  // namespace
}  // namespace hearth
