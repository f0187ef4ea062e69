#ifndef HEARTH_ENGINE_FILE_TENSOR_LIST_H_
#define HEARTH_ENGINE_FILE_TENSOR_LIST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"

namespace hearth {

// Tensors that a file tells of but does not hold as such, in its metadata: their names, type numbers and
// shapes (ne[0] to ne[3] of each) under PREFIX.names, .types and .shapes.
class TensorList {
 public:
  // Adds one; its data does not matter.
  void Add(const GgufTensor& tensor);
  void Write(const std::string& prefix, GgufWriter& writer) &&;

  // The way back, of whatever another wrote: everything is validated as in a file, and counts are bounded.
  // INVALID_ARGUMENT for lists that are missing, of different lengths or of shapes that cannot be,
  // UNIMPLEMENTED for unknown types.
  static absl::StatusOr<std::vector<GgufTensor>> Read(const GgufMetadata& metadata,
                                                      const std::string& prefix);

 private:
  std::vector<std::string> names_;
  std::vector<uint64_t> types_, shapes_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_TENSOR_LIST_H_
