#ifndef HEARTH_ENGINE_ATTENTION_DECODER_OPTIONS_H_
#define HEARTH_ENGINE_ATTENTION_DECODER_OPTIONS_H_

#include <cstdint>

#include "engine/kernel/attention.h"

namespace hearth {

// How much is computed and cached at a time. The same for a decoder and for all devices that work for it.
struct DecoderOptions {
  uint32_t sequences = 1;         // sequences that can be in flight (slots)
  uint32_t context_length = 512;  // positions per sequence
  uint32_t max_rows = 512;        // rows of one step at most
  KvType kv_type = KvType::kF32;

  bool operator==(const DecoderOptions&) const = default;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_DECODER_OPTIONS_H_
