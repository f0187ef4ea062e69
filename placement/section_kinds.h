#ifndef HEARTH_PLACEMENT_SECTION_KINDS_H_
#define HEARTH_PLACEMENT_SECTION_KINDS_H_

#include <cstddef>
#include <vector>

#include "placement/model.h"

namespace hearth::placement {

// Sections with the same figures, group by group: what is found for one of them holds for all. A dense model
// has a handful of kinds, one with a profile as many as it has layers.
struct SectionKinds {
  std::vector<size_t> of_section;
  std::vector<size_t> first;  // section of each kind
  std::vector<int> counts;    // sections of each kind

  size_t size() const { return first.size(); }
};
SectionKinds KindsOf(const Model& model);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_SECTION_KINDS_H_
