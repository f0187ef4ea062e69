#include "engine/tools/predictor_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace hearth {
namespace {

constexpr uint32_t kFitEmbd = 128, kFitNeurons = 512;
constexpr size_t kTokens = 600, kHeldOut = 200;

std::vector<float> Normal(size_t count, std::mt19937& random, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// (rows of a) x (rows of b), each of `cols` values, plus `shift`.
std::vector<float> Products(const std::vector<float>& a, const std::vector<float>& b, size_t cols,
                            float shift = 0) {
  std::vector<float> out;
  for (size_t i = 0; i < a.size(); i += cols) {
    for (size_t j = 0; j < b.size(); j += cols) {
      double sum = shift;
      for (size_t c = 0; c < cols; ++c) sum += double{a[i + c]} * b[j + c];
      out.push_back(static_cast<float>(sum));
    }
  }
  return out;
}

// A layer whose gate has `rank` directions that matter and `noise` in the others; a bias below zero lets few
// neurons fire. A neuron's mass is its activation.
PredictorTask Task(size_t rank, float noise, Activation activation = Activation::kRelu) {
  std::mt19937 random(1);
  PredictorTask task;
  task.n_embd = kFitEmbd;
  task.neurons = kFitNeurons;
  task.activation = activation;
  const std::vector<float> left = Normal(kFitNeurons * rank, random), right = Normal(kFitEmbd * rank, random);
  task.gate = Products(left, right, rank);
  const std::vector<float> rest = Normal(task.gate.size(), random, noise);
  for (size_t i = 0; i < rest.size(); ++i) task.gate[i] += rest[i];
  task.inputs = Normal(kTokens * kFitEmbd, random);
  task.held_out = Normal(kHeldOut * kFitEmbd, random);
  const float bias = -1.5f * std::sqrt(static_cast<float>(rank * kFitEmbd));
  task.bias.assign(kFitNeurons, bias);
  task.mass = Products(task.held_out, task.gate, kFitEmbd, bias);
  for (float& value : task.mass) {
    value = std::max(value, 0.0f);
    if (activation == Activation::kReluSquared) value *= value;
  }
  task.gate_bytes = task.rest_bytes = 4096;  // far more than a predictor reads
  return task;
}

// What the rule that a profile file documents leaves out and computes, in double precision.
struct Oracle {
  double kept = 0, lost = 0;

  Oracle(const PredictorTask& task, const Predictor& predictor) {
    double all = 0;
    for (size_t t = 0; t < kHeldOut; ++t) {
      const std::vector<float> x(task.held_out.begin() + t * kFitEmbd,
                                 task.held_out.begin() + (t + 1) * kFitEmbd);
      std::vector<float> hidden = Products(x, predictor.fc1, kFitEmbd);
      for (size_t r = 0; r < hidden.size(); ++r) hidden[r] += predictor.fc1_bias[r];
      const std::vector<float> scores = Products(hidden, predictor.fc2, predictor.rank);
      for (size_t i = 0; i < kFitNeurons; ++i) {
        const double mass = task.mass[t * kFitNeurons + i];
        all += mass;
        (scores[i] >= 0 ? kept : lost) += scores[i] >= 0 ? 1 : mass;
      }
    }
    kept /= kHeldOut * kFitNeurons;
    lost /= all;
  }
};

Predictor Fit(const PredictorTask& task, PredictorOptions options = {}) {
  const auto predictor = FitPredictor(task, options);
  EXPECT_TRUE(predictor.ok()) << predictor.status();
  EXPECT_TRUE(predictor->has_value());
  return predictor->value();
}

TEST(FitPredictor, GateOfLowRankIsPredictedNearlyExactly) {
  const Predictor predictor = Fit(Task(8, 0));
  EXPECT_EQ(predictor.rank, 32u);
  EXPECT_NEAR(predictor.firing, 0.067, 0.02);
  EXPECT_LT(predictor.kept, 1.1 * predictor.firing);
  EXPECT_LE(predictor.lost_mass, 0.025);
}

TEST(FitPredictor, SaysWhatTheDocumentedRuleDoes) {
  for (const Activation activation : {Activation::kRelu, Activation::kReluSquared}) {
    const PredictorTask task = Task(24, 1, activation);
    const Predictor predictor = Fit(task);
    const Oracle oracle(task, predictor);
    EXPECT_NEAR(predictor.kept, oracle.kept, 1e-3);
    EXPECT_NEAR(predictor.lost_mass, oracle.lost, 1e-3);
    EXPECT_LE(oracle.lost, 0.025);
    EXPECT_LT(oracle.kept, 0.25);
  }
}

TEST(FitPredictor, LosingMoreMassComputesFewerNeurons) {
  const PredictorTask task = Task(24, 1);
  const Predictor strict = Fit(task, {.lost_mass = 0.005}), loose = Fit(task, {.lost_mass = 0.05});
  EXPECT_LT(strict.lost_mass, 0.01);
  EXPECT_LT(loose.kept, strict.kept);
}

TEST(FitPredictor, RankFollowsWhatTheGateNeeds) {
  EXPECT_GT(Fit(Task(60, 0.1f)).rank, 32u);
  EXPECT_EQ(Fit(Task(60, 0.1f), {.max_rank = 32}).rank, 32u);
}

TEST(FitPredictor, NeuronsThatAddLittleNeedMoreCertainty) {
  PredictorTask task = Task(24, 1);
  for (size_t i = 0; i < task.mass.size(); ++i) task.mass[i] *= i % 2 == 0 ? 1.0f : 0.01f;
  const Predictor predictor = Fit(task);
  double even = 0, odd = 0;
  for (size_t i = 0; i < kFitNeurons; ++i) (i % 2 == 0 ? even : odd) += predictor.fc2[i * predictor.rank];
  EXPECT_LT(odd, even - 0.1 * kFitNeurons);  // column 0 holds minus the thresholds
}

TEST(FitPredictor, NoneWhereThePredictorReadsMoreThanTheGate) {
  PredictorTask task = Task(24, 1);
  task.gate_bytes = task.rest_bytes = 8;
  const auto predictor = FitPredictor(task, {});
  ASSERT_TRUE(predictor.ok());
  EXPECT_FALSE(predictor->has_value());
}

TEST(FitPredictor, NoneForALayerThatNeverFires) {
  PredictorTask task = Task(24, 1);
  std::fill(task.mass.begin(), task.mass.end(), 0.0f);
  EXPECT_FALSE(FitPredictor(task, {})->has_value());
}

TEST(FitPredictor, RefusesInputsAndGatesThatAreNotFinite) {
  for (std::vector<float> PredictorTask::*values :
       {&PredictorTask::inputs, &PredictorTask::held_out, &PredictorTask::gate}) {
    PredictorTask task = Task(24, 1);
    (task.*values)[5] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(FitPredictor(task, {}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(FitPredictor, FewerTokensThanDirectionsStillGiveAPredictor) {
  PredictorTask task = Task(8, 0);
  task.inputs.resize(50 * kFitEmbd);
  EXPECT_LE(Fit(task).lost_mass, 0.025);
}

}  // namespace
}  // namespace hearth
