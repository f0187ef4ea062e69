#include "placement/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::HasSubstr;

void ExpectRefused(const Model& model, const std::string& message) {
  const absl::Status status = ValidateModel(model);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST(GroupTest, FrequencyAppliesToFiringBytesOnly) {
  const Group group{.neurons = 8, .always_bytes = 100, .firing_bytes = 200, .frequency = 0.25};
  EXPECT_EQ(group.memory_bytes(), 300u);
  EXPECT_DOUBLE_EQ(group.expected_bytes(), 150);
}

TEST(GroupBytesTest, SumsAllLayers) { EXPECT_EQ(GroupBytes(DenseModel(3, 4, 10)), 120u); }

TEST(ValidateModelTest, PlausibleModelIsAccepted) { EXPECT_TRUE(ValidateModel(DenseModel(2, 2, 100)).ok()); }

TEST(ValidateModelTest, NoLayersIsRefused) { ExpectRefused({}, "no sections"); }

TEST(ValidateModelTest, NanFrequencyIsRefusedWithItsPlace) {
  Model model = DenseModel(2, 3, 100);
  model.sections[1].groups[2].frequency = std::nan("");
  ExpectRefused(model, "section 1, group 2: frequency is nan, expected 0 to 1");
}

TEST(ValidateModelTest, FrequencyAboveOneIsRefused) {
  Model model = DenseModel(1, 1, 100);
  model.sections[0].groups[0].frequency = 1.5;
  ExpectRefused(model, "frequency is 1.5");
}

TEST(ValidateModelTest, NegativeOperationsAreRefused) {
  Model model = DenseModel(1, 1, 100);
  model.sections[0].groups[0].operations_per_byte = -2;
  ExpectRefused(model, "operations_per_byte is -2");
  model = DenseModel(1, 1, 100);
  model.leader_operations_per_token = std::nan("");
  ExpectRefused(model, "leader_operations_per_token");
}

TEST(ValidateModelTest, SizesThatWouldOverflowAreRefused) {
  ExpectRefused(DenseModel(1, 1, ~uint64_t{0}), "larger than any memory");
  ExpectRefused(DenseModel(64, 64, uint64_t{1} << 59), "larger than any memory");
  Model model = DenseModel(1, 1, 100);
  model.leader_memory_bytes = ~uint64_t{0};
  ExpectRefused(model, "larger than any memory");
}

}  // namespace
}  // namespace hearth::placement
