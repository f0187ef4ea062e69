#include "daemon/standby/lead_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <latch>
#include <vector>

#include "tests/daemon/standby/standby_server.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using Kind = LeadAnswer::Kind;

LeadAnswer Answer(Kind kind, const std::string& host = "") {
  LeadAnswer answer{"10.0.0.1:7771", kind, {}, "no route"};
  answer.lead.set_host(host);
  return answer;
}

TEST(LeadAnswers, ACoordinatorLeadsAndAWorkerWorks) {
  FakeRole leads(LeadOf("a", "H", 3)), works(LeadOf("b", "", 0, false));
  const StandbyServer coordinator(&leads), worker(&works);
  const LeadAnswer answer = AskWhoLeads(coordinator.address(), {}, kPatience);
  EXPECT_EQ(answer.kind, Kind::kLeads);
  EXPECT_EQ(answer.lead.term(), 3u);
  EXPECT_EQ(AskWhoLeads(worker.address(), {}, kPatience).kind, Kind::kWorks);
}

TEST(LeadAnswers, WhatAnswersAndDoesNotSayWhatItIsMayLead) {
  const StandbyServer other(nullptr);
  EXPECT_EQ(AskWhoLeads(other.address(), {}, kPatience).kind, Kind::kLeads);
}

TEST(LeadAnswers, NobodyIsThereWhereTheMachineSaysSo) {
  FakeRole role(LeadOf("a", "H", 3));
  StandbyServer gone(&role);
  gone.End();
  EXPECT_EQ(AskWhoLeads(gone.address(), {}, kPatience).kind, Kind::kNobody);
}

// As a stopped process does: the system takes the connection, and nothing comes.
TEST(LeadAnswers, WhoTakesTheConnectionAndSaysNothingIsSilent) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const LeadAnswer answer =
      AskWhoLeads(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)), {}, absl::Milliseconds(200));
  EXPECT_EQ(answer.kind, Kind::kSilent);
  EXPECT_FALSE(answer.why.empty());
  close(listener);
}

TEST(LeadAnswers, SeveralAreAskedAtTheSameTime) {
  // Neither answers before the other is asked as well.
  class Waiting final : public FakeRole {
   public:
    Waiting(const std::string& host, std::latch& both) : FakeRole(LeadOf(host, "H", 3)), both_(both) {}
    v1::Lead WhoLeads(const v1::WhoLeadsRequest& request) override {
      both_.arrive_and_wait();
      return FakeRole::WhoLeads(request);
    }

   private:
    std::latch& both_;
  };
  std::latch both(2);
  Waiting a("a", both), b("b", both);
  const StandbyServer first(&a), second(&b);
  const std::vector<LeadAnswer> answers =
      AskAllWhoLeads({{first.address(), {}}, {"nowhere", {}}, {second.address(), {}}}, kPatience);
  EXPECT_EQ(answers[0].lead.host(), "a");
  EXPECT_EQ(answers[1].kind, Kind::kSilent);
  EXPECT_EQ(answers[2].lead.host(), "b");
}

TEST(LeadAnswers, WhatIsNoAddressIsSilent) {
  EXPECT_EQ(AskWhoLeads("nowhere", {}, kPatience).kind, Kind::kSilent);
}

TEST(Promotion, IsAllowedWhereNobodyIsThereOrOnlyWorkersAre) {
  EXPECT_TRUE(CheckPromotion({}, false).ok());
  EXPECT_TRUE(CheckPromotion({Answer(Kind::kNobody), Answer(Kind::kWorks)}, false).ok());
}

TEST(Promotion, IsRefusedWhileSomebodyLeadsEvenByForce) {
  for (const bool force : {false, true}) {
    const absl::Status refused = CheckPromotion({Answer(Kind::kSilent), Answer(Kind::kLeads, "a")}, force);
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("a leads the home and answers at 10.0.0.1:7771"));
  }
  EXPECT_THAT(std::string(CheckPromotion({Answer(Kind::kLeads)}, true).message()),
              HasSubstr("a coordinator leads"));
}

TEST(Promotion, WhereNobodyCanTellItTakesForce) {
  const absl::Status refused = CheckPromotion({Answer(Kind::kSilent)}, false);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("hearth promote --force"));
  EXPECT_TRUE(CheckPromotion({Answer(Kind::kSilent)}, true).ok());
}

}  // namespace
}  // namespace hearth
