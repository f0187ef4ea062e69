#ifndef HEARTH_TESTS_CONFORMANCE_MODEL_RUNNER_H_
#define HEARTH_TESTS_CONFORMANCE_MODEL_RUNNER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/thread_pool.h"
#include "engine/model/decoder.h"
#include "engine/model/model.h"
#include "tests/support/local_devices.h"

namespace hearth {

struct RunOptions {
  LocalDeviceCounts devices;
  uint32_t chunk = 512;  // rows evaluated at once
  Arithmetic arithmetic = Arithmetic::kFloat32;
  SparsityMode sparsity = SparsityMode::kDense;
  uint32_t context_length = 512;
  std::string rope_scaling;
};

// A model with devices and a decoder for one sequence.
class ModelRunner {
 public:
  static absl::StatusOr<ModelRunner> Open(const std::string& path, const RunOptions& options,
                                          ThreadPool& pool);

  const Model& model() const { return *model_; }
  // The logits at every position of the tokens, evaluated from position 0: (tokens, vocabulary). The first
  // `prompt` of them as a prompt (BatchRow::prompt).
  absl::StatusOr<std::vector<float>> Evaluate(const std::vector<int32_t>& tokens, size_t prompt = 0);
  // The `count` tokens that follow the prompt when the largest logit (the lowest id on a tie) is taken each
  // time.
  absl::StatusOr<std::vector<int32_t>> Continue(const std::vector<int32_t>& prompt, size_t count);

 private:
  explicit ModelRunner(const RunOptions& options) : options_(options) {}

  RunOptions options_;
  std::shared_ptr<const Model> model_;
  LocalDevices devices_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_CONFORMANCE_MODEL_RUNNER_H_
