// How far plans are from the best there is, and how long they take: homes whose models barely fit, and large
// ones.
#include <cstdio>

#include "absl/time/clock.h"
#include "placement/lower_bound.h"
#include "placement/plan.h"
#include "tests/placement/homes.h"

namespace hearth::placement {
namespace {

int Main() {
  std::printf("%-46s %12s %12s %8s %10s %10s\n", "", "plan ms", "bound ms", "gap", "planned s", "proved s");
  std::vector<Situation> situations = QuickSituations();
  for (Situation& slow : SlowSituations()) situations.push_back(std::move(slow));
  for (const Situation& situation : situations) {
    const absl::Time start = absl::Now();
    // Every host that helps at all, as the bound has it.
    const absl::StatusOr<Plan> plan = MakePlan(situation.cluster, situation.model, {.margin = 0});
    const absl::Time planned = absl::Now();
    if (!plan.ok()) {
      std::fprintf(stderr, "%s: %s\n", situation.name, plan.status().ToString().c_str());
      return 1;
    }
    const absl::StatusOr<LowerBound> bound = ProveLowerBound(situation.cluster, situation.model, *plan);
    const absl::Time proved = absl::Now();
    if (!bound.ok()) {
      std::fprintf(stderr, "%s: %s\n", situation.name, bound.status().ToString().c_str());
      return 1;
    }
    std::printf("%-46s %12.2f %12.2f %6.2f %% %10.2f %10.1f\n", situation.name, plan->time.total_us / 1000,
                bound->total_us / 1000, 100 * (plan->time.total_us / bound->total_us - 1),
                absl::ToDoubleSeconds(planned - start), absl::ToDoubleSeconds(proved - planned));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace hearth::placement

int main() { return hearth::placement::Main(); }
