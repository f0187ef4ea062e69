// What /metrics shows of requests and of the cluster.
#include <prometheus/collectable.h>
#include <prometheus/text_serializer.h>

#include <memory>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "daemon/scheduling/generation_metrics.h"
#include "daemon/serving/status_metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Text(const prometheus::Collectable& source) {
  return prometheus::TextSerializer().Serialize(source.Collect());
}

std::string Text(Server& server) {
  std::string text;
  for (const auto& source : server.Metrics()) text += Text(*source);
  return text;
}

HostView Host(const std::string& name, HostState state = HostState::kAlive) {
  HostView host;
  host.name = name;
  host.state = state;
  return host;
}

TEST(GenerationMetricsTest, RequestsCountByTheirOutcome) {
  GenerationMetrics metrics;
  GenerationMetrics::OfModel model = metrics.Of("m");
  model.Refused();
  model.Finished(EndReason::kStopString);
  model.Finished(EndReason::kStopToken);
  model.Failed(absl::CancelledError("x"));
  model.Failed(absl::ResourceExhaustedError("x"));
  model.Failed(absl::DataLossError("x"));
  const std::string text = Text(*metrics.registry());
  for (const auto& [outcome, count] : std::vector<std::pair<std::string, int>>{
           {"refused", 1}, {"stop", 2}, {"cancelled", 1}, {"slow_reader", 1}, {"failed", 1}}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("hearth_requests_total{model=\"m\",outcome=\"", outcome, "\"} ",
                                             count)));
  }
}

TEST(GenerationMetricsTest, ModelsOfOneNameShareTheirFigures) {
  GenerationMetrics metrics;
  GenerationMetrics::OfModel first = metrics.Of("m"), second = metrics.Of("m"), other = metrics.Of("other");
  first.Started(3, 1, absl::Seconds(1));
  second.Started(4, 1, absl::Seconds(1));
  other.Started(5, 1, absl::Seconds(1));
  const std::string text = Text(*metrics.registry());
  EXPECT_THAT(text, HasSubstr("hearth_prompt_tokens_total{model=\"m\"} 7"));
  EXPECT_THAT(text, HasSubstr("hearth_prompt_tokens_total{model=\"other\"} 5"));
  EXPECT_THAT(text, HasSubstr("hearth_cached_tokens_total{model=\"m\"} 2"));
  EXPECT_THAT(text, HasSubstr("hearth_queue_seconds_count{model=\"m\"} 2"));
}

TEST(GenerationMetricsTest, FiguresAreForgottenWithTheLastModelOfTheirName) {
  GenerationMetrics metrics;
  auto first = absl::WrapUnique(new GenerationMetrics::OfModel(metrics.Of("m")));
  {
    GenerationMetrics::OfModel loaded_anew = metrics.Of("m");
    loaded_anew.Started(3, 1, absl::Seconds(1));
    loaded_anew.FirstToken(absl::Seconds(1));
    loaded_anew.Finished(EndReason::kLength);
  }
  EXPECT_THAT(Text(*metrics.registry()), HasSubstr("hearth_prompt_tokens_total{model=\"m\"} 3"));
  first.reset();
  EXPECT_THAT(Text(*metrics.registry()), Not(HasSubstr("model=")));
}

TEST(ServerMetricsTest, RequestsLeaveTheirTokensAndTimes) {
  Served served;
  ASSERT_TRUE(Generate(*served.generation, TextRequest("xy", 5)).status.ok());
  const std::string text = Text(*served.server);
  EXPECT_THAT(text, HasSubstr("hearth_requests_total{model=\"fake\",outcome=\"length\"} 1"));
  EXPECT_THAT(text, HasSubstr("hearth_prompt_tokens_total{model=\"fake\"} 3"));
  EXPECT_THAT(text, HasSubstr("hearth_generated_tokens_total{model=\"fake\"} 5"));
  EXPECT_THAT(text, HasSubstr("hearth_first_token_seconds_count{model=\"fake\"} 1"));
  EXPECT_THAT(text, HasSubstr("hearth_between_tokens_seconds_count{model=\"fake\"} 4"));
  EXPECT_THAT(text, HasSubstr("hearth_step_seconds_count{model=\"fake\",phase=\"prompt\"} 1"));
  EXPECT_THAT(text, HasSubstr("hearth_step_seconds_count{model=\"fake\",phase=\"generate\"} 4"));
}

TEST(ServerMetricsTest, QueueAndCacheShowWhatIsUnderWay) {
  Gate gate;
  auto model = std::make_shared<FakeModel>();
  model->decoder().set_before_step([&](absl::Span<const BatchRow> rows) {
    if (rows.front().position == 10) gate.Pass();
    return absl::OkStatus();
  });
  Served served(model);
  const auto call = Start(*served.generation, TextRequest("x", 100));
  gate.AwaitArrival();
  std::string text = Text(*served.server);
  EXPECT_THAT(text, HasSubstr("hearth_requests_running{model=\"fake\"} 1"));
  EXPECT_THAT(text, HasSubstr("hearth_requests_waiting{model=\"fake\"} 0"));
  EXPECT_THAT(text, HasSubstr("hearth_kv_positions{model=\"fake\"} 10"));
  EXPECT_THAT(text, HasSubstr("hearth_kv_positions_limit{model=\"fake\"} 4000"));
  EXPECT_THAT(text, HasSubstr("hearth_drafted_tokens_total{model=\"fake\"} 0"));
  gate.Open();
  EXPECT_TRUE(ReadAll(*call).status.ok());
  while (Text(*served.server).find("hearth_requests_running{model=\"fake\"} 0") == std::string::npos) {
  }
  EXPECT_THAT(Text(*served.server), HasSubstr("hearth_kv_positions{model=\"fake\"} 0"));
}

