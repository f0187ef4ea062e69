#ifndef HEARTH_ENGINE_ATTENTION_ROW_PLACE_H_
#define HEARTH_ENGINE_ATTENTION_ROW_PLACE_H_

#include <cstdint>

namespace hearth {

// Where the token of a row stands: at a position of a sequence, in its prompt or behind it.
struct RowPlace {
  uint32_t sequence = 0;
  uint32_t position = 0;
  bool prompt = false;

  bool operator==(const RowPlace&) const = default;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_ROW_PLACE_H_
