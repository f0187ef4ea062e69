#ifndef HEARTH_ENGINE_QUANT_IQ_GRIDS_H_
#define HEARTH_ENGINE_QUANT_IQ_GRIDS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace hearth {

// The points from which the IQ types choose: an index stands for 8 (or 4) neighbouring magnitudes. They are
// part of the file format, found once by its authors as well spread points of a lattice.
template <class T, size_t kPoints, size_t kWidth>
using IqGrid = std::array<std::array<T, kWidth>, kPoints>;

extern const IqGrid<uint8_t, 256, 8> kIq2XxsGrid;  // magnitudes 8, 25, 43
extern const IqGrid<uint8_t, 512, 8> kIq2XsGrid;   // magnitudes 8, 25, 43
extern const IqGrid<uint8_t, 1024, 8> kIq2SGrid;   // magnitudes 8, 25, 43
extern const IqGrid<uint8_t, 256, 4> kIq3XxsGrid;  // magnitudes 4, 12, ..., 52, 62
extern const IqGrid<uint8_t, 512, 4> kIq3SGrid;    // magnitudes 1, 3, ..., 15
extern const IqGrid<int8_t, 2048, 8> kIq1Grid;     // -1, 0, 1

}  // namespace hearth

#endif  // HEARTH_ENGINE_QUANT_IQ_GRIDS_H_
