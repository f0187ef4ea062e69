#ifndef HEARTH_ENGINE_FILE_GGUF_PACKED_H_
#define HEARTH_ENGINE_FILE_GGUF_PACKED_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/file/gguf.h"

namespace hearth {

// A packed file: a model whose neurons can be read from a disk one by one, as `hearth-model pack` writes it.
// It is a GGUF file (or a PowerInfer one, as the model was) with general.alignment 4096, the model's own
// metadata, and in this order
//
//   1. the model's tensors as they were, but for matrices of neurons that lie in records;
//   2. for each layer N and block B (an expert; 0 in a dense layer) whose neurons lie in records, the tensor
//      hearth.neurons.N.B, F32 (record bytes / 4, neurons): a record per neuron, see
//      engine/neuron/neuron_record.h;
//   3. behind it, where `down` was stored by output in blocks of 32 values, hearth.scales.N.B, F16
//      (n_embd, neurons / 32): the scales of its codes, see engine/kernel/turned_rows.h;
//   4. hearth.checksums, F32 (2, tensors of 1. and 3.): a 64-bit checksum (engine/base/checksum.h) of each of
//      these tensors' bytes, in their order. Records carry their own.
//
// and the metadata
//
//   hearth.pack.version        1
//   hearth.pack.fingerprint    ModelFingerprint of the model that was packed
//   hearth.pack.names, types, shapes   the matrices of 2. as they stood in the model (tensor_list.h)
//   hearth.pack.order.N.B      the neurons of a block in the order of their records: those of a group that
//                              fires often one after another, in long runs; absent where they rise from 0
inline constexpr uint64_t kPackVersion = 1;
inline constexpr uint64_t kPackAlignment = 4096;
inline constexpr char kPackVersionKey[] = "hearth.pack.version";
inline constexpr char kPackFingerprintKey[] = "hearth.pack.fingerprint";
inline constexpr char kPackList[] = "hearth.pack";
inline constexpr char kPackChecksums[] = "hearth.checksums";
std::string PackOrderKey(size_t layer, size_t block);
std::string PackNeuronsName(size_t layer, size_t block);
std::string PackScalesName(size_t layer, size_t block);

// Turns the tensors of a file that GgufReader has read into those of the model that was packed, where it is a
// packed file. INVALID_ARGUMENT for parts that do not fit one another, UNIMPLEMENTED for another version.
class PackedReader {
 public:
  explicit PackedReader(GgufFile* file) : file_(*file) {}
  absl::Status Read();

 private:
  absl::Status TakeBlock(size_t layer, size_t block);
  absl::Status Invalid(const std::string& problem) const;

  GgufFile& file_;
};

// Compares all tensors of a packed file but records, which are checked when they are used, with their
// checksums; OK for other files. DATA_LOSS, naming the tensor.
absl::Status CheckPackedTensors(const GgufFile& file);

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_PACKED_H_
