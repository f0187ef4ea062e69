#ifndef HEARTH_TESTS_PLACEMENT_HOMES_H_
#define HEARTH_TESTS_PLACEMENT_HOMES_H_

#include <string>
#include <vector>

#include "tests/placement/examples.h"

namespace hearth::placement {

// A model in a home whose plan is compared with the best there is.
struct Situation {
  const char* name;
  Cluster cluster;
  Model model;
};

// Within seconds.
inline std::vector<Situation> QuickSituations() {
  Cluster eight, four;
  for (int i = 0; i < 8; ++i) eight.hosts.push_back(GamingPc("pc" + std::to_string(i), 11 * kGiB, 24 * kGiB));
  for (uint64_t i = 0; i < 4; ++i) {
    four.hosts.push_back(GamingPc("pc" + std::to_string(i), (1 + i) * kGiB, (2 + i) * kGiB));
    four.hosts.back().devices[0].read_bytes_per_s = 1e11 * static_cast<double>(6 - i);
  }
  const Cluster one{{GamingPc("pc", 2 * kGiB, 24 * kGiB)}, 0};
  return {{"70B, 8 x 2 devices", eight, LlamaModel(kLlama70b)},
          {"7B, 4 x 2 unlike devices", four, LlamaModel(kLlama7b)},
          {"7B, one small GPU", one, LlamaModel(kLlama7b)}};
}

// Within minutes.
inline std::vector<Situation> SlowSituations() {
  Cluster small, unlike;
  for (uint64_t i = 0; i < 8; ++i) {
    const std::string name = "pc" + std::to_string(i);
    small.hosts.push_back(GamingPc(name, 5 * kGiB, 6 * kGiB, 1.15e9));
    unlike.hosts.push_back(GamingPc(name, (3 + i) * kGiB, (5 + i) * kGiB, i % 2 == 0 ? 1.17e8 : 1.15e9));
    unlike.hosts.back().devices[0].read_bytes_per_s = 1e11 * static_cast<double>(10 - i);
  }
  const Cluster one{{GamingPc("pc", 2 * kGiB, 24 * kGiB)}, 0};
  return {{"70B, 8 x 2 devices with little memory", small, LlamaModel(kLlama70b)},
          {"70B, 8 x 2 unlike devices", unlike, LlamaModel(kLlama70b)},
          {"7B that fires by a power law, one small GPU", one, PowerLawModel(kLlama7b)}};
}

}  // namespace hearth::placement

#endif  // HEARTH_TESTS_PLACEMENT_HOMES_H_
