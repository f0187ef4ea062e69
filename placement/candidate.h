#ifndef HEARTH_PLACEMENT_CANDIDATE_H_
#define HEARTH_PLACEMENT_CANDIDATE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/plan_time.h"

namespace hearth::placement {

// Makes assignments to the leader's host and others that may take part, section by section within the
// devices' memory. Immutable.
class CandidateMaker {
 public:
  // Cluster and model are valid, borrowed, and outlive this. `memory_bytes`: per device of
  // ListDevices(cluster), what neuron groups may take of it.
  CandidateMaker(const Cluster& cluster, const Model& model, std::vector<uint64_t> memory_bytes);

  // An assignment to the leader's host and `hosts` (per host of the cluster), or nullopt when the groups do
  // not fit.
  std::optional<Assignment> Make(const std::vector<bool>& hosts) const;
  // Makes what Make has returned faster: sections are split again with the memory that is left over, and
  // exchange memory with one another (exchange.h). Takes many times as long as Make.
  void Improve(const std::vector<bool>& hosts, Assignment& assignment) const;

 private:
  struct State;
  bool PlaceSection(size_t section, const std::vector<bool>& hosts, State& state) const;
  void SplitAgain(size_t section, const std::vector<bool>& hosts, State& state) const;
  bool MayTake(size_t section, uint32_t device, const std::vector<bool>& hosts) const;
  std::vector<uint64_t> Quotas(size_t section, const std::vector<uint32_t>& takers, const State& state) const;
  std::optional<std::vector<uint32_t>> Split(size_t section, const std::vector<uint32_t>& takers,
                                             const std::vector<uint64_t>& memory_bytes) const;

  const Cluster& cluster_;
  const Model& model_;
  std::vector<DeviceRef> devices_;
  std::vector<uint64_t> memory_bytes_;
  std::vector<uint64_t> section_bytes_;
  std::vector<size_t> busiest_first_;  // sections
};

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_CANDIDATE_H_
