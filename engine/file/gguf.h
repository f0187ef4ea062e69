#ifndef HEARTH_ENGINE_FILE_GGUF_H_
#define HEARTH_ENGINE_FILE_GGUF_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/mapped_file.h"
#include "engine/quant/types.h"

namespace hearth {

// Metadata of a model file: typed values under names such as "llama.block_count".
class GgufMetadata {
 public:
  // Integers are widened to 64 bits, float64 is kept as double; arrays hold one kind (nested arrays are
  // refused).
  using Value =
      std::variant<bool, uint64_t, int64_t, double, std::string, std::vector<bool>, std::vector<uint64_t>,
                   std::vector<int64_t>, std::vector<float>, std::vector<double>, std::vector<std::string>>;

  // Whether the key is there; its value, null where it is not.
  bool Has(std::string_view key) const;
  const Value* Find(std::string_view key) const;
  // The value of `key`: nullopt when absent; INVALID_ARGUMENT (naming the key) when it is of another kind or
  // does not fit. Any integer kind converts where the value fits, integers convert to float; a bool counts as
  // the integer 0 or 1 and the other way round.
  absl::StatusOr<std::optional<uint64_t>> GetUint(std::string_view key) const;
  absl::StatusOr<std::optional<int64_t>> GetInt(std::string_view key) const;
  absl::StatusOr<std::optional<float>> GetFloat(std::string_view key) const;
  absl::StatusOr<std::optional<bool>> GetBool(std::string_view key) const;
  absl::StatusOr<std::optional<std::string>> GetString(std::string_view key) const;
  // Arrays; nullopt when absent. A scalar gives an array of one element; elements convert as scalars do.
  absl::StatusOr<std::optional<std::vector<uint64_t>>> GetUints(std::string_view key) const;
  absl::StatusOr<std::optional<std::vector<int64_t>>> GetInts(std::string_view key) const;
  absl::StatusOr<std::optional<std::vector<float>>> GetFloats(std::string_view key) const;
  // A borrowed array of strings (vocabularies are large); nullptr when absent or of another kind.
  const std::vector<std::string>* FindStrings(std::string_view key) const;

  // Keys in the order of the file.
  const std::vector<std::string>& keys() const { return keys_; }
  // Replaces or adds; for the reader and for tests.
  void Set(std::string key, Value value);

 private:
  std::vector<std::string> keys_;
  absl::flat_hash_map<std::string, Value> values_;
};

// A tensor of the file: dimensions as in the file, ne[0] is contiguous ("columns"), ne[1] counts rows, ne[2]
// counts matrices (experts). Unused dimensions are 1.
struct GgufTensor {
  std::string name;
  TensorType type = TensorType::kF32;
  std::array<uint64_t, 4> ne = {1, 1, 1, 1};
  int dimensions = 1;
  absl::Span<const uint8_t> data;  // borrowed from the mapping

  // The dimensions that it has.
  std::vector<uint64_t> shape() const { return {ne.begin(), ne.begin() + dimensions}; }
  // Its shape as a matrix.
  uint64_t cols() const { return ne[0]; }
  uint64_t rows() const { return ne[1] * ne[2] * ne[3]; }
  // Bytes of one row of ne[0] values, whole blocks of the type, and of all rows: also where only the header
  // is at hand and `data` is empty.
  uint64_t row_bytes() const {
    const TypeInfo& info = GetTypeInfo(type);
    return ne[0] / info.block_values * info.block_bytes;
  }
  uint64_t bytes() const { return rows() * row_bytes(); }
  uint64_t values() const { return ne[0] * rows(); }
};

// The neurons of one block of a layer in a packed file (gguf_packed.h). Borrowed from the mapping.
struct PackedBlock {
  uint64_t record_bytes = 0;
  absl::Span<const uint8_t> records;  // (neurons, record_bytes)
  absl::Span<const uint8_t> scales;   // of turned codes (turned_rows.h); else empty
  std::vector<uint32_t> places;  // of each neuron among the records; empty: they lie as they are numbered

