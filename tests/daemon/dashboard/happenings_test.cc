#include "daemon/dashboard/happenings.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StrEq;

v1::HostStatus& AddHost(HomeState& state, const std::string& name, v1::HostState host_state,
                        const std::string& detail = "") {
  v1::HostStatus& host = *state.cluster.add_hosts();
  host.set_name(name);
  host.set_state(host_state);
  host.set_detail(detail);
  return host;
}

v1::PlanStatus& AddPlan(HomeState& state, uint64_t epoch, const std::vector<std::string>& hosts) {
  v1::PlanStatus& plan = *state.cluster.add_plans();
  plan.set_model("m");
  plan.set_epoch(epoch);
  plan.set_active(true);
  plan.set_expected_token_ms(2.5);
  for (const std::string& host : hosts) plan.add_shares()->set_host(host);
  return plan;
}

void AddModel(HomeState& state, v1::ModelState model_state, const std::string& detail = "") {
  v1::ModelStatus& model = *state.models.add_models();
  model.set_name("m");
  model.set_state(model_state);
  model.set_detail(detail);
}

std::vector<std::string> Texts(const HomeState& before, const HomeState& after) {
  std::vector<std::string> texts;
  for (const Happening& happening : HappeningsBetween(before, after)) texts.push_back(happening.text);
  return texts;
}

TEST(HappeningsTest, SameStateIsNoNews) {
  HomeState state;
  AddHost(state, "attic", v1::HOST_STATE_ALIVE);
  AddModel(state, v1::MODEL_STATE_READY);
  AddPlan(state, 1, {"attic"});
  EXPECT_THAT(HappeningsBetween(state, state), IsEmpty());
}

TEST(HappeningsTest, HostsComeAreLostAndComeBack) {
  HomeState none, joining, alive, lost;
  AddHost(joining, "cellar", v1::HOST_STATE_JOINING, "measuring the link");
  AddHost(alive, "cellar", v1::HOST_STATE_ALIVE);
  AddHost(lost, "cellar", v1::HOST_STATE_LOST, "no sync for 2 s");
  EXPECT_THAT(Texts(none, joining), ElementsAre("cellar is joining: measuring the link"));
  EXPECT_THAT(Texts(joining, alive), ElementsAre("cellar is there"));
  EXPECT_THAT(Texts(alive, lost), ElementsAre("cellar is lost: no sync for 2 s"));
  EXPECT_EQ(HappeningsBetween(alive, lost)[0].kind, "host-lost");
  EXPECT_THAT(Texts(lost, alive), ElementsAre("cellar is back"));
  EXPECT_THAT(Texts(alive, none), ElementsAre("cellar has left"));
}

TEST(HappeningsTest, HostThatIsWokenIsToldOnce) {
  HomeState none, away, woken, alive;
  AddHost(alive, "cellar", v1::HOST_STATE_ALIVE);
  away.cluster.add_away()->set_name("cellar");
  *woken.cluster.add_away() = away.cluster.away(0);
  woken.cluster.mutable_away(0)->set_woken_unix_seconds(1'800'000'000);
  EXPECT_THAT(Texts(none, away), IsEmpty());
  EXPECT_THAT(Texts(away, woken), ElementsAre("cellar is sent magic packets that wake it"));
  EXPECT_THAT(Texts(woken, woken), IsEmpty());
  HomeState asleep_again = woken;
  AddHost(asleep_again, "cellar", v1::HOST_STATE_LOST, "its stream has ended");
  EXPECT_THAT(Texts(alive, asleep_again), ElementsAre("cellar is lost: its stream has ended"));
}

TEST(HappeningsTest, ModelThatFailedSaysWhy) {
  HomeState none, loading, ready, failed;
  AddModel(loading, v1::MODEL_STATE_LOADING);
  AddModel(ready, v1::MODEL_STATE_READY);
  AddModel(failed, v1::MODEL_STATE_FAILED, "the file is cut off");
  EXPECT_THAT(Texts(none, loading), ElementsAre("m is being loaded"));
  EXPECT_THAT(Texts(loading, ready), ElementsAre("m is ready"));
  EXPECT_THAT(Texts(loading, failed), ElementsAre("m could not be loaded: the file is cut off"));
  EXPECT_EQ(HappeningsBetween(loading, failed)[0].kind, "model-failed");
  EXPECT_THAT(Texts(ready, none), ElementsAre("m is unloaded"));
}

TEST(HappeningsTest, PlanWithoutALostHostNamesIt) {
  HomeState before, after;
  AddHost(before, "cellar", v1::HOST_STATE_LOST);
  AddHost(after, "cellar", v1::HOST_STATE_LOST);
  AddPlan(before, 1, {"attic", "cellar"});
  AddPlan(after, 2, {"attic"});
  EXPECT_THAT(Texts(before, after),
              ElementsAre("Plan 2 of m is in use: 2.5 ms per token expected; now without cellar, "
                          "which is lost."));
  EXPECT_THAT(Texts(after, before),
              ElementsAre("Plan 1 of m is in use: 2.5 ms per token expected; now with cellar."));
}

TEST(HappeningsTest, PlanThatLeavesAHostOutGivesItsReason) {
  HomeState before, after;
  AddHost(before, "cellar", v1::HOST_STATE_ALIVE);
  AddHost(after, "cellar", v1::HOST_STATE_ALIVE);
  AddPlan(before, 1, {"attic", "cellar"});
  AddPlan(after, 2, {"attic"}).set_explanation("One token.\nHost cellar gets nothing: its link is slow.\n");
  EXPECT_THAT(Texts(before, after),
              ElementsAre("Plan 2 of m is in use: 2.5 ms per token expected; now without cellar. "
                          "Host cellar gets nothing: its link is slow."));
}

TEST(HappeningsTest, WhatOthersWroteIsPrintable) {
  HomeState none, state;
  AddHost(state, "cellar", v1::HOST_STATE_LOST, "gone\n\u202e<script>");
  EXPECT_THAT(Texts(none, state), ElementsAre(StrEq("cellar is lost: gone\\n\\u{202e}<script>")));
}

TEST(HappeningsTest, PlanOfManyHostsNamesAFew) {
  HomeState before, after;
  std::vector<std::string> hosts;
  for (int i = 0; i < 1000; ++i) hosts.push_back("host" + std::to_string(i));
  AddPlan(before, 1, {"attic"});
  AddPlan(after, 2, hosts);
  EXPECT_LT(Texts(before, after)[0].size(), 200u);
}

}  // namespace
}  // namespace hearth
