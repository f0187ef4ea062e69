#ifndef HEARTH_ENGINE_WEIGHTS_UNIT_H_
#define HEARTH_ENGINE_WEIGHTS_UNIT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/file/gguf.h"
#include "engine/weights/tensor_set.h"

namespace hearth {

// A unit is what a plan places as a whole: a head group, a run of output rows, a stage's own tensors. Its
// weights are slices of the model's tensors; as one run of bytes, in which they are sent, hashed and cached,
// they are its bundle. (Neuron groups have a bundle of their own form, engine/neuron/bundle.h.)

// Rows or columns [begin, end) of a tensor.
struct IndexRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  // How many there are.
  uint64_t size() const { return end - begin; }
  bool operator==(const IndexRange&) const = default;
};

// Along which axis the units of a layer share a tensor out.
enum class Axis {
  kNone,  // each has all of it
  kRows,
  kCols,  // whole blocks of the type; also the values of a vector
};

// What a unit has of one tensor: `runs` along `axis`, in this order; all of it with kNone.
struct TensorPart {
  GgufTensor tensor;  // name, type and shape; the data where the file is at hand
  Axis axis = Axis::kNone;
  std::vector<IndexRange> runs;
};
using UnitParts = std::vector<TensorPart>;

// Where each part lies in the bundle: rows without gaps, parts at multiples of 64 bytes.
struct UnitLayout {
  std::vector<uint64_t> offsets;
  uint64_t bytes = 0;
};
// INVALID_ARGUMENT, naming the tensor, for runs that leave it or cut a block in two.
absl::StatusOr<UnitLayout> MakeUnitLayout(const UnitParts& parts);

// The bundle, read from the file's data. `layout` is that of `parts`.
std::vector<uint8_t> ExtractBundle(const UnitParts& parts, const UnitLayout& layout);

// A unit's weights wherever they are: in the model's file (no bundle), or in its bundle.
struct UnitWeights {
  UnitParts parts;
  UnitLayout layout;
  std::vector<uint8_t> bundle;  // empty: the parts' tensors have data
};
// INVALID_ARGUMENT when the bundle is not of the size that the parts make it.
absl::StatusOr<UnitWeights> UnitFromBundle(UnitParts parts, std::vector<uint8_t> bundle);
absl::StatusOr<UnitWeights> UnitFromFile(UnitParts parts);

// The units' tensors joined: one narrower tensor for each of the model's. Run number i of every unit comes
// before run number i + 1 of any (so that query, key and value stay apart in a tensor that stacks them). What
// lies in one piece in the file is borrowed from there, the rest copied; `units` may go. All units have parts
// of the same tensors in the same order (CHECK).
TensorSet JoinUnits(absl::Span<const UnitWeights> units);

}  // namespace hearth

#endif  // HEARTH_ENGINE_WEIGHTS_UNIT_H_
