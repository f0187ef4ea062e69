#include "client/command/display.h"

#include "client/command/status_text.h"
#include "client/library/bytes_text.h"
#include "daemon/identity/certificate.h"
#include "engine/command_line/progress.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(BytesTextTest, UsesTheLargestUnitThatGivesAtLeastOne) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(BytesText(uint64_t{4} << 30), "4.0 GiB");
  EXPECT_EQ(BytesText(~uint64_t{0}), "16777216.0 TiB");
}

v1::ModelStatus Loading(uint64_t done, uint64_t total) {
  v1::ModelStatus model;
  model.set_name("demo");
  model.set_state(v1::MODEL_STATE_LOADING);
  model.set_bytes_done(done);
  model.set_bytes_total(total);
  model.set_detail("reading weights");
  return model;
}

TEST(LoadingTextTest, ShowsBytesAndWhatIsDone) {
  EXPECT_EQ(LoadingText(Loading(512, 1024)), "512 B of 1.0 KiB  reading weights");
}

TEST(LoadingTextTest, UnknownTotalIsLeftOut) { EXPECT_EQ(LoadingText(Loading(512, 0)), "reading weights"); }

TEST(ModelLineTest, FailedModelSaysWhy) {
  v1::ModelStatus model = Loading(0, 0);
  model.set_state(v1::MODEL_STATE_FAILED);
  model.set_detail("3 GiB are missing");
  EXPECT_EQ(ModelLine(model), "demo  failed: 3 GiB are missing");
}

