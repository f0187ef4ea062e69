#ifndef HEARTH_ENGINE_BASE_NPY_H_
#define HEARTH_ENGINE_BASE_NPY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/output_file.h"

namespace hearth {

// A two-dimensional little-endian float32 array of numpy's .npy format 1.0, C order.
struct NpyArray {
  size_t rows = 0;
  size_t cols = 0;
  std::vector<float> values;  // (rows, cols)
};

// Writes values, (rows, cols), to `path`. Errors as those of OutputFile.
absl::Status WriteNpy(const std::string& path, size_t rows, size_t cols, absl::Span<const float> values,
                      Replace replace);

// Reads a file that holds a 1- or 2-dimensional '<f4' array (1-D gives rows = 1); INVALID_ARGUMENT otherwise.
absl::StatusOr<NpyArray> ReadNpy(const std::string& path);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_NPY_H_
