#ifndef HEARTH_TESTS_CONFORMANCE_REFERENCE_H_
#define HEARTH_TESTS_CONFORMANCE_REFERENCE_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/npy.h"

namespace hearth {

// What is known about one model; the README of the reference pack explains every field.
struct ReferencePrompt {
  std::vector<int32_t> tokens;
  std::vector<int32_t> greedy;     // by the reference
  std::vector<int32_t> greedy_hp;  // in high precision; as greedy where the pack has none
  double min_gap = 0;              // smallest distance between the best two logits on the way, of both
};

struct ReferenceTolerance {
  double max_abs = 0;
  double rms = 0;      // 0: not limited
  double kl_mean = 0;  // 0: not limited
};

struct ReferenceModel {
  std::string name;
  std::filesystem::path file;
  uint32_t context_length = 512;
  std::string rope_scaling;  // instead of the file's; empty: the file's
  double logits_std = 0;
  ReferenceTolerance f32_activations;
  ReferenceTolerance rounded_activations;
  std::vector<ReferencePrompt> prompts;
  NpyArray logits;  // (positions of prompts[0], vocabulary), in high precision where the pack has it
};

// The model that `json` describes. Error: the file is not as the README says.
absl::StatusOr<ReferenceModel> ReadReferenceModel(const std::filesystem::path& json);

// The project's own fixture `file` (tests/fixtures/make_model_fixtures.py) with the logits beside it. Error:
// either cannot be read.
absl::StatusOr<ReferenceModel> ReadFixtureModel(const std::filesystem::path& file);

// The files of a folder that end so (".json", ".gguf"), sorted by name.
std::vector<std::filesystem::path> ListFiles(const std::filesystem::path& folder,
                                             const std::string& extension);

// The project's fixtures and, where there is one (says so where not), the models of the pack: those with
// `filter` in their names, of the pack's every `every`-th alone.
std::vector<absl::StatusOr<ReferenceModel>> ReadModels(const std::string& pack, const std::string& fixtures,
                                                       const std::string& filter, size_t every = 1);

// How far logits are from a reference's, both (positions, vocabulary).
struct LogitDifference {
  double max_abs = 0;
  double rms = 0;
  double kl_mean = 0;           // of KL(reference || ours)
  double argmax_agreement = 0;  // share of positions with the same best token
  double median_of_max = 0;     // over positions, of the largest difference there
};
LogitDifference CompareLogits(const NpyArray& reference, const std::vector<float>& ours);

}  // namespace hearth

#endif  // HEARTH_TESTS_CONFORMANCE_REFERENCE_H_
