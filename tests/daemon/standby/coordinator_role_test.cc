#include "daemon/standby/coordinator_role.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "daemon/identity/home.h"
#include "daemon/standby/home_state.h"
#include "daemon/standby/succession.h"
#include "tests/daemon/identity/temporary_state.h"
#include "tests/daemon/standby/standby_server.h"

namespace hearth {
namespace {

// a leads home H in term 1.
class CoordinatorRoleTest : public ::testing::Test {
 protected:
  std::unique_ptr<StandbyRole> Role(std::optional<Sealer> sealer = SealerOf(1)) {
    return MakeCoordinatorRole({"a", state_.path(), std::move(sealer), {}}, own_,
                               [] { return std::vector<ModelInfo>(); });
  }
  static v1::HomeStateRequest Asks(const v1::Leader& place) {
    v1::HomeStateRequest request;
    request.set_sealed_place(SealPlace(place, SealerOf(1)));
    return request;
  }

  CoordinatorRoleTest() {
    own_.set_home("H");
    own_.set_term(1);
  }

  const TemporaryState state_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a").value();
  v1::Succession own_;
};

TEST_F(CoordinatorRoleTest, AStandbyThatAsksHasTheStateAndWorkersAreToldOfIt) {
  const auto role = Role();
  role->Stand(PlaceAt("a", "127.0.0.1:1"));
  EXPECT_TRUE(role->Places().plain.empty());
  const auto sealed = role->HomeState(Asks(PlaceAt("b", "127.0.0.1:2")));
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  const auto state = OpenHomeState(sealed->sealed(), SealerOf(1));
  EXPECT_EQ(state->leader().host(), "a");
  EXPECT_EQ(state->term(), 1u);
  EXPECT_EQ(state->texts().at("authority.pem"), home_->key().authority_pem);
  EXPECT_EQ(role->Places().plain, (std::vector<std::string>{"127.0.0.1:1", "127.0.0.1:2"}));
  EXPECT_EQ(role->Places().term, (Term{"H", 1}));
  // At its next start it knows whom to ask.
  EXPECT_EQ(ReadSuccession(state_.path()).value()->standbys(0).host(), "b");
}

TEST_F(CoordinatorRoleTest, WithoutASecretNobodyHasTheState) {
  EXPECT_EQ(Role(std::nullopt)->HomeState(Asks(PlaceAt("b", "127.0.0.1:2"))).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadSuccession(state_.path()).value(), std::nullopt);
}

TEST_F(CoordinatorRoleTest, BeforeItsOwnPlaceIsKnownStandbysWait) {
  EXPECT_EQ(Role()->HomeState(Asks(PlaceAt("b", "127.0.0.1:2"))).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(CoordinatorRoleTest, WhoDoesNotShowTheSecretHasNothingAndIsNotNoted) {
  const auto role = Role();
  role->Stand(PlaceAt("a", "127.0.0.1:1"));
  v1::HomeStateRequest other;
  for (const std::string& sealed :
       {std::string(), PlaceAt("b", "127.0.0.1:2").SerializeAsString(),
        SealPlace(PlaceAt("b", "127.0.0.1:2"), SealerOf(2)), SealHomeState({}, SealerOf(1))}) {
    other.set_sealed_place(sealed);
    EXPECT_EQ(role->HomeState(other).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(role->Places().plain.empty());
  EXPECT_EQ(ReadSuccession(state_.path()).value(), std::nullopt);
}

TEST_F(CoordinatorRoleTest, AStandbyThatOthersCouldNotReachHasNothing) {
  const auto role = Role();
  role->Stand(PlaceAt("a", "10.0.0.1:7770"));
  for (const char* address : {"127.0.0.1:7770", "[::1]:7770", "localhost:7770"}) {
    const absl::Status refused = role->HomeState(Asks(PlaceAt("b", address))).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_NE(refused.message().find("no other machine reaches it"), std::string::npos);
  }
  for (const v1::Leader& none : {v1::Leader(), PlaceAt("b", ""), PlaceAt("b", "10.0.0.2:0"),
                                 PlaceAt(std::string(100'000, 'b'), "10.0.0.2:7770")})
    EXPECT_EQ(role->HomeState(Asks(none)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(role->HomeState(Asks(PlaceAt("b", "10.0.0.2:7770"))).ok());
}

TEST_F(CoordinatorRoleTest, AStandbyThatCannotBeWrittenDownHasNothingHoweverOftenItAsks) {
  const auto role = Role();
  role->Stand(PlaceAt("a", "127.0.0.1:1"));
  std::filesystem::create_directory(state_.path() + "/succession");  // nothing can be written there
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(role->HomeState(Asks(PlaceAt("b", "127.0.0.1:2"))).ok());
  EXPECT_TRUE(role->Places().plain.empty());
}

TEST_F(CoordinatorRoleTest, OfSeveralThatLeadTheLastTermCounts) {
  FakeRole first(LeadOf("b", "H", 2)), last(LeadOf("c", "H", 3));
  const StandbyServer first_server(&first), last_server(&last);
  for (const bool in_order : {true, false}) {
    own_.clear_standbys();
    *own_.add_standbys() = PlaceAt("x", (in_order ? first_server : last_server).address());
    *own_.add_standbys() = PlaceAt("y", (in_order ? last_server : first_server).address());
    EXPECT_EQ(FindSuccessor(own_, "a", {}, kPatience)->term(), 3u);
  }
}

TEST_F(CoordinatorRoleTest, ItIsNotPromotedWhereItLeads) {
  absl::Status refused;
  Role()->Promote(true, [&](absl::StatusOr<v1::PromoteResponse> result) { refused = result.status(); });
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CoordinatorRoleTest, LeadsNoMoreOnceAStandbyDoesAndRemembersIt) {
  FakeRole next(LeadOf("b", "H", 2));
  const StandbyServer server(&next);
  *own_.add_standbys() = PlaceAt("b", server.address());
  auto role = Role();
  const absl::Time end = absl::Now() + kPatience;
  while (role->Leads() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(role->IsOver());
  EXPECT_FALSE(role->WhoLeads({}).leads());
  role.reset();  // its thread has written what it knows
  const v1::Succession succession = ReadSuccession(state_.path()).value().value();
  EXPECT_EQ(succession.term(), 2u);
  EXPECT_EQ(succession.leader().address(), server.address());
}

TEST_F(CoordinatorRoleTest, OneThatAsksAndLeadsInALaterTermIsGivenWayTo) {
  FakeRole next(LeadOf("c", "H", 3));
  const StandbyServer server(&next);
  const auto asks = [&](const Sealer& sealer, const std::string& host) {
    v1::WhoLeadsRequest request;
    request.set_sealed_place(SealPlace(PlaceAt(host, server.address()), sealer));
    return request;
  };
  auto role = Role();
  role->Stand(PlaceAt("a", "127.0.0.1:1"));
  // What does not show the secret, or says that it is this very host, is not asked.
  role->WhoLeads(asks(SealerOf(2), "c"));
  role->WhoLeads(asks(SealerOf(1), "a"));
  // Where the two meet first depends on nobody's list: this one's is empty.
  EXPECT_TRUE(role->WhoLeads(asks(SealerOf(1), "c")).leads());
  const absl::Time end = absl::Now() + kPatience;
  while (role->Leads() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(role->IsOver());
  role.reset();  // its thread has written what it knows
  EXPECT_EQ(ReadSuccession(state_.path()).value().value().leader().host(), "c");
}

TEST_F(CoordinatorRoleTest, WhoLeadsTellsItsStandbysWhereItIsReached) {
  class Listening final : public FakeRole {
   public:
    using FakeRole::FakeRole;
    v1::Lead WhoLeads(const v1::WhoLeadsRequest& request) override {
      const auto place = OpenPlace(request.sealed_place(), SealerOf(1));
      if (place.ok() && place->address() == "127.0.0.1:1" && !told.HasBeenNotified()) told.Notify();
      return FakeRole::WhoLeads(request);
    }
    absl::Notification told;
  };
  Listening standby(LeadOf("b", "H", 1, false));
  const StandbyServer server(&standby);
  *own_.add_standbys() = PlaceAt("b", server.address());
  const auto role = Role();
  role->Stand(PlaceAt("a", "127.0.0.1:1"));
  EXPECT_TRUE(standby.told.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(CoordinatorRoleTest, WhoWorksOrLeadsInAFormerTermOrAnotherHomeIsNoSuccessor) {
  for (const v1::Lead& lead : {LeadOf("b", "H", 2, false), LeadOf("b", "H", 0), LeadOf("b", "other", 2)}) {
    FakeRole other(lead);
    const StandbyServer server(&other);
    own_.clear_standbys();
    *own_.add_standbys() = PlaceAt("b", server.address());
    EXPECT_FALSE(FindSuccessor(own_, "a", {}, kPatience));
  }
}

TEST_F(CoordinatorRoleTest, AStandbyThatIsGoneHidesNoOther) {
  FakeRole next(LeadOf("c", "H", 2));
  StandbyServer gone(&next);
  const StandbyServer server(&next);
  gone.End();
  *own_.add_standbys() = PlaceAt("b", gone.address());
  *own_.add_standbys() = PlaceAt("c", server.address());
  EXPECT_EQ(FindSuccessor(own_, "a", {}, kPatience)->leader().host(), "c");
}

}  // namespace
}  // namespace hearth
