#include "engine/tools/predictor_fit.h"

#include <Eigen/Cholesky>
#include <Eigen/Dense>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstRows = Eigen::Map<const Rows>;
using Eigen::MatrixXf;

// Added to the moments' diagonal, as a share of its mean: fewer tokens than n_embd leave directions unseen.
constexpr float kRidge = 1e-2f;
constexpr uint64_t kSeed = 20;
// Columns of the random projection beyond the rank, and how often it is sharpened.
constexpr int kSpareColumns = 16, kSharpenings = 2;
// The value of the hidden component that carries the thresholds: about as large as its neighbours are at
// most, since they share a block of 8-bit codes.
constexpr float kConstant = 4;
constexpr std::array<int, 9> kRanks = {32, 64, 96, 128, 192, 256, 384, 512, 768};
// Scores beyond so many deviations are certain.
constexpr double kFarDeviations = 8;

ConstRows View(const std::vector<float>& values, size_t cols) {
  return ConstRows(values.data(), static_cast<Eigen::Index>(values.size() / cols),
                   static_cast<Eigen::Index>(cols));
}

MatrixXf OrthonormalColumns(const MatrixXf& a) {
  return Eigen::HouseholderQR<MatrixXf>(a).householderQ() * MatrixXf::Identity(a.rows(), a.cols());
}

MatrixXf RandomMatrix(Eigen::Index rows, Eigen::Index cols) {
  std::mt19937_64 random(kSeed);
  std::normal_distribution<float> normal;
  MatrixXf values(rows, cols);
  for (float& value : values.reshaped()) value = normal(random);
  return values;
}

// Factors of the gate, the most important first: gate ~ fc2 fc1.
struct Factors {
  Rows fc1;  // (k, n_embd)
  Rows fc2;  // (neurons, k)
};

absl::StatusOr<Eigen::LLT<MatrixXf>> FactorMoments(const PredictorTask& task) {
  const ConstRows x = View(task.inputs, task.n_embd);
  MatrixXf moments = MatrixXf::Zero(task.n_embd, task.n_embd);
  moments.selfadjointView<Eigen::Lower>().rankUpdate(x.transpose(), 1.0f / static_cast<float>(x.rows()));
  moments.diagonal().array() += kRidge * moments.trace() / static_cast<float>(task.n_embd) + 1e-30f;
  Eigen::LLT<MatrixXf> factor(moments);
  if (factor.info() == Eigen::Success && moments.diagonal().allFinite()) return factor;
  return absl::InvalidArgumentError("its inputs are not finite numbers on this text");
}

// The randomised SVD of gate * L, and L taken out of it again.
Factors FactorGate(const PredictorTask& task, const Eigen::LLT<MatrixXf>& moments, int max_rank) {
  const MatrixXf weighted = View(task.gate, task.n_embd) * moments.matrixL();
  const Eigen::Index columns =
      std::min<Eigen::Index>({max_rank + kSpareColumns, weighted.rows(), weighted.cols()});
  MatrixXf range = OrthonormalColumns(weighted * RandomMatrix(task.n_embd, columns));
  for (int i = 0; i < kSharpenings; ++i) {
    range = OrthonormalColumns(weighted * OrthonormalColumns(weighted.transpose() * range));
  }
  const MatrixXf inside = range.transpose() * weighted;  // (columns, n_embd)
  const Eigen::MatrixXd wide = inside.cast<double>();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(wide * wide.transpose());
  const Eigen::VectorXf sizes = solver.eigenvalues().cwiseMax(0).cwiseSqrt().reverse().cast<float>();
  const MatrixXf left = solver.eigenvectors().rowwise().reverse().cast<float>();
  const Eigen::Index k =
      std::min<Eigen::Index>(max_rank, (sizes.array() > 1e-5f * std::max(sizes(0), 1e-30f)).count());
  // Of nothing, or of what is no number. Eigen multiplies by matrices without values as if they had some.
  if (k == 0) return {MatrixXf(0, weighted.cols()), MatrixXf(weighted.rows(), 0)};
  const Eigen::VectorXf inverse = sizes.head(k).cwiseInverse();
  const MatrixXf right = inside.transpose() * left.leftCols(k) * inverse.asDiagonal();  // (n_embd, k)
  return {moments.matrixU().solve(right).transpose(), range * left.leftCols(k) * sizes.head(k).asDiagonal()};
}

double NormalDensity(double z) { return std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi); }
double NormalShare(double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; }

// The mean of relu(z + e), or of its square, for a standard normal e.
double MeanActivation(Activation activation, double z) {
  if (activation == Activation::kRelu) return NormalDensity(z) + z * NormalShare(z);
  return (1 + z * z) * NormalShare(z) + z * NormalDensity(z);
}

