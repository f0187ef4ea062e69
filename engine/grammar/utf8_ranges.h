#ifndef HEARTH_ENGINE_GRAMMAR_UTF8_RANGES_H_
#define HEARTH_ENGINE_GRAMMAR_UTF8_RANGES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/grammar/rules.h"

namespace hearth::grammar {

// The UTF-8 forms of some characters: `length` bytes, each in its range. All combinations are characters.
struct ByteSequence {
  size_t length = 0;
  struct Range {
    uint8_t first;
    uint8_t last;
  };
  std::array<Range, 4> bytes = {};
};

// The range's characters as few sequences, ascending and without overlaps. It holds no surrogates.
std::vector<ByteSequence> Utf8Sequences(CodePointRange range);

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_UTF8_RANGES_H_
