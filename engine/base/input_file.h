#ifndef HEARTH_ENGINE_BASE_INPUT_FILE_H_
#define HEARTH_ENGINE_BASE_INPUT_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace hearth {

// The content of a file that a person names: a text, settings, a description. Never waits for a writer or a
// device. NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT for what is no regular file or has more than
// `max_bytes`; the message is one line with the path. An empty file is an empty text.
absl::StatusOr<std::string> ReadInputFile(const std::string& path, uint64_t max_bytes);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_INPUT_FILE_H_
