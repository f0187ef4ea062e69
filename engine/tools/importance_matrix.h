#ifndef HEARTH_ENGINE_TOOLS_IMPORTANCE_MATRIX_H_
#define HEARTH_ENGINE_TOOLS_IMPORTANCE_MATRIX_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/file/gguf.h"

namespace hearth {

// How strongly each column of each weight matrix was driven while text was evaluated: the mean square of the
// activations that met it. Read from the GGUF form of an importance matrix: for a weight NAME the F32 tensors
// NAME.in_sum2, (matrices, cols), and NAME.counts, (matrices). Immutable after Load.
class ImportanceMatrix {
 public:
  // The matrix that says nothing about any tensor.
  ImportanceMatrix() = default;
  // INVALID_ARGUMENT for a file that is no importance matrix or holds numbers that are none; NOT_FOUND.
  static absl::StatusOr<ImportanceMatrix> Load(const std::string& path);

  // One weight per column of each matrix of `tensor`, (ne[2] * ne[3], ne[0]); empty when nothing is known
  // about it. A matrix that no text reached (an expert) gets equal weights. INVALID_ARGUMENT when the sizes
  // differ.
  absl::StatusOr<std::vector<float>> For(const GgufTensor& tensor) const;

 private:
  struct Entry {
    uint64_t cols = 0;
    std::vector<float> weights;  // (matrices, cols)
  };
  absl::Status Add(const GgufFile& file, const GgufTensor& sums, const std::string& name);

  absl::flat_hash_map<std::string, Entry> entries_;  // by the name of the weight
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_IMPORTANCE_MATRIX_H_
