#ifndef HEARTH_DAEMON_CHANNEL_SHARD_SHAPE_H_
#define HEARTH_DAEMON_CHANNEL_SHARD_SHAPE_H_

#include "daemon/channel/frame.h"
#include "daemon/weights/shard_description.h"

namespace hearth {

// What the tensor messages for this shard look like.
ShardShape ShapeOf(const ShardDescription& shard);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_SHARD_SHAPE_H_
