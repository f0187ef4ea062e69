#ifndef HEARTH_PLACEMENT_COLUMN_PROGRAM_H_
#define HEARTH_PLACEMENT_COLUMN_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "placement/plan_time.h"

namespace hearth::placement {

// The linear program of a decomposition: how many sections of each kind are split in which of the known ways,
// so that all take the least time and the devices' memory holds them. Fractions of sections are allowed.
class ColumnProgram {
 public:
  // How many sections there are of each kind, and the bytes that each device has for them.
  ColumnProgram(absl::Span<const int> sections_of_kind, absl::Span<const uint64_t> memory_bytes);
  ~ColumnProgram();

  // A way to split a section of this kind; ways are numbered in this order. False, and nothing is added,
  // where it is known already.
  bool Add(size_t kind, const SectionSplit& split);
  // Whether it may be used.
  void Allow(size_t way, bool allowed);

  // The time of all sections; memory that is not there costs more than any split.
  double Solve();
  // After Solve: how many sections are split each way; what a byte of each device is worth (microseconds);
  // whether memory suffices.
  double Count(size_t way) const;
  std::vector<double> Prices() const;
  bool Fits() const;

 private:
  struct Program;
  const std::unique_ptr<Program> program_;
};

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_COLUMN_PROGRAM_H_
