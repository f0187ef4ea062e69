#ifndef HEARTH_ENGINE_KERNEL_ROW_WRITER_H_
#define HEARTH_ENGINE_KERNEL_ROW_WRITER_H_

// How matrices that keep rows read them; not for other folders.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/scratch.h"

namespace hearth {

// Puts `rows` rows of a file, which `read` gives, into `out` in the form that RowForm or DownRowForm makes of
// them. What the form changes goes through a small buffer, one per thread.
template <class Form>
void WriteRows(const Form& form, size_t rows, Matrix::RowReader read, ThreadPool& pool, uint8_t* out) {
  constexpr size_t kRowsPerPiece = 16;
  const size_t row_bytes = form.bytes(), pieces = (rows + kRowsPerPiece - 1) / kRowsPerPiece;
  std::vector<Scratch<uint8_t>> buffers(static_cast<size_t>(pool.threads()));
  pool.ParallelFor(pieces, 1, [&](size_t begin, size_t end, int thread) {
    const size_t first = begin * kRowsPerPiece, count = std::min(end * kRowsPerPiece, rows) - first;
    uint8_t* const to = out + first * row_bytes;
    if (form.is_files()) return read(first, count, to);
    uint8_t* const buffer = buffers[static_cast<size_t>(thread)].Reserve(count * row_bytes);
    read(first, count, buffer);
    for (size_t r = 0; r < count; ++r) form.Write(buffer + r * row_bytes, to + r * row_bytes);
  });
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_ROW_WRITER_H_
