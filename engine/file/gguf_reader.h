#ifndef HEARTH_ENGINE_FILE_GGUF_READER_H_
#define HEARTH_ENGINE_FILE_GGUF_READER_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/checked.h"
#include "engine/file/gguf.h"

namespace hearth {

// Parses a GGUF file front to back, once: header, metadata, tensor descriptions, then the places of their
// data. Whatever a count announces is compared with the bytes that are left before memory is taken for it.
class GgufReader {
 public:
  // `file` has bytes_ and name_ set; the rest is filled in. `integers`: see GgufFile::ParseIntegers.
  explicit GgufReader(GgufFile* file, bool integers = false) : file_(*file), integers_(integers) {}

  // The errors of GgufFile::Open.
  absl::Status Read();

 private:
  absl::Status ReadHeader();
  absl::Status ReadMetadata(uint64_t count);
  absl::StatusOr<GgufMetadata::Value> ReadValue(const std::string& key);
  absl::StatusOr<GgufMetadata::Value> ReadArray(const std::string& key);
  absl::Status ReadTensors(uint64_t count);
  absl::Status ReadTensor(GgufTensor* tensor, uint64_t* offset);
  absl::StatusOr<TensorType> ReadType(const std::string& what);
  absl::StatusOr<uint64_t> ReadAlignment() const;
  absl::Status PlaceTensors(absl::Span<const uint64_t> offsets);
  absl::Status CheckOverlap() const;

  template <class T>
  absl::StatusOr<T> ReadScalar(std::string_view what);
  template <class Stored, class Held>
  absl::StatusOr<GgufMetadata::Value> ReadScalars(uint64_t count, const std::string& key);
  absl::StatusOr<bool> ReadBool(const std::string& key);
  absl::StatusOr<std::string> ReadString(std::string_view what);
  // Error unless `count` items of at least `item_bytes` each can still follow.
  absl::Status CheckCount(uint64_t count, uint64_t item_bytes, std::string_view what) const;

  uint64_t remaining() const { return file_.bytes_.size() - position_; }
  // "NAME: MESSAGE", the form of every error.
  absl::Status Invalid(std::string_view message) const;
  absl::Status CutOff(std::string_view what) const;

  GgufFile& file_;
  const bool integers_;
  uint64_t position_ = 0;
  uint64_t metadata_count_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t array_elements_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_READER_H_
