#ifndef HEARTH_ENGINE_KERNEL_MATRIX_TILES_H_
#define HEARTH_ENGINE_KERNEL_MATRIX_TILES_H_

namespace hearth {

// Whether this process may use the tile registers for 8-bit products (AMX): the processor has them and the
// system grants them, which is asked for on the first call. Always false where the build does not know them.
bool HasMatrixTiles();

// Makes HasMatrixTiles answer false, so that tests reach the kernels of machines without tiles.
void DisableMatrixTilesForTest(bool disabled);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_MATRIX_TILES_H_
