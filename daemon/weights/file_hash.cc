#include "daemon/weights/file_hash.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/file_descriptor.h"

namespace hearth {

bool HashFile(int fd, uint64_t bytes, Sha256& sha) {
  std::vector<uint8_t> piece(1 << 20);
  for (uint64_t left = bytes; left > 0;) {
    const auto part =
        absl::MakeSpan(piece).first(static_cast<size_t>(std::min<uint64_t>(left, piece.size())));
    if (!ReadAll(fd, part)) return false;
    sha.Update(part);
    left -= part.size();
  }
  uint8_t extra;
  return ::read(fd, &extra, 1) == 0;
}

}  // namespace hearth
