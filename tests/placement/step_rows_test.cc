#include "placement/step_rows.h"

#include <gtest/gtest.h>

#include "placement/plan_time.h"
#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

TEST(WithRows, OneRowIsTheModel) {
  const Model model = DenseModel(1, 4, 10000);
  EXPECT_DOUBLE_EQ(WithRows(model, 1).sections[0].groups[0].expected_bytes(),
                   model.sections[0].groups[0].expected_bytes());
  EXPECT_EQ(WithRows(model, 1).sections[0].sent_bytes, model.sections[0].sent_bytes);
}

TEST(WithRows, WeightsAreReadOnceUntilArithmeticTakesLonger) {
  Device device = Cpu("cpu");  // 1e9 bytes a second
  device.operations_per_s = 1e10;
  const Model model = DenseModel(1, 1, 10000);
  const auto us = [&](uint32_t rows) {
    return GroupUs(device, WithRows(model, rows).sections[0].groups[0], 0);
  };
  EXPECT_DOUBLE_EQ(us(1), 10);
  EXPECT_DOUBLE_EQ(us(5), 10);
  EXPECT_DOUBLE_EQ(us(50), 100);
}

TEST(WithRows, NeuronsAreReadWhereAnyRowFiresThemAndComputedForThose) {
  Model model = DenseModel(1, 1, 0);
  Group& group = model.sections[0].groups[0];
  group.always_bytes = 0;
  group.firing_bytes = 1000;
  group.frequency = 0.5;
  const Group two = WithRows(model, 2).sections[0].groups[0];
  EXPECT_DOUBLE_EQ(two.expected_bytes(), 750);
  EXPECT_DOUBLE_EQ(two.expected_bytes() * two.operations_per_byte, 2 * 500 * group.operations_per_byte);
  EXPECT_EQ(two.memory_bytes(), group.memory_bytes());
}

TEST(WithRows, CachesAndWhatTravelsAreOfEachRow) {
  Model model = DenseModel(1, 1, 1000);
  Section& section = model.sections[0];
  section.sent_bytes = 40;
  section.returned_bytes = 80;
  section.groups[0].returned_bytes = 7;
  section.groups[0].cache_read_bytes = 300;
  model.leader_operations_per_token = 11;
  const Model four = WithRows(model, 4);
  EXPECT_EQ(four.sections[0].sent_bytes, 160u);
  EXPECT_EQ(four.sections[0].returned_bytes, 320u);
  EXPECT_EQ(four.sections[0].groups[0].returned_bytes, 28u);
  EXPECT_DOUBLE_EQ(four.sections[0].groups[0].expected_bytes(), 1000 + 1200);
  EXPECT_DOUBLE_EQ(four.leader_operations_per_token, 44);
  EXPECT_EQ(four.leader_bytes_per_token, model.leader_bytes_per_token);
}

TEST(WithPromptRows, CacheIsReadOnceAndOnlyTheLastRowGivesLogits) {
  Model model = WholeModel(1, 1, 1000);
  for (Section& section : model.sections) section.groups[0].cache_read_bytes = 300;
  const Model four = WithPromptRows(model, 4);
  const Group &one_group = model.sections[0].groups[0], &group = four.sections[0].groups[0];
  EXPECT_DOUBLE_EQ(group.expected_bytes(), 1300);
  EXPECT_DOUBLE_EQ(group.expected_bytes() * group.operations_per_byte,
                   4 * one_group.expected_bytes() * one_group.operations_per_byte);
  EXPECT_EQ(four.sections[0].sent_bytes, 4 * model.sections[0].sent_bytes);
  EXPECT_EQ(four.sections[1].returned_bytes, 4 * model.sections[1].returned_bytes);
  EXPECT_EQ(four.sections[2].sent_bytes, model.sections[2].sent_bytes);
  EXPECT_DOUBLE_EQ(four.sections[2].groups[0].operations_per_byte,
                   model.sections[2].groups[0].operations_per_byte);
  EXPECT_EQ(GroupBytes(four), GroupBytes(model));
  EXPECT_EQ(WithPromptRows(model, 1).sections[0].sent_bytes, model.sections[0].sent_bytes);
}

TEST(WithRows, GroupThatNobodyReadsStaysSo) {
  Model model = DenseModel(1, 1, 0);
  model.sections[0].groups[0] = {};
  EXPECT_DOUBLE_EQ(WithRows(model, 8).sections[0].groups[0].expected_bytes(), 0);
}

}  // namespace
}  // namespace hearth::placement
