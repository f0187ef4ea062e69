#include "engine/tools/powerinfer_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/powerinfer_files.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Tensors = std::vector<std::pair<std::string, std::vector<int32_t>>>;

FfnLayerSpec LayerOf(std::vector<uint32_t> block_neurons) {
  FfnLayerSpec layer;
  layer.n_embd = 8;
  layer.block_neurons = std::move(block_neurons);
  return layer;
}

// Two layers of four neurons.
class PowerInferProfileTest : public ::testing::Test {
 protected:
  PowerInferProfileTest() { std::filesystem::create_directory(folder_); }
  ~PowerInferProfileTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name) << bytes;
  }
  void WriteCounts(const std::vector<float>& first, const std::vector<float>& second) {
    Write("activation_0.pt", TorchFile(first));
    Write("activation_1.pt", TorchFile(second));
  }
  absl::StatusOr<PowerInferProfile> ReadFolder(uint64_t tokens = 0) {
    return ReadPowerInferProfile(folder_, layers_, tokens);
  }
  absl::StatusOr<PowerInferProfile> ReadIndex(const Tensors& tensors, uint32_t type = 18) {
    Write("m.gpuidx", IntegerFile(tensors, type));
    return ReadPowerInferProfile(folder_ + "/m.gpuidx", layers_, 0);
  }
  static void ExpectRefused(const absl::Status& status, const std::string& message) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    EXPECT_EQ(std::string(status.message()).find('\n'), std::string::npos);
  }

  const std::string folder_ = ::testing::TempDir() + "hearth_powerinfer_profile";
  std::vector<FfnLayerSpec> layers_ = {LayerOf({4}), LayerOf({4})};
};

TEST_F(PowerInferProfileTest, CountsBecomeSharesOfTheTokens) {
  WriteCounts({10, 0, 5, 2}, {1, 2, 3, 8});
  const PowerInferProfile profile = ReadFolder(/*tokens=*/20).value();
  EXPECT_EQ(profile.tokens, 20u);
  EXPECT_THAT(profile.shares,
              ElementsAre(ElementsAre(0.5f, 0, 0.25f, 0.1f), ElementsAre(0.05f, 0.1f, 0.15f, 0.4f)));
}

TEST_F(PowerInferProfileTest, TheNeuronThatFiredMostIsTakenToFireAlways) {
  WriteCounts({10, 0, 5, 2}, {1, 2, 3, 8});
  const PowerInferProfile profile = ReadFolder().value();
  EXPECT_EQ(profile.tokens, 10u);
  EXPECT_THAT(profile.shares[1], ElementsAre(0.1f, 0.2f, 0.3f, 0.8f));
}

TEST_F(PowerInferProfileTest, SharesStayAsTheyAre) {
  WriteCounts({0.5f, 0, 1, 0.25f}, {0, 0, 0, 0.125f});
  const PowerInferProfile profile = ReadFolder().value();
  EXPECT_EQ(profile.tokens, 0u);
  EXPECT_THAT(profile.shares[0], ElementsAre(0.5f, 0, 1, 0.25f));
}

TEST_F(PowerInferProfileTest, LayersWithoutNeuronsNeedNoCounts) {
  layers_[0] = LayerOf({});
  Write("activation_1.pt", TorchFile({1, 2, 3, 4}));
  EXPECT_THAT(ReadFolder().value().shares, ElementsAre(IsEmpty(), ElementsAre(0.25f, 0.5f, 0.75f, 1)));
}

TEST_F(PowerInferProfileTest, CountsOfAnotherModelAreRefused) {
  EXPECT_THAT(std::string(ReadFolder().status().message()), HasSubstr("activation_0.pt"));
  WriteCounts({1, 2, 3}, {1, 2, 3});
  ExpectRefused(ReadFolder().status(), "has 3 neurons, but layer 0 of the model has 4");
  WriteCounts({1, 2, 3, 4}, {1, 2, 3, 4});
  Write("activation_2.pt", TorchFile({1, 2, 3, 4}));
  ExpectRefused(ReadFolder().status(), "the model has only 2 layers");
  layers_[1] = LayerOf({2, 2});
  ExpectRefused(ReadFolder().status(), "experts");
}

TEST_F(PowerInferProfileTest, ValuesThatAreNoCountsAreRefused) {
  for (const float bad : {-1.0f, std::nanf(""), INFINITY, 1e20f}) {
    WriteCounts({1, 2, 3, 4}, {1, bad, 3, 4});
    ExpectRefused(ReadFolder().status(), "counts nothing");
  }
  WriteCounts({0, 0, 0, 0}, {0, 0, 0, 0});
  ExpectRefused(ReadFolder().status(), "no neuron has fired");
  WriteCounts({1, 2, 3, 4}, {1, 2, 3, 400});
  ExpectRefused(ReadFolder(/*tokens=*/100).status(), "400 tokens, more than the 100");
}

TEST_F(PowerInferProfileTest, FilesThatHoldNoTensorAreRefused) {
  WriteCounts({1, 2, 3, 4}, {1, 2, 3, 4});
  Write("activation_1.pt", "cos\nsystem\n(S'true'\ntR.");
  ExpectRefused(ReadFolder().status(), "activation_1.pt: it is no zip archive");
}

TEST_F(PowerInferProfileTest, AGpuIndexTellsHotFromCold) {
  for (const uint32_t type : {18, 26}) {
    const PowerInferProfile profile =
        ReadIndex(
            {{"blk.0.gpu_idx", {1, 0, 0, 1}}, {"blk.0.gpu_bucket", {0, 3}}, {"blk.1.gpu_idx", {0, 0, 0, 0}}},
            type)
            .value();
    EXPECT_EQ(profile.tokens, 0u);
    EXPECT_THAT(profile.shares[0], ElementsAre(kHotShare, kColdShare, kColdShare, kHotShare));
    EXPECT_THAT(profile.shares[1], ElementsAre(kColdShare, kColdShare, kColdShare, kColdShare));
  }
}

TEST_F(PowerInferProfileTest, GpuIndexesThatDoNotFitAreRefused) {
  ExpectRefused(ReadIndex({{"blk.0.gpu_idx", {1, 0, 0, 1}}}).status(), "has no blk.1.gpu_idx");
  ExpectRefused(ReadIndex({{"blk.0.gpu_idx", {1, 0, 0}}}).status(), "has 3 neurons");
  ExpectRefused(ReadIndex({{"blk.0.gpu_idx", {1, 0, 2, 0}}}).status(), "holds 2, neither 0 nor 1");
  ExpectRefused(ReadIndex({{"blk.0.gpu_idx", {1, 0, 0, 1}}, {"blk.0.gpu_bucket", {0, 2}}}).status(),
                "lists other neurons");
  ExpectRefused(ReadIndex({{"blk.2.gpu_idx", {1, 0, 0, 1}}}).status(), "only 2 layers");
  ExpectRefused(ReadIndex({{"blk.0.gpu_idx", {1, 0, 0, 1}}}, /*type=*/0).status(), "not of 32-bit integers");
}

TEST_F(PowerInferProfileTest, OtherFilesAreRefused) {
  Write("m.gpuidx", "hello");
  ExpectRefused(ReadPowerInferProfile(folder_ + "/m.gpuidx", layers_, 0).status(), "m.gpuidx");
  EXPECT_FALSE(ReadPowerInferProfile(folder_ + "/nothing", layers_, 0).ok());
}

}  // namespace
}  // namespace hearth