// Where MeanActivation, which rises, reaches `value`; within +-kFarDeviations.
double DeviationsFor(Activation activation, double value) {
  double low = -kFarDeviations, high = kFarDeviations;
  for (int i = 0; i < 30; ++i) {
    const double middle = (low + high) / 2;
    (MeanActivation(activation, middle) < value ? low : high) = middle;
  }
  return low;
}

// What is known of a layer's neurons on held-out text, for one rank.
class Thresholds {
 public:
  // `gate`: (tokens, neurons), the true products with their bias; `scores` is to come close to them.
  Thresholds(const PredictorTask& task, const Rows& gate)
      : task_(task), mass_(View(task.mass, task.neurons)) {
    Eigen::ArrayXXf fired = gate.array().cwiseMax(0);
    if (task.activation == Activation::kReluSquared) fired = fired.square();
    const Eigen::ArrayXf activations = fired.colwise().sum();
    total_ = mass_.cast<double>().sum();
    const float usual = mass_.sum() / std::max(activations.sum(), 1e-30f);
    weights_ = (activations > 0).select(mass_.colwise().sum().transpose().array() / activations, usual);
  }

  double total_mass() const { return total_; }

  void Learn(const Rows& gate, const Rows& scores) {
    const Rows missed = gate - scores;
    mean_ = missed.colwise().mean();
    deviation_ = (missed.rowwise() - mean_.transpose()).colwise().norm() /
                 std::sqrt(static_cast<float>(missed.rows()));
    const float least = 1e-4f * scores.norm() / std::sqrt(static_cast<float>(scores.size())) + 1e-30f;
    deviation_ = deviation_.cwiseMax(least);
  }

  // The least score with which each neuron is computed, so that at most the share `lost` of the mass is left
  // out.
  Eigen::VectorXf Find(const Rows& scores, double lost) const {
    double low = 1e-12, high = 1;  // of the largest mass that any neuron can be expected to add
    for (int i = 0; i < 30; ++i) {
      const double middle = std::sqrt(low * high);
      (LostMass(scores, At(middle)) <= lost * total_ ? low : high) = middle;
    }
    return At(low);
  }

  double LostMass(const Rows& scores, const Eigen::VectorXf& limits) const {
    double lost = 0;
    for (Eigen::Index t = 0; t < scores.rows(); ++t) {
      lost += (scores.row(t).transpose().array() < limits.array())
                  .select(mass_.row(t).transpose().array(), 0.0f)
                  .sum();
    }
    return lost;
  }

 private:
  Eigen::VectorXf At(double part) const {
    const int power = task_.activation == Activation::kRelu ? 1 : 2;
    const Eigen::ArrayXd scale = weights_.cast<double>() * deviation_.cast<double>().array().pow(power);
    const double limit = part * scale.maxCoeff() * MeanActivation(task_.activation, kFarDeviations);
    Eigen::VectorXf limits(deviation_.size());
    for (Eigen::Index i = 0; i < limits.size(); ++i) {
      const double worth = scale(i) > 0 ? limit / scale(i) : HUGE_VAL;
      limits(i) = static_cast<float>(DeviationsFor(task_.activation, worth)) * deviation_(i) - mean_(i);
    }
    return limits;
  }

  const PredictorTask& task_;
  const ConstRows mass_;
  double total_ = 0;
  Eigen::ArrayXf weights_;            // mass per activation of each neuron
  Eigen::VectorXf mean_, deviation_;  // of what the scores miss
};

void RoundTo(TensorType type, Rows& values) {
  std::vector<uint8_t> packed(RowBytes(type, static_cast<uint64_t>(values.cols())).value());
  for (Eigen::Index r = 0; r < values.rows(); ++r) {
    float* row = values.row(r).data();
    const auto cols = static_cast<size_t>(values.cols());
    HEARTH_CHECK(Quantize(type, {row, cols}, {}, absl::MakeSpan(packed)).ok());
    Dequantize(type, packed, cols, row);
  }
}

// Eigen reads the first value of a matrix even where there is none.
bool AllFinite(const MatrixXf& values) { return values.size() == 0 || values.allFinite(); }

class PredictorFitter {
 public:
  PredictorFitter(const PredictorTask& task, const PredictorOptions& options)
      : task_(task), options_(options), held_out_(View(task.held_out, task.n_embd)) {}

