#include "engine/neuron/ffn_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

namespace hearth {
namespace {

using ::testing::HasSubstr;

using Change = std::function<void(FfnLayerSpec&)>;

FfnLayerSpec GoodSpec() {
  FfnLayerSpec spec;
  spec.n_embd = 64;
  spec.block_neurons = {96};
  spec.gate = spec.up = spec.down = {true, TensorType::kQ8_0};
  return spec;
}

void ExpectGood(const Change& change) {
  FfnLayerSpec spec = GoodSpec();
  change(spec);
  EXPECT_EQ(CheckFfnSpec(spec), absl::OkStatus());
}

void ExpectRefused(const Change& change, absl::StatusCode code, const std::string& about) {
  FfnLayerSpec spec = GoodSpec();
  change(spec);
  const absl::Status status = CheckFfnSpec(spec);
  EXPECT_EQ(status.code(), code) << about;
  EXPECT_THAT(std::string(status.message()), HasSubstr(about));
}

void ExpectInvalid(const Change& change, const std::string& about) {
  ExpectRefused(change, absl::StatusCode::kInvalidArgument, about);
}

void ExpectUnknown(const Change& change, const std::string& about) {
  ExpectRefused(change, absl::StatusCode::kUnimplemented, about);
}

TEST(CheckFfnSpecTest, LayersThatModelsHaveAreFine) {
  ExpectGood([](FfnLayerSpec&) {});
  ExpectGood([](FfnLayerSpec& s) { s.gate.present = false; });
  ExpectGood([](FfnLayerSpec& s) { s.gate_bias = s.up_bias = s.down_bias = true; });
  ExpectGood([](FfnLayerSpec& s) { s.activation = Activation::kSwigluOai; });
  ExpectGood([](FfnLayerSpec& s) { s.normalize_hidden = true, s.normalize_epsilon = 1e-5f; });
  ExpectGood([](FfnLayerSpec& s) { s.block_neurons.assign(128, 32); });
  ExpectGood([](FfnLayerSpec& s) { s.predictor_rank = 32, s.predictor_type = TensorType::kQ4_0; });
  ExpectGood([](FfnLayerSpec& s) { s.neuron_major = true, s.block_neurons = {33}; });
}

TEST(CheckFfnSpecTest, AdaptersAreForDenseLayersStoredByOutput) {
  ExpectGood([](FfnLayerSpec& s) { s.gate_rank = 3, s.up_rank = 16, s.down_rank = 1; });
  ExpectGood([](FfnLayerSpec& s) { s.gate.present = false, s.up_rank = 16; });
  ExpectUnknown([](FfnLayerSpec& s) { s.gate.present = false, s.gate_rank = 3; }, "no gate");
  ExpectUnknown([](FfnLayerSpec& s) { s.neuron_major = true, s.up_rank = 3; }, "LoRA");
  ExpectUnknown([](FfnLayerSpec& s) { s.normalize_hidden = true, s.down_rank = 3; }, "LoRA");
  ExpectUnknown([](FfnLayerSpec& s) { s.block_neurons = {32, 32}, s.down_rank = 3; }, "LoRA");
  ExpectUnknown([](FfnLayerSpec& s) { s.predictor_rank = 8, s.up_rank = 3; }, "LoRA");
  ExpectInvalid([](FfnLayerSpec& s) { s.down_rank = ~0u; }, "adapter of rank");
}

TEST(CheckFfnSpecTest, CountsThatCannotBeAreRefused) {
  ExpectInvalid([](FfnLayerSpec& s) { s.n_embd = 0; }, "n_embd is 0");
  ExpectInvalid([](FfnLayerSpec& s) { s.n_embd = ~0u; }, "n_embd");
  ExpectInvalid([](FfnLayerSpec& s) { s.block_neurons.clear(); }, "number of blocks is 0");
  ExpectInvalid([](FfnLayerSpec& s) { s.block_neurons.assign(70000, 32); }, "number of blocks");
  ExpectInvalid([](FfnLayerSpec& s) { s.block_neurons = {32, 0}; }, "block's size is 0");
  ExpectInvalid([](FfnLayerSpec& s) { s.block_neurons = {~31u}; }, "block's size");
  ExpectInvalid([](FfnLayerSpec& s) { s.predictor_rank = ~0u; }, "predictor_rank");
}

TEST(CheckFfnSpecTest, TypesThatAreUnknownOrDoNotDivideRowsAreRefused) {
  const TensorType unknown = static_cast<TensorType>(9999);
  ExpectInvalid([&](FfnLayerSpec& s) { s.gate.type = unknown; }, "gate is of the unknown element type 9999");
  ExpectInvalid([&](FfnLayerSpec& s) { s.up.type = unknown; }, "up");
  ExpectInvalid([&](FfnLayerSpec& s) { s.down.type = unknown; }, "down");
  ExpectInvalid([&](FfnLayerSpec& s) { s.shared_types = true, s.shared_up_type = unknown; }, "up");
  ExpectInvalid([&](FfnLayerSpec& s) { s.predictor_rank = 8, s.predictor_type = unknown; }, "predictor");
  ExpectInvalid([](FfnLayerSpec& s) { s.up.type = TensorType::kQ4_K; }, "up: rows of 64 values");
  ExpectInvalid([](FfnLayerSpec& s) { s.block_neurons = {97}; }, "down: rows of 97 values");
  ExpectInvalid([](FfnLayerSpec& s) { s.block_neurons = {96, 33}; }, "down: rows of 33 values");
  ExpectInvalid([](FfnLayerSpec& s) { s.predictor_rank = 33, s.predictor_type = TensorType::kQ8_0; },
                "predictor: rows of 33 values");
}

TEST(CheckFfnSpecTest, MatricesThatAreNeededAreNamed) {
  ExpectInvalid([](FfnLayerSpec& s) { s.up.present = false; }, "up and down");
  ExpectInvalid([](FfnLayerSpec& s) { s.down.present = false; }, "up and down");
}

TEST(CheckFfnSpecTest, CombinationsThatNoDeviceComputesAreRefused) {
  ExpectUnknown([](FfnLayerSpec& s) { s.gate.present = false, s.activation = Activation::kSwigluOai; },
                "SWIGLU_OAI and no gate");
  ExpectUnknown([](FfnLayerSpec& s) { s.gate.present = false, s.gate_bias = true; }, "bias of the gate");
  ExpectUnknown([](FfnLayerSpec& s) { s.gate.present = false, s.relu_up = true; }, "ReLU on up");
  ExpectUnknown([](FfnLayerSpec& s) { s.normalize_hidden = s.neuron_major = true; }, "stored by neuron");
  ExpectUnknown(
      [](FfnLayerSpec& s) {
        s.normalize_hidden = true, s.block_neurons = {32, 32};
      },
      "several blocks");
  ExpectUnknown([](FfnLayerSpec& s) { s.predictor_rank = 8, s.block_neurons = {32, 32}; }, "a predictor");
  ExpectInvalid([](FfnLayerSpec& s) { s.activation = static_cast<Activation>(77); }, "activation");
}

TEST(CheckFfnSpecTest, ConstantsThatAreNoNumbersAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  ExpectInvalid([&](FfnLayerSpec& s) { s.gate_scale = nan; }, "scale");
  ExpectInvalid([&](FfnLayerSpec& s) { s.up_scale = infinity; }, "scale");
  ExpectInvalid([&](FfnLayerSpec& s) { s.down_scale = -infinity; }, "scale");
  ExpectInvalid([&](FfnLayerSpec& s) { s.sparse_threshold = nan; }, "sparse_threshold");
  ExpectInvalid([&](FfnLayerSpec& s) { s.normalize_epsilon = nan; }, "normalize_epsilon");
  ExpectInvalid([&](FfnLayerSpec& s) { s.normalize_epsilon = -1; }, "normalize_epsilon");
  ExpectInvalid([&](FfnLayerSpec& s) { s.activation_parameters.alpha = nan; }, "activation");
  ExpectInvalid([&](FfnLayerSpec& s) { s.activation_parameters.xielu_eps = infinity; }, "activation");
}

}  // namespace
}  // namespace hearth
