#include "placement/step_rows.h"

#include <cmath>
#include <utility>

namespace hearth::placement {
namespace {

Group WithRows(Group group, uint32_t rows, uint32_t caches) {
  const double of_one_row = group.expected_bytes();
  group.frequency = 1 - std::pow(1 - group.frequency, rows);
  group.cache_read_bytes *= caches;
  if (const double read = group.expected_bytes(); read > 0)
    group.operations_per_byte *= rows * of_one_row / read;
  group.returned_bytes *= rows;
  return group;
}

Section WithRows(Section section, uint32_t rows, uint32_t caches) {
  section.sent_bytes *= rows;
  section.returned_bytes *= rows;
  for (Group& group : section.groups) group = WithRows(group, rows, caches);
  return section;
}

}  // namespace

Model WithRows(Model model, uint32_t rows) {
  if (rows <= 1) return model;
  for (Section& section : model.sections) section = WithRows(std::move(section), rows, rows);
  model.leader_operations_per_token *= rows;
  return model;
}

Model WithPromptRows(Model model, uint32_t rows) {
  if (rows <= 1) return model;
  for (Section& section : model.sections) {
    if (section.name.kind != GroupKind::kOutput) section = WithRows(std::move(section), rows, 1);
  }
  model.leader_operations_per_token *= rows;
  return model;
}

}  // namespace hearth::placement
