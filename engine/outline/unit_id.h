#ifndef HEARTH_ENGINE_OUTLINE_UNIT_ID_H_
#define HEARTH_ENGINE_OUTLINE_UNIT_ID_H_

#include <compare>
#include <cstdint>

namespace hearth {

// The kinds of unit that a plan places.
enum class UnitKind : uint8_t { kHeads, kNeurons, kOutput, kLayer };

// A unit by its number in the outline: a head group or a neuron group of a layer, a run of output rows (whose
// layer is 0), or what whoever leads a layer has of it (number 0): norms, router, first half of the
// predictor.
struct UnitId {
  UnitKind kind = UnitKind::kHeads;
  uint32_t layer = 0;
  uint32_t number = 0;

  auto operator<=>(const UnitId&) const = default;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_UNIT_ID_H_
