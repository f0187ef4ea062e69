#include "placement/section_kinds.h"

#include <map>

namespace hearth::placement {
namespace {

// Everything that the cost of a section depends on.
std::vector<double> FiguresOf(const Section& section) {
  std::vector<double> figures = {
      static_cast<double>(section.sent_bytes), static_cast<double>(section.returned_bytes),
      section.stays_with_leader ? 1.0 : 0.0, section.cpu_only ? 1.0 : 0.0, section.on_disk ? 1.0 : 0.0};
  for (const Group& group : section.groups) {
    for (const double figure :
         {static_cast<double>(group.always_bytes), static_cast<double>(group.firing_bytes), group.frequency,
          group.operations_per_byte, static_cast<double>(group.cache_bytes),
          static_cast<double>(group.returned_bytes), static_cast<double>(group.resident_bytes),
          group.cache_read_bytes}) {
      figures.push_back(figure);
    }
  }
  return figures;
}

}  // namespace

SectionKinds KindsOf(const Model& model) {
  SectionKinds kinds;
  std::map<std::vector<double>, size_t> kind_of_figures;
  for (size_t i = 0; i < model.sections.size(); ++i) {
    const auto [found, is_new] = kind_of_figures.emplace(FiguresOf(model.sections[i]), kinds.size());
    if (is_new) {
      kinds.first.push_back(i);
      kinds.counts.push_back(0);
    }
    ++kinds.counts[found->second];
    kinds.of_section.push_back(found->second);
  }
  return kinds;
}

}  // namespace hearth::placement
