#ifndef HEARTH_DAEMON_CHANNEL_SHARD_SHAPE_H_
#define HEARTH_DAEMON_CHANNEL_SHARD_SHAPE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "daemon/channel/frame.h"
#include "engine/attention/decoder_options.h"
#include "engine/device/host_share.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// What the tensor messages to a host look like that holds these shares, one per device.
ShardShape ShapeOf(uint64_t epoch, const ModelOutline& outline, const DecoderOptions& options,
                   absl::Span<const DeviceShare> shares);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_SHARD_SHAPE_H_
