#ifndef HEARTH_PLACEMENT_COLUMN_MIX_H_
#define HEARTH_PLACEMENT_COLUMN_MIX_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "placement/cluster.h"
#include "placement/column_program.h"
#include "placement/memory_budget.h"
#include "placement/model.h"
#include "placement/plan_time.h"
#include "placement/priced_split.h"
#include "placement/section_kinds.h"

namespace hearth::placement {

// Makes assignments by column generation: a linear program mixes known ways to split each kind of section so
// that memory suffices (column_program.h); its prices of memory lead to better ways (priced_split.h), until
// none is found; what is left of fractions is placed section by section. Ways that were found for some hosts
// serve when other hosts are asked for.
class ColumnMix {
 public:
  // Cluster and model are valid, borrowed, and outlive this.
  ColumnMix(const Cluster& cluster, const Model& model, std::vector<uint64_t> memory_bytes);

  // An assignment to devices of the leader and `hosts`, or nullopt when the groups are not made to fit.
  std::optional<Assignment> Make(const std::vector<bool>& hosts);

 private:
  struct Way {
    size_t kind = 0;
    std::vector<uint32_t> placed;
    SectionSplit split;
    std::vector<bool> remotes;
  };
  bool Add(size_t kind, std::vector<uint32_t> placed);
  void Generate(const std::vector<bool>& hosts);
  std::optional<Assignment> Round(const std::vector<bool>& hosts) const;

  const Cluster& cluster_;
  const Model& model_;
  std::vector<DeviceRef> devices_;
  std::vector<uint64_t> memory_bytes_;
  SectionKinds kinds_;
  std::vector<PricedSplit> splitters_;  // of kinds
  ColumnProgram program_;
  std::vector<Way> ways_;
};

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_COLUMN_MIX_H_
