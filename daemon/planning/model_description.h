#ifndef HEARTH_DAEMON_PLANNING_MODEL_DESCRIPTION_H_
#define HEARTH_DAEMON_PLANNING_MODEL_DESCRIPTION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/attention/decoder_options.h"
#include "engine/outline/model_outline.h"
#include "engine/outline/unit_id.h"
#include "placement/model.h"

namespace hearth {

// What placement is to know about a model: its sections are, layer by layer, the head groups and the neuron
// groups of the outline, and at last its output runs, numbered as there. The bytes of neuron groups are those
// of their bundles (engine/neuron/bundle.h), split by the model's sparsity into what every token reads and
// what only firing neurons read. An expert fires when the router picks it: as often as the profile says, or
// equally often without one. Without profile the neurons of other sparse layers count as if they always
// fired. Those that lie in a packed file, one by one, can be on a disk. Caches are those of a decoder with
// these options. INVALID_ARGUMENT when a bundle or a cache cannot be laid out.
absl::StatusOr<placement::Model> DescribeModel(const ModelOutline& outline, const DecoderOptions& options);

// The unit of a section's group.
UnitId UnitOf(const placement::SectionName& section, uint32_t group);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_MODEL_DESCRIPTION_H_
