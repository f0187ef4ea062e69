#include "client/library/chunks.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace hearth {

Chunks::Chunks(uint64_t bytes)
    : bytes_(bytes),
      chunk_bytes_(std::max(kLeastBytes, bytes / kMost + 1)),
      done_(bytes / chunk_bytes_ + (bytes % chunk_bytes_ != 0)),
      taken_(done_.size()) {}

std::optional<Chunks> Chunks::Restore(uint64_t bytes, std::vector<uint64_t> done) {
  Chunks chunks(bytes);
  if (done.size() != chunks.done_.size()) return std::nullopt;
  for (size_t i = 0; i < done.size(); ++i) {
    if (done[i] > chunks.EndOf(i) - i * chunks.chunk_bytes_) return std::nullopt;
    chunks.done_bytes_ += done[i];
  }
  chunks.done_ = std::move(done);
  return chunks;
}

uint64_t Chunks::EndOf(size_t chunk) const {
  const uint64_t begin = chunk * chunk_bytes_;
  return begin + std::min(chunk_bytes_, bytes_ - begin);
}

std::optional<Chunks::Piece> Chunks::Take() {
  for (size_t i = 0; i < done_.size(); ++i) {
    const Piece rest{i, i * chunk_bytes_ + done_[i], EndOf(i)};
    if (taken_[i] || rest.begin == rest.end) continue;
    taken_[i] = true;
    return rest;
  }
  return std::nullopt;
}

void Chunks::Release(const Piece& piece) { taken_[piece.chunk] = false; }

void Chunks::Add(uint64_t begin, uint64_t bytes) {
  while (bytes > 0) {
    const size_t chunk = begin / chunk_bytes_;
    HEARTH_CHECK(chunk < done_.size() && begin == chunk * chunk_bytes_ + done_[chunk]);
    const uint64_t here = std::min(bytes, EndOf(chunk) - begin);
    done_[chunk] += here;
    done_bytes_ += here;
    begin += here;
    bytes -= here;
  }
}

uint64_t Chunks::prefix_bytes() const {
  uint64_t prefix = 0;
  for (size_t i = 0; i < done_.size(); ++i) {
    prefix += done_[i];
    if (prefix != EndOf(i)) break;
  }
  return prefix;
}

}  // namespace hearth
