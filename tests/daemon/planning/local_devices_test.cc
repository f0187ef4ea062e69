#include "daemon/planning/local_devices.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/decoder.h"

namespace hearth {
namespace {

class LocalDevicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::shared_ptr<const GgufFile> file = GgufFile::Open("deploy/demo_model/hearth-demo-q8_0.gguf").value();
    ModelOptions options;
    options.sparsity = SparsityMode::kExact;
    model_ = Model::Load(file, options, pool_).value();
    layers_ = model_->spec().n_layers;
  }

  // Group g of each layer goes to device pick(g).
  template <class Pick>
  std::vector<DeviceShare> Shares(size_t devices, Pick pick) const {
    placement::Assignment assignment(layers_);
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      for (uint32_t g = 0; g < model_->neuron_groups()[layer].size(); ++g)
        assignment[layer].push_back(pick(g));
    }
    std::vector<DeviceShare> shares;
    for (uint32_t d = 0; d < devices; ++d) shares.push_back(ShareOf(assignment, d));
    return shares;
  }

  LocalDevices Devices(size_t count) {
    std::vector<LocalDeviceSpec> specs;
    for (size_t i = 0; i < count; ++i) specs.push_back({"cpu" + std::to_string(i), 1});
    return LocalDevices(specs, pool_, layers_, SparsityMode::kExact, Arithmetic::kFast);
  }

  std::vector<float> LogitsWith(const LocalDevices& devices) {
    auto decoder = Decoder::Create(model_, {.context_length = 16, .max_rows = 4}, pool_).value();
    decoder->SetDevices(devices.devices());
    std::vector<BatchRow> rows = {{0, 0, 1, false}, {0, 1, 431, false}, {0, 2, 261, true}};
    std::vector<float> logits(model_->spec().n_vocab);
    EXPECT_TRUE(decoder->Step(rows, absl::MakeSpan(logits)).ok());
    return logits;
  }

  ThreadPool pool_{1};
  std::shared_ptr<const Model> model_;
  uint32_t layers_ = 0;
};

TEST_F(LocalDevicesTest, AnySplitGivesTheSameLogitsBitForBit) {
  LocalDevices one = Devices(1), three = Devices(3);
  ASSERT_TRUE(one.Load(*model_, Shares(1, [](uint32_t) { return 0; })).ok());
  ASSERT_TRUE(three.Load(*model_, Shares(3, [](uint32_t g) { return g % 3; })).ok());
  EXPECT_EQ(LogitsWith(one), LogitsWith(three));
}

TEST_F(LocalDevicesTest, DeviceWithoutAShareIsNotAsked) {
  LocalDevices devices = Devices(2);
  ASSERT_TRUE(devices.Load(*model_, Shares(2, [](uint32_t) { return 0; })).ok());
  EXPECT_FALSE(devices.devices()[1]->HoldsLayer(0));
  LogitsWith(devices);
  EXPECT_EQ(devices.devices()[1]->counters().bytes_touched, 0u);
}

TEST_F(LocalDevicesTest, NewSharesReplaceTheOldOnes) {
  LocalDevices devices = Devices(2), reference = Devices(1);
  ASSERT_TRUE(devices.Load(*model_, Shares(2, [](uint32_t) { return 0; })).ok());
  ASSERT_TRUE(devices.Load(*model_, Shares(2, [](uint32_t g) { return g % 2; })).ok());
  ASSERT_TRUE(reference.Load(*model_, Shares(1, [](uint32_t) { return 0; })).ok());
  EXPECT_EQ(LogitsWith(devices), LogitsWith(reference));
  EXPECT_EQ(devices.weight_bytes(), reference.weight_bytes());
}

TEST_F(LocalDevicesTest, OnlyLayersThatChangeAreReadAgain) {
  LocalDevices devices = Devices(2);
  std::vector<DeviceShare> shares = Shares(2, [](uint32_t g) { return g % 2; });
  uint64_t first_total = 0, second_total = 0;
  ASSERT_TRUE(devices.Load(*model_, shares, [&](uint64_t, uint64_t total) { first_total = total; }).ok());
  std::swap(shares[0][0], shares[1][0]);
  ASSERT_TRUE(devices.Load(*model_, shares, [&](uint64_t, uint64_t total) { second_total = total; }).ok());
  EXPECT_GT(second_total, 0u);
  EXPECT_LT(second_total, first_total / 2);
}

TEST_F(LocalDevicesTest, ProgressEndsAtTheTotal) {
  LocalDevices devices = Devices(2);
  std::vector<std::pair<uint64_t, uint64_t>> steps;
  const auto progress = [&](uint64_t done, uint64_t total) { steps.push_back({done, total}); };
  ASSERT_TRUE(devices.Load(*model_, Shares(2, [](uint32_t g) { return g % 2; }), progress).ok());
  ASSERT_EQ(steps.size(), layers_);
  EXPECT_LT(steps.front().first, steps.front().second);
  EXPECT_EQ(steps.back().first, steps.back().second);
}

TEST(ShareOfTest, ListsTheGroupsOfOneDevice) {
  EXPECT_EQ(ShareOf({{0, 1, 0}, {1, 1, 1}}, 0), (DeviceShare{{0, 2}, {}}));
  EXPECT_EQ(ShareOf({{0, 1, 0}, {1, 1, 1}}, 1), (DeviceShare{{1}, {0, 1, 2}}));
}

}  // namespace
}  // namespace hearth
