#ifndef HEARTH_ENGINE_TOOLS_PREDICTOR_FIT_H_
#define HEARTH_ENGINE_TOOLS_PREDICTOR_FIT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/kernel/vector_ops.h"
#include "engine/quant/types.h"

namespace hearth {

// What a predictor of one layer is made from. Matrices are row-major.
struct PredictorTask {
  uint32_t n_embd = 0;
  uint32_t neurons = 0;
  Activation activation = Activation::kRelu;  // of the ReLU family
  std::vector<float> gate;  // (neurons, n_embd): whose product decides; up, where the layer has no gate
  std::vector<float> bias;  // (neurons) or empty
  // The network's input on text, (tokens, n_embd), and on other text.
  std::vector<float> inputs, held_out;
  // (held-out tokens, neurons): the length of what a neuron adds to the output.
  std::vector<float> mass;
  // Of one neuron's weights: the gate, and all that comes after it.
  double gate_bytes = 0, rest_bytes = 0;
};

struct PredictorOptions {
  double lost_mass = 0.02;  // the share of the output's mass, on held-out text, that may be left out
  uint32_t max_rank = 512;
};

// Neuron i is computed iff fc2_i . (fc1 x + fc1_bias) >= 0: what a profile file holds (profile_file.h).
struct Predictor {
  uint32_t rank = 0;            // a multiple of 32
  std::vector<float> fc1;       // (rank, n_embd), as the file will give them back
  std::vector<float> fc1_bias;  // (rank)
  std::vector<float> fc2;       // (neurons, rank), likewise
  // On held-out text.
  double kept = 0;       // share of the neurons that are computed
  double firing = 0;     // share of those that fire
  double lost_mass = 0;  // share of the mass in neurons that are not computed
  // Bytes read for a token with the predictor, which are among them, and of all the layer's neurons.
  double bytes = 0, dense_bytes = 0;
};

// The types in which a profile file holds a predictor's matrices.
TensorType PredictorType(uint32_t cols);

// Makes a predictor without training. The gate W is weighted by what it meets: with the Cholesky factor L of
// the inputs' second moments (and a ridge), the best factors of W L of rank r (randomised SVD) are those that
// err least, in the mean square, on such inputs: W L ~ U S V^T gives fc1 = V^T L^-1, fc2 = U S. What they
// miss is about normal with a deviation of its own for each neuron, so the mass that a neuron is expected to
// add follows from its score; it is computed where that is worth more than a limit that all neurons of the
// layer share, found on held-out text so that lost_mass is met. The rank is the one with which the fewest
// bytes are read; nullopt where none reads fewer than computing the gate does. Deterministic.
// Signs were tried as well, scores being how many signs of x and of a gate's row agree (an eighth of a byte per
// value): for the same lost_mass they keep 2 to 5 times as many neurons and read 1.3 to 1.9 times as many bytes
// in each of the nine layers of two trained models, 192 and 128 wide.
// INVALID_ARGUMENT for inputs that are not finite.
absl::StatusOr<std::optional<Predictor>> FitPredictor(const PredictorTask& task,
                                                      const PredictorOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_PREDICTOR_FIT_H_
