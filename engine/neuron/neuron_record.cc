#include "engine/neuron/neuron_record.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checksum.h"
#include "engine/kernel/turned_rows.h"

namespace hearth {
namespace {

constexpr uint64_t kRecordAlignment = 64;
constexpr uint64_t kChecksumBytes = 2 * sizeof(uint64_t);

// Of a spec that has passed CheckFfnSpec.
uint64_t BytesOfRow(TensorType type, uint64_t cols) { return RowBytes(type, cols).value(); }

}  // namespace

NeuronRecord NeuronRecord::Of(const FfnLayerSpec& spec, uint32_t block) {
  NeuronRecord record;
  const TensorType down = spec.down_type(block);
  if (spec.gate.present) record.gate_bytes = BytesOfRow(spec.gate_type(block), spec.n_embd);
  record.up_bytes = BytesOfRow(spec.up_type(block), spec.n_embd);
  if (spec.neuron_major) {
    record.down_bytes = BytesOfRow(down, spec.n_embd);
  } else if (TurnedRows::Has(down, spec.n_embd)) {
    record.down_bytes = TurnedRows(down, spec.n_embd).row_bytes();
    record.scale_bytes = TurnedRows(down, spec.n_embd).scale_bytes();
  }
  record.bytes =
      (record.checksums() + kChecksumBytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
  return record;
}

bool HasRecords(const FfnLayerSpec& spec) { return !spec.block_neurons.empty() && !spec.normalize_hidden; }

void SealRecord(const NeuronRecord& layout, uint8_t* record) {
  const uint64_t checksums[2] = {Checksum({record, layout.gate_bytes}),
                                 Checksum({record + layout.up(), layout.up_bytes + layout.down_bytes})};
  std::memcpy(record + layout.checksums(), checksums, sizeof(checksums));
}

bool IsIntact(const NeuronRecord& layout, const uint8_t* bytes, bool with_gate) {
  const uint8_t* const record = with_gate ? bytes : bytes - layout.gate_bytes;
  uint64_t expected[2];
  std::memcpy(expected, record + layout.checksums(), sizeof(expected));
  if (with_gate && Checksum({record, layout.gate_bytes}) != expected[0]) return false;
  return Checksum({record + layout.up(), layout.up_bytes + layout.down_bytes}) == expected[1];
}

absl::Status CheckPackedBlocks(const FfnLayerSpec& spec, absl::Span<const PackedBlock> blocks) {
  if (!HasRecords(spec) || blocks.size() != spec.block_neurons.size()) {
    return absl::InvalidArgumentError(absl::StrCat("it has ", blocks.size(), " packed blocks where ",
                                                   spec.block_neurons.size(), " belong"));
  }
  for (uint32_t b = 0; b < blocks.size(); ++b) {
    const NeuronRecord record = NeuronRecord::Of(spec, b);
    const uint64_t neurons = spec.block_neurons[b];
    if (blocks[b].record_bytes != record.bytes || blocks[b].records.size() != record.bytes * neurons ||
        blocks[b].scales.size() != record.scale_bytes * (neurons / TurnedRows::kUnit)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the packed neurons of block ", b, " have another size"));
    }
  }
  return absl::OkStatus();
}

}  // namespace hearth