  absl::StatusOr<std::optional<Predictor>> Fit() {
    HEARTH_ASSIGN_OR_RETURN(const Eigen::LLT<MatrixXf> moments, FactorMoments(task_));
    factors_ = FactorGate(task_, moments, static_cast<int>(options_.max_rank) - 1);
    gate_ = held_out_ * View(task_.gate, task_.n_embd).transpose();
    if (!task_.bias.empty()) gate_.rowwise() += View(task_.bias, task_.neurons).row(0);
    if (!AllFinite(gate_) || !AllFinite(factors_.fc1) || !AllFinite(factors_.fc2)) {
      return absl::InvalidArgumentError("its gate or inputs are not finite numbers on this text");
    }
    Thresholds thresholds(task_, gate_);
    if (!(thresholds.total_mass() > 0)) return std::optional<Predictor>();
    return Choose(thresholds);
  }

 private:
  double Firing() const {
    const ConstRows mass = View(task_.mass, task_.neurons);
    return static_cast<double>((mass.array() > 0).count()) / static_cast<double>(mass.size());
  }

  double Bytes(int rank, double kept) const {
    const double values = static_cast<double>(rank) * (task_.n_embd + task_.neurons);
    const TypeInfo& type = GetTypeInfo(PredictorType(static_cast<uint32_t>(rank)));
    return values * type.block_bytes / type.block_values +
           kept * task_.neurons * (task_.gate_bytes + task_.rest_bytes);
  }

  // The rank with which the fewest bytes are read, if any reads fewer than the exact way.
  std::optional<Predictor> Choose(Thresholds& thresholds) {
    std::optional<Predictor> best;
    double fewest = task_.neurons * (task_.gate_bytes + Firing() * task_.rest_bytes);
    const Rows hidden = held_out_ * factors_.fc1.transpose();
    Rows scores = Rows::Zero(gate_.rows(), gate_.cols());
    Eigen::Index used = 0;
    for (const int rank : kRanks) {
      if (rank > static_cast<int>(options_.max_rank) || Bytes(rank, 0) >= fewest) break;
      const Eigen::Index factors = std::min<Eigen::Index>(rank - 1, factors_.fc1.rows());
      scores +=
          hidden.middleCols(used, factors - used) * factors_.fc2.middleCols(used, factors - used).transpose();
      used = factors;
      thresholds.Learn(gate_, scores);
      const Predictor fitted = Finish(rank, thresholds.Find(scores, options_.lost_mass), thresholds);
      if (fitted.bytes < fewest) {
        fewest = fitted.bytes;
        best = fitted;
      }
      if (factors < rank - 1) break;  // more rank would add nothing
    }
    return best;
  }

  // The predictor of this rank as a file holds it: row 0 of fc1 is the constant, the factors follow.
  Predictor Finish(int rank, const Eigen::VectorXf& limits, const Thresholds& thresholds) const {
    const Eigen::Index factors = std::min<Eigen::Index>(rank - 1, factors_.fc1.rows());
    Rows fc1 = Rows::Zero(rank, task_.n_embd), fc2 = Rows::Zero(task_.neurons, rank);
    fc1.middleRows(1, factors) = factors_.fc1.topRows(factors);
    fc2.col(0) = -limits / kConstant;
    fc2.middleCols(1, factors) = factors_.fc2.leftCols(factors);
    RoundTo(PredictorType(task_.n_embd), fc1);
    RoundTo(PredictorType(static_cast<uint32_t>(rank)), fc2);

    Rows hidden = held_out_ * fc1.transpose();
    hidden.col(0).setConstant(kConstant);
    const Rows scores = hidden * fc2.transpose();
    Predictor predictor;
    predictor.rank = static_cast<uint32_t>(rank);
    predictor.fc1.assign(fc1.data(), fc1.data() + fc1.size());
    predictor.fc2.assign(fc2.data(), fc2.data() + fc2.size());
    predictor.fc1_bias.assign(rank, 0);
    predictor.fc1_bias[0] = kConstant;
    predictor.kept = static_cast<double>((scores.array() >= 0).count()) / static_cast<double>(scores.size());
    predictor.firing = Firing();
    predictor.lost_mass =
        thresholds.LostMass(scores, Eigen::VectorXf::Zero(task_.neurons)) / thresholds.total_mass();
    predictor.bytes = Bytes(rank, predictor.kept);
    predictor.dense_bytes = task_.neurons * (task_.gate_bytes + task_.rest_bytes);
    return predictor;
  }

  const PredictorTask& task_;
  const PredictorOptions& options_;
  const ConstRows held_out_;
  Factors factors_;
  Rows gate_;  // (held-out tokens, neurons)
};

}  // namespace

TensorType PredictorType(uint32_t cols) {
  return cols % GetTypeInfo(TensorType::kQ8_0).block_values == 0 ? TensorType::kQ8_0 : TensorType::kF16;
}

absl::StatusOr<std::optional<Predictor>> FitPredictor(const PredictorTask& task,
                                                      const PredictorOptions& options) {
  return PredictorFitter(task, options).Fit();
}

}  // namespace hearth
