#ifndef HEARTH_DAEMON_PLANNING_MODEL_DESCRIPTION_H_
#define HEARTH_DAEMON_PLANNING_MODEL_DESCRIPTION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/model/model.h"
#include "engine/neuron/ffn_spec.h"
#include "placement/model.h"

namespace hearth {

// What placement is to know about a model. Its groups are numbered as outline.neuron_groups; their bytes are
// those of their bundles (engine/neuron/bundle.h), split by `sparsity` into what every token reads and what
// only firing neurons read. An expert fires when the router picks it: as often as the profile says, or
// equally often without one. Without profile the neurons of other sparse layers count as if they always
// fired. `leader_buffer_bytes`: KV cache and buffers of the leader (KvCacheBytes). INVALID_ARGUMENT when a
// bundle's layout cannot be made.
absl::StatusOr<placement::Model> DescribeModel(const ModelOutline& outline, SparsityMode sparsity,
                                               uint64_t leader_buffer_bytes);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_MODEL_DESCRIPTION_H_