TEST(KeyWarningTest, TellsOfAKeyThatEndsSoonOrDoesNotHoldAndOfTheClock) {
  const absl::Time made = absl::FromUnixSeconds(1'800'000'000);  // 2027-01-15
  const Authority authority = MakeAuthority(made);
  ConnectionKey key;
  EXPECT_EQ(KeyWarning(key, made), "");
  key.certificate_pem =
      IssueCertificate(authority,
                       ParseSigningRequest(MakeSigningRequest(MakePrivateKey(), "anna").value()).value(),
                       Role::kClient, made)
          .value();
  EXPECT_EQ(KeyWarning(key, made), "");
  EXPECT_EQ(KeyWarning(key, made + kCertificateLife - absl::Hours(24 * 31)), "");
  EXPECT_EQ(KeyWarning(key, made + kCertificateLife - absl::Hours(24 * 29)),
            "this key is good until 2029-01-14: make another with `hearth key create` on the coordinator's "
            "machine");
  EXPECT_THAT(
      KeyWarning(key, made + kCertificateLife + absl::Hours(24)),
      HasSubstr(
          "the clock of this machine says 2029-01-15: set the clock if that is wrong, or make another"));
  EXPECT_THAT(KeyWarning(key, made - absl::Hours(24 * 365)),
              HasSubstr("the clock of this machine says 2026-01-15"));
}

TEST(SparsityLineTest, SaysWhatIsComputedAndWhy) {
  v1::ModelStatus model;
  model.set_sparsity("exact");
  EXPECT_EQ(SparsityLine(model), "");
  model.set_sparsity_why("ReLU leaves neurons silent");
  EXPECT_EQ(SparsityLine(model), "exact: ReLU leaves neurons silent");
}

v1::ClusterStatus TwoHosts() {
  v1::ClusterStatus cluster;
  v1::HostStatus* a = cluster.add_hosts();
  a->set_name("a");
  a->set_state(v1::HOST_STATE_ALIVE);
  a->set_coordinator(true);
  v1::DeviceStatus* device = a->add_devices();
  device->set_name("cpu0");
  device->set_kind("cpu");
  device->set_threads(4);
  device->set_read_bytes_per_second(18.2e9);
  v1::HostStatus* b = cluster.add_hosts();
  b->set_name("b");
  b->set_state(v1::HOST_STATE_LOST);
  b->set_last_sync_ms(4200);
  b->set_detail("no sync");
  v1::PlanStatus* plan = cluster.add_plans();
  plan->set_model("demo");
  plan->set_epoch(3);
  plan->set_layers(2);
  v1::DeviceShare* share = plan->add_shares();
  share->set_host("a");
  share->set_device("cpu0");
  share->add_neurons_computed(10);
  share->add_neurons_offered(40);
  share->add_neurons_computed(0);
  share->add_neurons_offered(0);
  return cluster;
}

TEST(DetailsTextTest, ShowsHostsAndDevices) {
  const std::string text = DetailsText(TwoHosts(), {});
  for (const char* part : {"coordinator, alive", "cpu0", "reads 18.2 GB/s",
                           "worker, lost, last heard of 4.2 s ago", "no sync"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(DetailsTextTest, MachinesThatAreAwayShowTheirNetworkCardOnce) {
  v1::ClusterStatus cluster = TwoHosts();
  for (const std::string& name : {cluster.hosts(1).name(), std::string("cellar")}) {
    v1::AwayHost& away = *cluster.add_away();
    away.set_name(name);
    away.add_macs("02:00:00:00:00:01");
  }
  cluster.mutable_away(1)->set_wakes(true);
  const std::string text = DetailsText(cluster, {});
  EXPECT_THAT(text, HasSubstr("    network card 02:00:00:00:00:01, not known whether set to wake it; "
                              "`hearth wake " +
                              cluster.hosts(1).name() + "` wakes it\n"));
  EXPECT_THAT(text, HasSubstr("  cellar         away; network card 02:00:00:00:00:01, set to wake it; "));
  EXPECT_EQ(text.find("away;"), text.rfind("away;"));  // the other one is listed as lost
}

TEST(DetailsTextTest, SaysHowFarFiringIsFromTheProfile) {
  v1::ClusterStatus cluster = TwoHosts();
  EXPECT_THAT(DetailsText(cluster, {}), Not(HasSubstr("Neurons")));
  v1::FiringStatus& firing = *cluster.mutable_plans(0)->mutable_firing();
  firing.set_rows(64);
  firing.set_firing_share(0.125);
  EXPECT_THAT(DetailsText(cluster, {}),
              HasSubstr("Neurons\n  demo: 12.5 % of the neurons fire (64 rows looked at)\n"));
  firing.set_hot_share_expected(0.8);
  firing.set_hot_share_seen(0.79);
  EXPECT_THAT(DetailsText(cluster, {}),
              HasSubstr("; hot neurons have 79 % of that, by the profile 80 %: as the profile says\n"));
  firing.set_hot_share_seen(0.7);
  EXPECT_THAT(DetailsText(cluster, {}), HasSubstr("somewhat other"));
  firing.set_hot_share_seen(0.5);
  EXPECT_THAT(DetailsText(cluster, {}), HasSubstr("the profile is of other text"));
}

TEST(DetailsTextTest, SaysWhyAModelIsComputedSparselyOrNot) {
  v1::ListModelsResponse models;
  v1::ModelStatus& model = *models.add_models();
  model.set_sparsity("exact");
  model.set_sparsity_why("ReLU leaves neurons silent");
  EXPECT_THAT(DetailsText({}, models), HasSubstr("\n    exact: ReLU leaves neurons silent\n"));
}

TEST(DetailsTextTest, WhatOthersWroteNeverReachesTheTerminalRaw) {
  const std::string evil = "a\x1b[2J\nforged line\xff";
  v1::ClusterStatus cluster;
  v1::HostStatus& host = *cluster.add_hosts();
  host.set_name(evil);
  host.set_detail(evil);
  host.add_devices()->set_name(evil);
  cluster.add_links()->set_from(evil);
  cluster.add_transfers()->set_detail(evil);
  v1::ListModelsResponse models;
  v1::ModelStatus& model = *models.add_models();
  model.set_name(evil);
  model.set_detail(evil);
  model.set_architecture(evil);
  model.set_sparsity_why(evil);
  v1::PlanStatus plan;
  plan.set_model(evil);
  plan.set_explanation("two\nlines \x1b[31m");
  plan.add_shares()->set_host(evil);
  plan.set_objective(evil);
  *cluster.add_plans() = plan;
  for (const std::string& text :
       {DetailsText(cluster, models), StatusText(cluster, models), ProgressBar(1, 2, LoadingText(model), 200),
        PlanText(plan), NeuronsText(plan)}) {
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, Not(HasSubstr("\nforged")));
    EXPECT_THAT(text, Not(HasSubstr("\xff")));
  }
  EXPECT_THAT(PlanText(plan), HasSubstr("two\nlines "));
}

TEST(NeuronsTextTest, ShowsEveryLayerOfEveryDevice) {
  const std::string text = NeuronsText(TwoHosts().plans(0));
  for (const char* part :
       {"Neurons of demo computed with plan 3", "a/cpu0", "10 (25.0 % of 40)", "0 (0.0 % of 0)"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(DetailsTextTest, EmptyClusterSaysHowToLoadAModel) {
  const std::string text = DetailsText({}, {});
  EXPECT_THAT(text, HasSubstr("hearth load"));
  EXPECT_THAT(text, Not(HasSubstr("Links")));
}

TEST(NeuronsTextTest, MissingFiguresCountAsNone) {
  v1::PlanStatus plan;
  plan.set_layers(1);
  plan.add_shares()->set_host("b");  // has reported nothing yet
  EXPECT_THAT(NeuronsText(plan), HasSubstr("0 (0.0 % of 0)"));
}

TEST(PlanTextTest, PlanForManyStreamsSaysHowFastTheyAreTogether) {
  v1::ClusterStatus cluster;
  v1::PlanStatus& plan = *cluster.add_plans();
  plan.set_model("demo");
  plan.set_epoch(2);
  plan.set_expected_token_ms(1.5);
  plan.set_objective("latency");
  EXPECT_EQ(PlanText(plan), "Plan 2 of demo, being set up, 1.50 ms per token expected\n\n");
  plan.set_objective("throughput:8");
  plan.set_expected_tokens_per_second(38.26);
  EXPECT_THAT(PlanText(plan),
              HasSubstr("1.50 ms per token expected; for throughput:8: 38.3 tokens/s expected\n"));
  plan.set_measured_tokens_per_second(40);
  EXPECT_THAT(DetailsText(cluster, {}),
              HasSubstr("Plans\n  demo: plan 2, for throughput:8: 38.3 tokens/s expected, 40.0 measured\n"));
}

TEST(PlanTextTest, ExplanationEndsWithALineFeed) {
  v1::PlanStatus plan;
  plan.set_model("demo");
  plan.set_epoch(2);
  plan.set_expected_token_ms(1.5);
  plan.set_explanation("all on a");
  EXPECT_EQ(PlanText(plan), "Plan 2 of demo, being set up, 1.50 ms per token expected\nall on a\n");
}

TEST(PlanTextTest, DiskTellsHowManyNeuronsItFoundInMemory) {
  v1::PlanStatus plan;
  v1::DeviceShare& share = *plan.add_shares();
  share.set_host("a");
  share.set_device("disk");
  EXPECT_THAT(PlanText(plan), Not(HasSubstr("a/disk")));
  share.mutable_disk()->set_memory_bytes(1);
  EXPECT_THAT(PlanText(plan), Not(HasSubstr("a/disk")));  // nothing was computed yet
  share.mutable_disk()->set_hits(3);
  share.mutable_disk()->set_misses(1);
  share.mutable_disk()->set_bytes_read(2048);
  EXPECT_THAT(PlanText(plan),
              HasSubstr("a/disk found 75.0 % of the neurons that fired in memory, and read 2.0 KiB "
                        "from the disk for the others.\n"));
}

TEST(PlanTextTest, MeasuredTimeStandsBesideTheExpectedOne) {
  v1::PlanStatus plan;
  plan.set_model("demo");
  plan.set_epoch(2);
  plan.set_active(true);
  plan.set_expected_token_ms(1.5);
  plan.set_measured_token_ms(1.75);
  EXPECT_EQ(PlanText(plan), "Plan 2 of demo, in use, 1.50 ms per token expected, 1.75 ms measured\n\n");
}

TEST(SummaryTextTest, SpeedLeavesOutTheFirstToken) {
  v1::Finished finished;
  finished.set_reason(v1::FINISH_REASON_LENGTH);
  finished.mutable_usage()->set_prompt_tokens(12);
  finished.mutable_usage()->set_generated_tokens(11);
  finished.mutable_timings()->set_prompt_ms(100);
  finished.mutable_timings()->set_generate_ms(500);
  EXPECT_EQ(SummaryText(finished),
            "11 tokens at 20.0 tokens/s; prompt of 12 tokens read in 0.10 s; ended by the length limit");
}

TEST(SummaryTextTest, OneTokenHasNoSpeed) {
  v1::Finished finished;
  finished.mutable_usage()->set_generated_tokens(1);
  EXPECT_THAT(SummaryText(finished), Not(HasSubstr("tokens/s")));
}

}  // namespace
}  // namespace hearth
