#include "engine/neuron/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>

namespace hearth {
namespace {

using ::testing::HasSubstr;

FfnLayerSpec Layer(std::vector<uint32_t> block_neurons) {
  FfnLayerSpec layer;
  layer.block_neurons = std::move(block_neurons);
  return layer;
}

TEST(Profile, FileWithoutProfileGivesAnEmptyOne) {
  const auto profile = ReadProfile(GgufMetadata(), {Layer({4}), Layer({4})});
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->tokens, 0u);
  EXPECT_TRUE(profile->frequencies[1].empty());
}

TEST(Profile, ReadsFrequenciesPerLayer) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.tokens", uint64_t{1000});
  metadata.Set("hearth.profile.1", std::vector<float>{0.5f, 1.0f});
  const auto profile = ReadProfile(metadata, {Layer({2}), Layer({2})});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->tokens, 1000u);
  EXPECT_EQ(profile->frequencies[1], (std::vector<float>{0.5f, 1.0f}));
}

TEST(Profile, RefusesALengthThatIsNotTheLayers) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.0", std::vector<float>{0.5f});
  EXPECT_THAT(std::string(ReadProfile(metadata, {Layer({2})}).status().message()), HasSubstr("2 neurons"));
}

TEST(Profile, ShareOfAnExpertIsThatOfItsNeurons) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.0", std::vector<float>{0.25f, 1.0f});
  const auto profile = ReadProfile(metadata, {Layer({2, 3})});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->frequencies[0], (std::vector<float>{0.25f, 0.25f, 1.0f, 1.0f, 1.0f}));
}

TEST(Profile, RefusesANumberThatIsNone) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.0", std::vector<float>{0.5f, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_THAT(std::string(ReadProfile(metadata, {Layer({2})}).status().message()), HasSubstr("no share"));
}

TEST(Profile, RefusesAShareAboveOne) {
  GgufMetadata metadata;
  metadata.Set("hearth.profile.0", std::vector<float>{0.5f, 1.5f});
  EXPECT_EQ(ReadProfile(metadata, {Layer({2})}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
