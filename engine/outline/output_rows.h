#ifndef HEARTH_ENGINE_OUTLINE_OUTPUT_ROWS_H_
#define HEARTH_ENGINE_OUTLINE_OUTPUT_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/spec/spec.h"
#include "engine/weights/parameters.h"
#include "engine/weights/unit.h"
#include "engine/weights/weight_loader.h"

namespace hearth {

// Cuts the output head's vocabulary into the runs of rows in which it is placed: at most `max_runs`, whole
// groups of the kernels' panels. The result depends on the model alone.
std::vector<IndexRange> MakeOutputRuns(uint32_t n_vocab, uint32_t max_runs = 64);

// Rows of a matrix of some runs joined that are neighbours in the vocabulary as well.
struct RowSegment {
  size_t first_row = 0;  // of the matrix
  size_t first_token = 0;
  size_t count = 0;
};
// The segments of the runs numbered `held` (rising, at least one), in the order of the matrix's rows.
std::vector<RowSegment> SegmentsOf(absl::Span<const IndexRange> runs, absl::Span<const uint32_t> held);

// The weights of one run as slices of the model's tensors; without a matrix of its own the head is the
// embedding, turned round.
UnitParts OutputRowParts(const IndexRange& run, const TensorSet& tensors);

// Loads (or checks) `rows` output rows from their tensors. Errors stay in the loader.
Linear LoadOutputRows(const ModelSpec& spec, uint64_t rows, WeightLoader& loader);

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_OUTPUT_ROWS_H_
