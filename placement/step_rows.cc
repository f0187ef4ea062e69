#include "placement/step_rows.h"

#include <cmath>

namespace hearth::placement {
namespace {

Group WithRows(Group group, double rows) {
  const double of_one_row = group.expected_bytes();
  group.frequency = 1 - std::pow(1 - group.frequency, rows);
  group.cache_read_bytes *= rows;
  if (const double read = group.expected_bytes(); read > 0)
    group.operations_per_byte *= rows * of_one_row / read;
  return group;
}

}  // namespace

Model WithRows(Model model, uint32_t rows) {
  if (rows <= 1) return model;
  for (Section& section : model.sections) {
    section.sent_bytes *= rows;
    section.returned_bytes *= rows;
    for (Group& group : section.groups) {
      group = WithRows(group, rows);
      group.returned_bytes *= rows;
    }
  }
  model.leader_operations_per_token *= rows;
  return model;
}

}  // namespace hearth::placement
