#include "daemon/channel/shard_shape.h"

#include <algorithm>

#include "engine/attention/kv_cache.h"
#include "engine/outline/rounded_input.h"

namespace hearth {

ShardShape ShapeOf(uint64_t epoch, const ModelOutline& outline, const DecoderOptions& options,
                   absl::Span<const DeviceShare> shares) {
  ShardShape shape;
  shape.epoch = epoch;
  shape.limits = options;
  shape.n_embd = outline.spec.n_embd;
  for (uint32_t i = 0; i < outline.spec.n_layers; ++i) {
    LayerShape& layer = shape.layers.emplace_back();
    const FfnLayerSpec& ffn = outline.ffn_specs[i];
    const AdapterRanks& adapter = outline.spec.layers[i].adapter;
    layer.heads_adapted = adapter.mixer_inputs();
    layer.hidden_values = ffn.hidden_values();
    layer.heads_returned = adapter.output;
    layer.output_values = ffn.output_values();
    layer.blocks = static_cast<uint32_t>(ffn.block_neurons.size());
    layer.heads_block = RoundedInputBlock(outline, UnitKind::kHeads, i);
    layer.neurons_block = RoundedInputBlock(outline, UnitKind::kNeurons, i);
    for (const DeviceShare& share : shares) {
      layer.heads |= !share.head_groups[i].empty();
      layer.neurons |= !share.neuron_groups[i].empty();
    }
    // The whole layer's: a bound for each of its groups.
    const absl::StatusOr<KvLayerLayout> cache =
        MakeKvLayerLayout(outline.spec, outline.spec.layers[i], options.kv_type);
    if (cache.ok()) layer.position_bytes = cache->position_bytes();
  }
  shape.output_block = RoundedInputBlock(outline, UnitKind::kOutput, 0);
  for (const DeviceShare& share : shares) shape.leads_stage |= !share.led_layers.empty();
  std::vector<uint32_t> runs;
  for (const DeviceShare& share : shares) {
    runs.insert(runs.end(), share.output_runs.begin(), share.output_runs.end());
  }
  std::sort(runs.begin(), runs.end());
  for (uint32_t run : runs) {
    const IndexRange& rows = outline.output_runs[run];
    if (!shape.output_runs.empty() && shape.output_runs.back().end == rows.begin) {
      shape.output_runs.back().end = rows.end;
    } else {
      shape.output_runs.push_back(rows);
    }
  }
  return shape;
}

}  // namespace hearth
