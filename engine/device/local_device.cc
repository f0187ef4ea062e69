#include "engine/device/local_device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hearth {

void LocalDevice::Add(UnitKind kind, uint32_t layer, std::shared_ptr<UnitPiece> piece) {
  OnAdd(kind, layer, *piece);
  pieces_[Slot(kind, layer)].push_back(std::move(piece));
}

bool LocalDevice::empty() const {
  return std::all_of(pieces_.begin(), pieces_.end(), [](const Pieces& pieces) { return pieces.empty(); });
}

uint64_t LocalDevice::weight_bytes() const {
  uint64_t bytes = 0;
  for (const Pieces& pieces : pieces_) {
    for (const auto& piece : pieces) bytes += piece->weight_bytes();
  }
  return bytes;
}

uint64_t LocalDevice::kv_bytes() const {
  uint64_t bytes = 0;
  for (const Pieces& pieces : pieces_) {
    for (const auto& piece : pieces) bytes += piece->kv_bytes();
  }
  return bytes;
}

void LocalDevice::AddPieces(std::map<const void*, uint64_t>& pieces) const {
  for (const Pieces& of_slot : pieces_) {
    for (const auto& piece : of_slot) pieces[piece.get()] = piece->weight_bytes() + piece->kv_bytes();
  }
}

bool LocalDevice::Holds(Work work, uint32_t layer) const {
  if (work == Work::kOutput) return !pieces(UnitKind::kOutput, 0).empty();
  if (layer >= layers_) return false;
  return !pieces(work == Work::kMix ? UnitKind::kHeads : UnitKind::kNeurons, layer).empty();
}

absl::StatusOr<UnitPiece*> LocalDevice::FindHeads(const KvRange& range) const {
  if (range.layer < layers_) {
    for (const auto& piece : pieces(UnitKind::kHeads, range.layer)) {
      const std::vector<uint32_t>& groups = piece->units();
      if (std::find(groups.begin(), groups.end(), range.group) != groups.end()) return piece.get();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("device ", name(), " holds no head group ", range.group, " of layer ", range.layer));
}

}  // namespace hearth
