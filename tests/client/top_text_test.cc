#include "client/command/top_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

TopLook Look() {
  TopLook look;
  v1::ModelStatus& model = *look.models.add_models();
  model.set_name("demo");
  model.set_state(v1::MODEL_STATE_READY);
  model.set_requests_running(3);
  model.set_requests_waiting(2);
  model.set_tokens_generated(100);
  model.set_kv_positions(50);
  model.set_kv_positions_limit(200);
  v1::PlanStatus& plan = *look.cluster.add_plans();
  plan.set_model("demo");
  plan.set_expected_token_ms(20);
  v1::HostStatus& host = *look.cluster.add_hosts();
  host.set_name("attic");
  host.set_state(v1::HOST_STATE_ALIVE);
  v1::DeviceStatus& device = *host.add_devices();
  device.set_name("cpu");
  device.set_memory_used_bytes(1 << 20);
  device.set_memory_budget_bytes(4 << 20);
  device.set_read_bytes_per_second(42e9);
  v1::DeviceShare& share = *plan.add_shares();
  share.set_host("attic");
  share.set_device("cpu");
  share.set_wait_us(1'000'000);
  v1::LinkStatus& link = *look.cluster.add_links();
  link.set_from("attic");
  link.set_to("den\x1b[2J");
  link.set_round_trip_us(250);
  link.set_bytes_per_second(117e6);
  return look;
}

TEST(TopTextTest, FirstLookShowsWhatIs) {
  EXPECT_EQ(
      TopText(Look(), nullptr, 200, 0),
      "MODEL                    STATE      STREAMS  WAITING    TOK/S   1 STREAM  CONTEXT IN USE\n"
      "demo                     ready            3        2                50.0  [#####...............]  25 "
      "%\n"
      "\n"
      "HOST                 STATE    DEVICE         WEIGHTS                             READS   AWAITED\n"
      "attic                alive    cpu            [#####...............]  25 %       42.0 G          \n"
      "\n"
      "LINK                                         ROUND TRIP    BANDWIDTH\n"
      "attic - den\\x1b[2J                              0.25 ms     117 MB/s\n");
}

TEST(TopTextTest, SecondLookShowsSpeedsSinceTheFirst) {
  const TopLook before = Look();
  TopLook now = Look();
  now.seconds = 2;
  now.models.mutable_models(0)->set_tokens_generated(163);
  now.cluster.mutable_plans(0)->mutable_shares(0)->set_wait_us(1'500'000);
  const std::string text = TopText(now, &before, 200, 0);
  EXPECT_THAT(text, HasSubstr("    31.5       50.0"));
  EXPECT_THAT(text, HasSubstr("42.0 G      25 %\n"));
}

TEST(TopTextTest, CountersThatBeganAnewGiveNoSpeed) {
  TopLook before = Look();
  before.models.mutable_models(0)->set_tokens_generated(1000);
  before.cluster.mutable_plans(0)->mutable_shares(0)->set_wait_us(9'000'000);
  TopLook now = Look();
  now.seconds = 1;
  EXPECT_EQ(TopText(now, &before, 200, 0), TopText(Look(), nullptr, 200, 0));
  EXPECT_EQ(TopText(Look(), &before, 200, 0), TopText(Look(), nullptr, 200, 0)) << "no time has passed";
}

TEST(TopTextTest, TroublesAndTransfersAreShown) {
  TopLook look = Look();
  look.cluster.mutable_hosts(0)->set_state(v1::HOST_STATE_LOST);
  v1::TransferStatus& transfer = *look.cluster.add_transfers();
  transfer.set_host("attic");
  transfer.set_model("demo");
  transfer.set_bytes_done(1 << 20);
  transfer.set_bytes_total(2 << 20);
  const std::string text = TopText(look, nullptr, 200, 0);
  EXPECT_THAT(text, HasSubstr("attic gets 2.0 MiB of demo [##########..........]  50 %\n"));
  EXPECT_THAT(text, HasSubstr("attic                LOST"));
  EXPECT_THAT(text, HasSubstr("Machine attic is lost for 0 s"));
}

TEST(TopTextTest, NothingIsShownAsNothing) {
  EXPECT_THAT(TopText({}, nullptr, 200, 0), HasSubstr("none; load one"));
}

TEST(TopTextTest, PictureFitsTheTerminal) {
  TopLook look = Look();
  look.models.mutable_models(0)->set_name("Büro");
  EXPECT_EQ(TopText(look, nullptr, 2, 2), "MO\nB\n");
  EXPECT_THAT(TopText(look, nullptr, 200, 3), Not(HasSubstr("HOST")));
}

}  // namespace
}  // namespace hearth
