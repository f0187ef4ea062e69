#include "daemon/channel/shard_shape.h"

namespace hearth {

ShardShape ShapeOf(const ShardDescription& shard) {
  ShardShape shape;
  shape.epoch = shard.epoch;
  shape.max_rows = shard.max_rows;
  shape.layers.resize(shard.layers);
  for (const ShardLayer& share : shard.shares) {
    const FfnLayerSpec& spec = share.spec;
    shape.layers[share.layer] = {true, spec.n_embd, spec.predictor_rank, spec.output_values(),
                                 static_cast<uint32_t>(spec.block_neurons.size())};
  }
  return shape;
}

}  // namespace hearth