  uint64_t place(uint32_t neuron) const { return places.empty() ? neuron : places[neuron]; }
  const uint8_t* record(uint32_t neuron) const { return records.data() + place(neuron) * record_bytes; }
};

struct SplitPart;

// A model file in GGUF v2 or v3, or a PowerInfer file (the same with magic "PWRI"), memory-mapped. Immutable
// and thread-safe. Everything is validated before use: counts against the size of the file, offsets,
// alignment, overflow, overlap with the header, known types, unique names. The data of tensors is read from
// the mapping at any time later: who has read asks CheckUnchanged. A model that is split over several files
// is one GgufFile, whichever part is opened: named after the first, whose metadata it has without what tells
// of the split, with the tensors of all.
class GgufFile {
 public:
  // Error: one line that says what is wrong with which part of which file and what to do (INVALID_ARGUMENT,
  // NOT_FOUND, also for a missing part of a split model, or UNIMPLEMENTED for versions and types that Hearth
  // does not know, listing those that it does).
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  // Parses bytes that outlive the object (tests, fuzzing).
  static absl::StatusOr<std::unique_ptr<GgufFile>> Parse(absl::Span<const uint8_t> bytes, std::string name);
  // The same of a file that is no model and whose tensors are 32-bit integers, which are called kF32, of the
  // same size, here.
  static absl::StatusOr<std::unique_ptr<GgufFile>> ParseIntegers(absl::Span<const uint8_t> bytes,
                                                                 std::string name);

  // What the header says.
  const GgufMetadata& metadata() const { return metadata_; }
  // The entries as they lie in the file (key, kind, value), parallel to metadata().keys(): for exact copies.
  const std::vector<absl::Span<const uint8_t>>& metadata_entries() const { return metadata_entries_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;
  bool is_powerinfer() const { return is_powerinfer_; }
  // Whether neurons lie one by one (gguf_packed.h): tensors() are those of the model that was packed, and the
  // matrices of neurons among them have no data. Of a layer its blocks; none where it lies as in other files.
  bool is_packed() const { return packed_; }
  absl::Span<const PackedBlock> packed_blocks(uint32_t layer) const;
  // The file's tensors that are none of the model's.
  const std::vector<GgufTensor>& pack_tensors() const { return pack_tensors_; }
  uint32_t version() const { return version_; }
  const std::string& name() const { return name_; }
  absl::Span<const uint8_t> bytes() const { return bytes_; }  // of the first part
  // The bytes of all parts, in their order, and how many there are.
  std::vector<absl::Span<const uint8_t>> parts() const;
  uint64_t file_bytes() const;
  // See MappedFile; of Parse'd bytes, and of bytes that are not the file's, nothing is released. Parse'd
  // bytes do not change, and their identity is empty.
  void Release(absl::Span<const uint8_t> part) const;
  void DropCache() const;
  absl::Status CheckUnchanged() const;
  std::string Identity() const;
  // FAILED_PRECONDITION for Parse'd bytes and for split models.
  absl::StatusOr<int> OpenDescriptor(int flags) const;

 private:
  GgufFile() = default;
  absl::Status Read();
  // A tensor without data. INVALID_ARGUMENT where there is one of its name.
  absl::Status AddDescription(GgufTensor tensor);
  static absl::StatusOr<std::unique_ptr<GgufFile>> OpenOne(const std::string& path);
  static absl::StatusOr<std::unique_ptr<GgufFile>> OpenSplit(std::unique_ptr<GgufFile> part,
                                                             const SplitPart& opened);
  void ForgetSplit();
  absl::Status Append(std::unique_ptr<GgufFile> part);
  friend class GgufReader;
  friend class PackedReader;
  friend absl::StatusOr<std::unique_ptr<GgufFile>> ParseSkeleton(std::vector<uint8_t> bytes,
                                                                 std::string name);

  std::optional<MappedFile> mapping_;
  std::vector<uint8_t> owned_;  // of a skeleton
  absl::Span<const uint8_t> bytes_;
  std::string name_;
  uint32_t version_ = 0;
  bool is_powerinfer_ = false;
  bool packed_ = false;
  std::vector<std::vector<PackedBlock>> packed_blocks_;  // by layer
  std::vector<GgufTensor> pack_tensors_;
  GgufMetadata metadata_;
  std::vector<absl::Span<const uint8_t>> metadata_entries_;
  std::vector<GgufTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> tensor_index_;
  std::vector<std::unique_ptr<GgufFile>>
      further_parts_;  // of a split model; they have the data of its tensors
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_H_