TEST(ClusterMetricsTest, HostsLinksAndSharesAreThoseOfTheStatus) {
  FakeCluster cluster;
  ClusterSnapshot snapshot;
  snapshot.hosts = {Host("a\n"), Host("lost", HostState::kLost)};
  DeviceView& device = snapshot.hosts[0].devices.emplace_back();
  device.name = device.kind = "cpu";
  device.memory_used_bytes = 5;
  device.operations_per_second = 7e9;
  snapshot.hosts[0].groups_from_cache = 6;
  snapshot.hosts[1].losses = 3;
  snapshot.hosts[1].last_sync_ms = 2500;
  snapshot.transfers = {{"a", "m", 10, 40, ""}};
  snapshot.links = {{"a", "b", 250, 1e8}};
  PlanView plan;
  plan.model = "m";
  plan.expected_token_ms = 20;
  plan.measured_token_ms = 30;
  DeviceShareView share;
  share.host = "a";
  share.device = "cpu";
  share.neurons_computed = {1, 2};
  share.wait_us = 1500000;
  share.disk = {.hits = 3, .misses = 2, .bytes_read = 4096, .wait_us = 500000, .memory_bytes = 1};
  plan.shares = {share};
  plan.objective = placement::OfStreams(8);
  plan.expected_tokens_per_second = 120;
  plan.measured_tokens_per_second = 90;
  snapshot.plans = {plan};
  cluster.Set(snapshot);
  const std::string text = Text(*MakeClusterMetrics(cluster));
  EXPECT_THAT(text, HasSubstr("hearth_host_alive{host=\"a\\\\n\"} 1"));
  EXPECT_THAT(text, HasSubstr("hearth_host_alive{host=\"lost\"} 0"));
  EXPECT_THAT(text,
              HasSubstr("hearth_device_memory_used_bytes{host=\"a\\\\n\",device=\"cpu\",kind=\"cpu\"} 5"));
  EXPECT_THAT(
      text, HasSubstr("hearth_device_operations_per_second{host=\"a\\\\n\",device=\"cpu\",kind=\"cpu\"} 7"));
  EXPECT_THAT(text, HasSubstr("hearth_host_groups_from_cache_total{host=\"a\\\\n\"} 6"));
  EXPECT_THAT(text, HasSubstr("hearth_host_losses_total{host=\"lost\"} 3"));
  EXPECT_THAT(text, HasSubstr("hearth_host_last_sync_seconds{host=\"lost\"} 2.5"));
  EXPECT_THAT(text, HasSubstr("hearth_transfer_bytes{host=\"a\",model=\"m\"} 40"));
  EXPECT_THAT(text, HasSubstr("hearth_transfer_done_bytes{host=\"a\",model=\"m\"} 10"));
  EXPECT_THAT(text, HasSubstr("hearth_link_round_trip_seconds{from=\"a\",to=\"b\"} 0.00025"));
  EXPECT_THAT(text, HasSubstr("hearth_plan_expected_token_seconds{model=\"m\"} 0.02"));
  EXPECT_THAT(text, HasSubstr("hearth_plan_measured_token_seconds{model=\"m\"} 0.03"));
  EXPECT_THAT(
      text, HasSubstr("hearth_plan_expected_tokens_per_second{model=\"m\",objective=\"throughput:8\"} 120"));
  EXPECT_THAT(text,
              HasSubstr("hearth_plan_measured_tokens_per_second{model=\"m\",objective=\"throughput:8\"} 90"));
  EXPECT_THAT(text,
              HasSubstr("hearth_share_neurons_computed_total{model=\"m\",host=\"a\",device=\"cpu\"} 3"));
  EXPECT_THAT(text, HasSubstr("hearth_share_wait_seconds_total{model=\"m\",host=\"a\",device=\"cpu\"} 1.5"));
  EXPECT_THAT(text, HasSubstr("hearth_disk_hits_total{model=\"m\",host=\"a\",device=\"cpu\"} 3"));
  EXPECT_THAT(text, HasSubstr("hearth_disk_misses_total{model=\"m\",host=\"a\",device=\"cpu\"} 2"));
  EXPECT_THAT(text, HasSubstr("hearth_disk_read_bytes_total{model=\"m\",host=\"a\",device=\"cpu\"} 4096"));
  EXPECT_THAT(text, HasSubstr("hearth_disk_wait_seconds_total{model=\"m\",host=\"a\",device=\"cpu\"} 0.5"));
}

TEST(ClusterMetricsTest, FamilyIsDescribedOnce) {
  FakeCluster cluster;
  ClusterSnapshot snapshot;
  snapshot.hosts = {Host("a"), Host("b")};
  cluster.Set(snapshot);
  const std::string text = Text(*MakeClusterMetrics(cluster));
  const size_t first = text.find("# TYPE hearth_host_alive gauge");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(text.find("# TYPE hearth_host_alive", first + 1), std::string::npos);
}

TEST(WorkerMetricsTest, WorkerLeavesTheFiguresToItsCoordinator) {
  Served served;
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  const auto worker = Server::StartForwarding(options, served.server->address());
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_TRUE((*worker)->Metrics().empty());
}

}  // namespace
}  // namespace hearth
