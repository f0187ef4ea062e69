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

// The choices that the search for a plan varies; everything else follows from them.
struct Choices {
  // Per host of the cluster: whether it may take part. The leader always may.
  std::vector<bool> hosts;
  // In how many sections the other hosts may take part; those in which most bytes are expected come first.
  // Fewer sections mean fewer round trips: what does not fit the leader's host is then concentrated.
  size_t shared_sections = 0;
};

// Makes assignments from choices, section by section within the devices' memory. Immutable.
class CandidateMaker {
 public:
  // Cluster and model are valid, borrowed, and outlive this. `memory_bytes`: per device of
  // ListDevices(cluster), what neuron groups may take of it.
  CandidateMaker(const Cluster& cluster, const Model& model, std::vector<uint64_t> memory_bytes);

  // An assignment under the choices, or nullopt when the groups do not fit.
  std::optional<Assignment> Make(const Choices& choices) const;
  // Makes what Make has returned faster: sections are split again with the memory that is left over, and
  // exchange memory with one another (exchange.h). Takes many times as long as Make.
  void Improve(const Choices& choices, Assignment& assignment) const;

 private:
  struct State;
  bool PlaceSection(size_t section, bool shared, const Choices& choices, State& state) const;
  void SplitAgain(size_t section, bool shared, const Choices& choices, State& state) const;
  std::vector<bool> SharedSections(const Choices& choices) const;
  bool MayTake(size_t section, uint32_t device, bool shared, const Choices& choices) const;
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
