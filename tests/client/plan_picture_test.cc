#include "client/command/plan_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void AddShare(v1::PlanStatus& plan, const std::string& host, const std::vector<uint64_t>& neurons,
              const std::vector<uint64_t>& computed, const std::vector<uint64_t>& offered) {
  v1::DeviceShare& share = *plan.add_shares();
  share.set_host(host);
  share.set_device("cpu");
  share.set_weight_bytes(3 << 20);
  for (const uint64_t n : neurons) share.add_neurons(n);
  for (const uint64_t n : computed) share.add_neurons_computed(n);
  for (const uint64_t n : offered) share.add_neurons_offered(n);
}

v1::PlanStatus PlanOfTwoLayers() {
  v1::PlanStatus plan;
  plan.set_model("demo");
  plan.set_epoch(3);
  plan.set_layers(2);
  plan.set_expected_token_ms(1.5);
  return plan;
}

// How often `part` occurs.
int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(PlanPictureTest, EveryLayerIsCutAmongTheDevicesThatHoldIt) {
  v1::PlanStatus plan = PlanOfTwoLayers();
  AddShare(plan, "a", {300, 400}, {}, {});
  AddShare(plan, "b", {100, 0}, {}, {});
  const std::string svg = PlanPicture(plan);
  EXPECT_EQ(Count(svg, "<rect x="), 3 + 2) << "a bar for each part, and a box of the legend for each device";
  EXPECT_THAT(svg, HasSubstr("width=\"372.0\""));  // three quarters of a bar of 496
  EXPECT_THAT(svg, HasSubstr("width=\"124.0\""));
  EXPECT_THAT(svg, HasSubstr("width=\"496.0\""));
  EXPECT_THAT(svg, HasSubstr("a/cpu"));
  EXPECT_THAT(svg, HasSubstr("3.0 MiB, 700 neurons, 0 head groups"));
  EXPECT_THAT(svg, HasSubstr("Plan 3 of demo: 1.50 ms per token expected<"));
}

TEST(PlanPictureTest, HotDevicesStandLeftOfColdOnesAndAreDarker) {
  v1::PlanStatus plan = PlanOfTwoLayers();
  AddShare(plan, "cold", {200}, {20}, {2000});
  AddShare(plan, "hot", {100}, {900}, {1000});
  const std::string svg = PlanPicture(plan);
  EXPECT_LT(svg.find("fill-opacity=\"0.92\""), svg.find("fill-opacity=\"0.16\""));
  EXPECT_THAT(svg, Not(HasSubstr("fill-opacity=\"1.00\"")));
}

TEST(PlanPictureTest, PlanWithoutFiguresHasNoBars) {
  v1::PlanStatus plan = PlanOfTwoLayers();
  plan.set_layers(4'000'000'000);  // whatever a daemon says
  plan.add_shares()->set_host("b");
  const std::string svg = PlanPicture(plan);
  EXPECT_EQ(Count(svg, "fill-opacity"), 0);
  EXPECT_THAT(svg, HasSubstr("</svg>"));
}

TEST(PlanPictureTest, WhatOthersWroteIsNeitherMarkupNorControl) {
  v1::PlanStatus plan = PlanOfTwoLayers();
  plan.set_model("<script>&\x1b");
  AddShare(plan, "</text><a>", {1}, {}, {});
  const std::string svg = PlanPicture(plan);
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;&amp;"));
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, Not(HasSubstr("<a>")));
  EXPECT_THAT(svg, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace hearth
