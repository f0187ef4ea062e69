#include "client/command/status_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

class StatusTextTest : public testing::Test {
 protected:
  StatusTextTest() {
    AddHost("attic").set_coordinator(true);
    AddHost("cellar");
    v1::ModelStatus& model = *models_.add_models();
    model.set_name("demo");
    model.set_state(v1::MODEL_STATE_READY);
    model.set_requests_running(1);
    model.set_requests_waiting(2);
    v1::PlanStatus& plan = *cluster_.add_plans();
    plan.set_model("demo");
    plan.set_expected_token_ms(20);
    plan.set_measured_token_ms(25);
    AddShare("cellar", 3000);
    AddShare("attic", 500);
    AddShare("attic", 500);
  }

  v1::HostStatus& AddHost(const std::string& name) {
    v1::HostStatus& host = *cluster_.add_hosts();
    host.set_name(name);
    host.set_state(v1::HOST_STATE_ALIVE);
    v1::DeviceStatus& device = *host.add_devices();
    device.set_name("cpu");
    device.set_memory_used_bytes(1 << 20);
    device.set_memory_budget_bytes(1 << 30);
    return host;
  }
  void AddShare(const std::string& host, uint64_t bytes) {
    v1::DeviceShare& share = *cluster_.mutable_plans(0)->add_shares();
    share.set_host(host);
    share.set_weight_bytes(bytes);
  }
  std::string Text() const { return StatusText(cluster_, models_); }

  v1::ClusterStatus cluster_;
  v1::ListModelsResponse models_;
};

TEST_F(StatusTextTest, PlanForManyStreamsIsAsFastAsTheyAreTogether) {
  v1::PlanStatus& plan = *cluster_.mutable_plans(0);
  plan.set_objective("throughput:8");
  plan.set_expected_tokens_per_second(110);
  plan.set_measured_tokens_per_second(100);
  EXPECT_THAT(Text(), HasSubstr(", for throughput:8: 110.0 tokens/s expected, 100.0 measured; 1 request"));
  plan.set_objective("latency");
  EXPECT_THAT(Text(), HasSubstr(", 40.0 tokens/s (50.0 expected); 1 request"));
}

TEST_F(StatusTextTest, HealthyClusterSaysWhatRunsWhereHowFastAndThatAllIsWell) {
  EXPECT_EQ(
      Text(),
      "Models\n"
      "  demo  ready on cellar (75 %), attic (25 %), 40.0 tokens/s (50.0 expected); 1 request being "
      "answered, 2 waiting\n"
      "Machines\n"
      "  attic                coordinator, cpu: 1.0 MiB of 1.0 GiB in use\n"
      "  cellar               cpu: 1.0 MiB of 1.0 GiB in use\n"
      "Nothing is wrong. Why it is shared so: `hearth plan`. All figures: `hearth status --verbose`.\n");
}

TEST_F(StatusTextTest, LostMachineIsNamedWithTheReasonAndWhatToDo) {
  v1::HostStatus& host = *cluster_.mutable_hosts(1);
  host.set_state(v1::HOST_STATE_LOST);
  host.set_last_sync_ms(180'000);
  host.set_detail("its stream has ended");
  EXPECT_THAT(Text(),
              HasSubstr("Machine cellar is lost for 3 min: its stream has ended. Start hearthd there again, "
                        "or strike it off with `hearth forget cellar`."));
  EXPECT_THAT(Text(), Not(HasSubstr("Nothing is wrong")));
}

TEST_F(StatusTextTest, MachinesThatAreAwayCanBeWoken) {
  cluster_.mutable_hosts(1)->set_state(v1::HOST_STATE_LOST);
  cluster_.add_away()->set_name("cellar");
  EXPECT_THAT(Text(),
              HasSubstr("Start hearthd there again, `hearth wake cellar` wakes it, or strike it off"));
  EXPECT_THAT(Text(), Not(HasSubstr("away;")));  // it is listed as lost
  cluster_.add_away()->set_name("loft\n");
  EXPECT_THAT(Text(), HasSubstr("away; `hearth wake loft\\n` wakes it\n"));
}

TEST_F(StatusTextTest, MachineThatIsLeftOutSaysWhy) {
  cluster_.mutable_hosts(1)->set_detail("cannot write to its disk");
  EXPECT_THAT(Text(), HasSubstr("Machine cellar is left out: cannot write to its disk."));
}

TEST_F(StatusTextTest, ModelMuchSlowerThanExpectedIsWrong) {
  cluster_.mutable_plans(0)->set_measured_token_ms(31);
  EXPECT_THAT(Text(), HasSubstr("Model demo is slower than expected"));
}

TEST_F(StatusTextTest, ModelThatFailedSaysWhy) {
  v1::ModelStatus& model = *models_.mutable_models(0);
  model.set_state(v1::MODEL_STATE_FAILED);
  model.set_detail("3 GiB are missing");
  EXPECT_THAT(Text(), HasSubstr("Model demo cannot be used: 3 GiB are missing."));
}

TEST_F(StatusTextTest, ModelThatGuessesIsNamedWhenItDoesAndItsFailureIsSaid) {
  v1::ModelStatus& model = *models_.mutable_models(0);
  model.set_draft("/m/small.gguf");
  model.set_draft_state(v1::MODEL_STATE_LOADING);
  EXPECT_THAT(Text(), Not(HasSubstr("small")));
  model.set_draft_state(v1::MODEL_STATE_READY);
  EXPECT_THAT(Text(), HasSubstr("; small guesses for it; 1 request"));
  model.set_draft_state(v1::MODEL_STATE_FAILED);
  model.set_draft_detail("10 MiB are missing");
  EXPECT_THAT(Text(), HasSubstr("Nothing guesses for model demo: 10 MiB are missing."));
}

TEST_F(StatusTextTest, TransferShowsHowFarItIs) {
  v1::TransferStatus& transfer = *cluster_.add_transfers();
  transfer.set_host("cellar");
  transfer.set_model("demo");
  transfer.set_bytes_done(1);
  transfer.set_bytes_total(4);
  EXPECT_THAT(Text(), HasSubstr("gets its part of demo, 25 % so far"));
}

TEST_F(StatusTextTest, ModelThatHasComputedNothingYetShowsWhatIsExpected) {
  cluster_.mutable_plans(0)->set_measured_token_ms(0);
  models_.mutable_models(0)->clear_requests_running();
  models_.mutable_models(0)->clear_requests_waiting();
  EXPECT_THAT(Text(), HasSubstr("50.0 tokens/s expected; no requests"));
}

TEST(EmptyStatusTextTest, SaysHowToLoadAModel) {
  EXPECT_THAT(StatusText({}, {}), HasSubstr("none; load one with `hearth load FILE.gguf`"));
}

}  // namespace
}  // namespace hearth
