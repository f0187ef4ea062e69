#ifndef HEARTH_CLIENT_LIBRARY_CHUNKS_H_
#define HEARTH_CLIENT_LIBRARY_CHUNKS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace hearth {

// Which bytes of a file have come. The file is cut into chunks, each of which comes from its front to its
// end; several may be under way at the same time, the first ones first, so that what has come is checked
// meanwhile. Pure; not thread-safe.
class Chunks {
 public:
  static constexpr uint64_t kLeastBytes = 8 << 20;  // of a chunk: a request costs little beside it
  static constexpr uint64_t kMost = 64;

  struct Piece {
    size_t chunk = 0;
    uint64_t begin = 0;  // in the file
    uint64_t end = 0;
  };

  explicit Chunks(uint64_t bytes);
  // As it was; nullopt where `done` (the bytes that each chunk has) cannot be of such a file.
  static std::optional<Chunks> Restore(uint64_t bytes, std::vector<uint64_t> done);

  // The rest of the first chunk that is not whole and that nobody fetches, for the caller to fetch; nullopt
  // where there is none.
  std::optional<Piece> Take();
  // Whoever took the piece fetches it no more: others may have what it has left.
  void Release(const Piece& piece);
  // `bytes` more have come, from `begin` on, which is where their chunk went on; they may reach into the
  // chunks behind it.
  void Add(uint64_t begin, uint64_t bytes);

  uint64_t bytes() const { return bytes_; }
  uint64_t done_bytes() const { return done_bytes_; }
  bool complete() const { return done_bytes_ == bytes_; }
  // So many bytes at the front of the file have come.
  uint64_t prefix_bytes() const;
  const std::vector<uint64_t>& done() const { return done_; }

 private:
  uint64_t EndOf(size_t chunk) const;

  uint64_t bytes_;
  uint64_t chunk_bytes_;
  uint64_t done_bytes_ = 0;
  std::vector<uint64_t> done_;  // of each chunk
  std::vector<bool> taken_;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_CHUNKS_H_
