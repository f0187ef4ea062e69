#ifndef HEARTH_ENGINE_NEURON_NEURON_RECORD_H_
#define HEARTH_ENGINE_NEURON_NEURON_RECORD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/file/gguf.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// What a packed file (engine/file/gguf_packed.h) holds of one neuron, as one run of bytes:
//
//   its row of gate (where there is one), its row of up, both as the file had them;
//   what it has of `down`: its row where the file stored it by neuron, else its column, turned
//   (engine/kernel/turned_rows.h), where the type can be turned, else nothing;
//   two 64-bit checksums (engine/base/checksum.h), little-endian: of gate, and of everything behind gate
//   (without a gate the first one is of no bytes);
//   zeros up to a multiple of 64 bytes.
struct NeuronRecord {
  uint64_t gate_bytes = 0;
  uint64_t up_bytes = 0;
  uint64_t down_bytes = 0;   // 0: `down` is a tensor of its own
  uint64_t scale_bytes = 0;  // of turned `down`, for every 32 neighbouring neurons; beside the records
  uint64_t bytes = 0;

  uint64_t up() const { return gate_bytes; }
  uint64_t down() const { return gate_bytes + up_bytes; }
  uint64_t checksums() const { return gate_bytes + up_bytes + down_bytes; }

  // The record of a neuron of that block.
  static NeuronRecord Of(const FfnLayerSpec& spec, uint32_t block);
};

// Whether neurons of this layer can lie in records: bitnet's norm over all of them wants whole matrices.
bool HasRecords(const FfnLayerSpec& spec);

// Writes the checksums of a record of which all else is in place.
void SealRecord(const NeuronRecord& layout, uint8_t* record);
// Whether the part from `gate` or, without, from `up` on is what was written. `bytes` begins there and ends
// with the record.
bool IsIntact(const NeuronRecord& layout, const uint8_t* bytes, bool with_gate);

// INVALID_ARGUMENT, saying what is wrong, when a packed layer's blocks are not those of `spec`.
absl::Status CheckPackedBlocks(const FfnLayerSpec& spec, absl::Span<const PackedBlock> blocks);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_NEURON_RECORD_H_
