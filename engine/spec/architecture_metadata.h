#ifndef HEARTH_ENGINE_SPEC_ARCHITECTURE_METADATA_H_
#define HEARTH_ENGINE_SPEC_ARCHITECTURE_METADATA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/file/gguf.h"

namespace hearth {

// Reads the keys of one architecture ("llama.block_count" as "block_count"). Readers return a default where
// something is wrong and remember the first error, so that a spec reads as a list of keys; status() tells at
// the end. Not thread-safe.
class ArchitectureMetadata {
 public:
  ArchitectureMetadata(const GgufMetadata& metadata, std::string architecture);

  // Whether the architecture's key is there.
  bool Has(std::string_view key) const;
  // The value, an error when it is absent or 0.
  uint32_t Size(std::string_view key) const;
  uint32_t SizeOr(std::string_view key, uint32_t otherwise) const;
  float Float(std::string_view key) const;
  float FloatOr(std::string_view key, float otherwise) const;
  bool BoolOr(std::string_view key, bool otherwise) const;
  std::string StringOr(std::string_view key, std::string otherwise) const;
  // One value per layer: an array of `layers` values, or one value for all of them.
  std::vector<uint32_t> SizePerLayer(std::string_view key, uint32_t layers,
                                     std::optional<uint32_t> otherwise) const;
  std::vector<float> FloatPerLayer(std::string_view key, uint32_t layers) const;

  // "llama".
  const std::string& architecture() const { return architecture_; }
  // Reports an error from outside; the first one is kept.
  void Fail(absl::Status status) const;
  const absl::Status& status() const { return status_; }

 private:
  // The key as the file has it; some keys are written without the architecture's name.
  std::string FullKey(std::string_view key) const;
  template <class T>
  std::optional<T> Take(absl::StatusOr<std::optional<T>> value) const;
  uint32_t Narrow(std::string_view key, uint64_t value) const;

  const GgufMetadata& metadata_;
  std::string architecture_;
  mutable absl::Status status_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_SPEC_ARCHITECTURE_METADATA_H_
