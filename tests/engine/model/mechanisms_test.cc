// Every mechanism of the generic layer against an oracle in numpy (tests/fixtures/make_model_fixtures.py).
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/fixture.h"

namespace hearth {
namespace {

using ::testing::SizeIs;

// Float32 sums over 2 layers; the logits' standard deviation is about 1.
constexpr float kTolerance = 2e-5f;

std::vector<std::string> FixtureNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(FixturePath(""))) {
    if (entry.path().extension() == ".gguf") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class MechanismTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::vector<float> Evaluate(int devices, size_t chunk) {
    absl::StatusOr<Runtime> runtime = OpenFixture(GetParam(), pool_, devices);
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    if (!runtime.ok()) return {};
    absl::StatusOr<std::vector<float>> logits = runtime->Evaluate(FixtureTokens(), chunk);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return logits.ok() ? *logits : std::vector<float>();
  }

  ThreadPool pool_{2};
};

TEST_P(MechanismTest, GivesTheOraclesLogits) {
  const absl::StatusOr<NpyArray> expected = ReadNpy(FixturePath(GetParam() + ".npy"));
  ASSERT_TRUE(expected.ok()) << expected.status();
  const std::vector<float> logits = Evaluate(1, 32);
  ASSERT_THAT(logits, SizeIs(expected->values.size()));
  for (size_t i = 0; i < logits.size(); ++i) {
    ASSERT_NEAR(logits[i], expected->values[i], kTolerance) << "position " << i / expected->cols;
  }
}

TEST_P(MechanismTest, GivesTheSameBitsInPiecesAndOneByOne) {
  const std::vector<float> at_once = Evaluate(1, 32);
  EXPECT_EQ(Evaluate(1, 5), at_once);
  EXPECT_EQ(Evaluate(1, 1), at_once);
}

TEST_P(MechanismTest, GivesTheSameBitsOnSeveralDevices) { EXPECT_EQ(Evaluate(3, 32), Evaluate(1, 32)); }

INSTANTIATE_TEST_SUITE_P(AllFixtures, MechanismTest, ::testing::ValuesIn(FixtureNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace hearth
