#ifndef HEARTH_ENGINE_NEURON_DISK_NEURONS_H_
#define HEARTH_ENGINE_NEURON_DISK_NEURONS_H_

#include <cstdint>
#include <memory>

#include "engine/disk/record_cache.h"

namespace hearth {

// What layers share whose neurons stay in a packed file: the cache that their records go through, and where
// the file's mapping begins, so that places in it are places in the file.
struct DiskNeurons {
  std::unique_ptr<RecordCache> cache;
  const uint8_t* mapping = nullptr;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_DISK_NEURONS_H_
