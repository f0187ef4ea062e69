#ifndef HEARTH_TESTS_SIMULATION_SCALE_H_
#define HEARTH_TESTS_SIMULATION_SCALE_H_

#include <cstdint>

namespace hearth::simulation {

// What a coordinator's decisions cost with many hosts and streams.
struct ScaleFigures {
  double joined_s = 0;       // simulated, until the last host that calls within the first second is alive
  double joining_cores = 0;  // CPU time per simulated time until then
  double steady_cores = 0;   // afterwards, with all streams
  int64_t growth_bytes = 0;  // of memory in use, over the steady time but its first third
};
ScaleFigures MeasureScale(uint32_t hosts, uint32_t streams);

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_SCALE_H_
