#ifndef HEARTH_ENGINE_NEURON_TURN_DOWN_H_
#define HEARTH_ENGINE_NEURON_TURN_DOWN_H_

#include <vector>

#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// Standard GGUF files store `down` by output row, so one neuron is a column and cannot be read alone. Turning
// makes it a row, without loss: F32, F16 and BF16 move value by value; Q8_0 and Q4_0 keep their integers in
// rows of unit scale, and the scales, shared by 32 neighbouring neurons of one output, are kept beside them.

// The number of neurons that share a scale in a turned matrix of Q8_0 or Q4_0.
inline constexpr uint32_t kTurnedBlock = 32;

// Whether `down` of this layer can be turned.
bool CanTurnDown(const FfnLayerSpec& spec);

// Turns the group's kDown part in place: afterwards it is (neurons, n_embd). Returns the scales, (neurons /
// kTurnedBlock, n_embd), or nothing for types without: column i is row i times scales[i / kTurnedBlock].
std::vector<float> TurnDown(LoadedGroup& group);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_TURN_DOWN_H_
