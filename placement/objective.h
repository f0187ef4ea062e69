#ifndef HEARTH_PLACEMENT_OBJECTIVE_H_
#define HEARTH_PLACEMENT_OBJECTIVE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/model.h"

namespace hearth::placement {

enum class ObjectiveKind {
  kLatency,     // of one stream
  kThroughput,  // of several streams together
  kPrompt,      // how fast prompts are read
};

// What a plan is to be fast at: a kind of step.
struct Objective {
  ObjectiveKind kind = ObjectiveKind::kLatency;
  uint32_t rows = 1;  // of the step: one of each of so many streams, or so many of one prompt

  bool operator==(const Objective&) const = default;
};

inline constexpr uint32_t kUsualStreams = 8;
inline constexpr uint32_t kUsualPromptRows = 512;
inline constexpr uint32_t kMostStreams = 256;
inline constexpr uint32_t kMostPromptRows = 4096;

// Steps of so many streams: of one stream, latency.
Objective OfStreams(uint32_t streams);

// "latency", "throughput:8", "prompt:512"; "prompt" is one of kUsualPromptRows. INVALID_ARGUMENT says what is
// allowed.
absl::StatusOr<Objective> ParseObjective(std::string_view text);
std::string ObjectiveText(const Objective& objective);
// The same with at most so many streams, or rows of a prompt: of one stream what is left is latency.
Objective AtMost(const Objective& objective, uint32_t streams, uint32_t prompt_rows);

// The model as such a step sees it (step_rows.h): the plan for an objective is the one for this model.
Model ForObjective(const Model& model, const Objective& objective);

// What such a step is expected to take.
struct Expectation {
  Objective objective;
  double step_us = 0;

  double us_per_token() const { return step_us / objective.rows; }
  double tokens_per_second() const;  // of all streams together

  bool operator==(const Expectation&) const = default;
};
// Of a step of each kind, as `step_us` says: the objective's and, of the other kinds, usual ones.
std::vector<Expectation> ExpectationsOf(const Objective& objective,
                                        const std::function<double(const Objective&)>& step_us);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_OBJECTIVE_H_
