#ifndef HEARTH_ENGINE_FILE_GGUF_WRITER_H_
#define HEARTH_ENGINE_FILE_GGUF_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/output_file.h"
#include "engine/file/gguf.h"

namespace hearth {

// Writes a GGUF v3 (or PowerInfer) file: describe metadata and tensors, then Write or Serialize. The data of
// a tensor is asked for when its turn comes, so a file can be larger than memory. Not thread-safe.
class GgufWriter {
 public:
  // Takes the next bytes of a tensor; an error must be handed on.
  using Sink = std::function<absl::Status(absl::Span<const uint8_t>)>;
  // Gives all bytes of a tensor to `sink`, in one or many pieces.
  using Source = std::function<absl::Status(const Sink& sink)>;

  explicit GgufWriter(bool powerinfer = false) : powerinfer_(powerinfer) {}

  // Adds or replaces a key. Numbers are stored with 32 bits where they fit exactly, with 64 otherwise.
  // "general.alignment" also sets the alignment of the data; it must be a power of two (CHECK).
  void Set(const std::string& key, const GgufMetadata::Value& value);
  // Adds all entries of `file`, byte for byte; keys set before are replaced.
  void CopyMetadata(const GgufFile& file);

  // Adds a tensor of 1 to 4 dimensions (CHECK), ne[0] contiguous. The sizes must fit `type`, the name must be
  // new and `source` must give exactly the bytes of the tensor: an INTERNAL error from Write otherwise.
  void AddTensor(std::string name, TensorType type, std::vector<uint64_t> ne, Source source);
  void AddTensor(std::string name, TensorType type, std::vector<uint64_t> ne, std::vector<uint8_t> data);
  void AddFloats(std::string name, std::vector<uint64_t> ne, absl::Span<const float> values);

  // Writes `path` as an OutputFile: whole or not at all. Its errors, or what a source returned.
  absl::Status Write(const std::string& path, Replace replace = Replace::kRegularFile) const;
  absl::StatusOr<std::vector<uint8_t>> Serialize() const;

 private:
  struct Entry {
    std::string key;
    std::string bytes;  // key, kind and value as in the file
  };
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> ne;
    Source source;
  };

  void AddEntry(std::string key, std::string bytes);
  absl::Status WriteTo(const Sink& sink) const;
  absl::StatusOr<std::string> Header(absl::Span<const uint64_t> sizes) const;

  bool powerinfer_;
  uint64_t alignment_ = 32;
  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_WRITER_H_
