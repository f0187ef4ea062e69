#ifndef HEARTH_ENGINE_FILE_TORCH_VECTOR_H_
#define HEARTH_ENGINE_FILE_TORCH_VECTOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// The numbers of one tensor of one dimension that PyTorch (1.6 or newer) has saved, of any of its kinds of
// real numbers. Such a file is a zip archive (stored_zip.h) of a pickle, NAME/data.pkl, and the numbers,
// NAME/data/KEY. A pickle is a program that can call anything: this one is not run but compared with the only
// one that describes such a tensor. INVALID_ARGUMENT for whatever is otherwise, saying what.
absl::StatusOr<std::vector<double>> ReadTorchVector(absl::Span<const uint8_t> bytes);

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_TORCH_VECTOR_H_
