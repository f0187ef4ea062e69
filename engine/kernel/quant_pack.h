#ifndef HEARTH_ENGINE_KERNEL_QUANT_PACK_H_
#define HEARTH_ENGINE_KERNEL_QUANT_PACK_H_

// How quantised weights lie in panels. A strip holds, for 16 rows and n units of 32 columns (8 but in the
// last strip of a row), exactly the bits of the file's blocks. It is read from its start to its end, since a
// machine's prefetchers follow nothing else:
//
//   scales  The numbers of all its units or of its super-block, the 16 rows side by side. Then, unit after
//   unit: codes   Vectors of 64 bytes: 16 rows x 4 neighbouring columns ("quads" 0..7 of the unit). Types of
//   8 bits have
//           8 vectors; types of 4 bits and more have 4, whose low nibbles are quads 0-3 and high nibbles
//           quads 4-7.
//   upper   The bits above the nibbles (Q5, Q6), or all bits (Q2_K, Q3_K): with 1 bit per value one vector,
//   bit q
//           of a byte for quad q; with 2 bits two vectors, bits 2q and 2q+1 for quads q and 4 + q.
//
// The fields of every type stand in quant_formats-inl.h beside the code that reads them.

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/quant/types.h"

namespace hearth {

// Whether `type` has a quantised panel layout.
bool HasQuantPanels(TensorType type);

// Packs one strip of a panel: of `rows` (1 to 16) rows of cols values, row_bytes apart. `out` holds zeroed
// bytes, as many as 16 rows have for the strip.
void PackQuantStrip(TensorType type, const uint8_t* source, size_t row_bytes, size_t rows, size_t cols,
                    size_t strip, uint8_t* out);

// Packs a whole row as the only one of its panel: the numbers of its strips, strip after strip, as many bytes
// as the file has for it. Panels are made of such rows by laying their numbers side by side.
void PackQuantRow(TensorType type, const uint8_t* row, size_t cols, uint8_t* out);

// What a strip consists of, from its start to its end: `count` times the numbers of `width` bytes that its 16
// rows have side by side. Fields at the end may have no numbers.
struct StripField {
  size_t width;
  size_t count;
};
using StripFields = std::array<StripField, 4>;
StripFields StripFieldsOf(TensorType type, size_t units);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_QUANT_PACK_H_
