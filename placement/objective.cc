#include "placement/objective.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "absl/strings/str_cat.h"
#include "placement/step_rows.h"

namespace hearth::placement {
namespace {

constexpr char kLatency[] = "latency", kThroughput[] = "throughput", kPrompt[] = "prompt";
constexpr uint32_t kFewestRows = 2;

// Digits alone.
std::optional<uint32_t> ParseRows(std::string_view text, uint32_t most) {
  uint32_t rows = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rows);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return rows < kFewestRows || rows > most ? std::nullopt : std::optional(rows);
}

}  // namespace

Objective OfStreams(uint32_t streams) {
  return streams < kFewestRows ? Objective{} : Objective{ObjectiveKind::kThroughput, streams};
}

absl::StatusOr<Objective> ParseObjective(std::string_view text) {
  if (text == kLatency) return Objective{};
  if (text == kPrompt) return Objective{ObjectiveKind::kPrompt, kUsualPromptRows};
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, colon), rows = text.substr(std::min(colon + 1, text.size()));
  std::optional<uint32_t> parsed;
  if (name == kThroughput && (parsed = ParseRows(rows, kMostStreams)))
    return Objective{ObjectiveKind::kThroughput, *parsed};
  if (name == kPrompt && (parsed = ParseRows(rows, kMostPromptRows)))
    return Objective{ObjectiveKind::kPrompt, *parsed};
  return absl::InvalidArgumentError(absl::StrCat(
      "expected latency, throughput:N (N streams at a time, ", kFewestRows, " to ", kMostStreams,
      "), prompt or prompt:N (N tokens of a prompt at a time, ", kFewestRows, " to ", kMostPromptRows, ")"));
}

std::string ObjectiveText(const Objective& objective) {
  switch (objective.kind) {
    case ObjectiveKind::kLatency:
      break;
    case ObjectiveKind::kThroughput:
      return absl::StrCat(kThroughput, ":", objective.rows);
    case ObjectiveKind::kPrompt:
      return absl::StrCat(kPrompt, ":", objective.rows);
  }
  return kLatency;
}

Objective AtMost(const Objective& objective, uint32_t streams, uint32_t prompt_rows) {
  Objective limited = objective;
  limited.rows = std::min(objective.rows, objective.kind == ObjectiveKind::kPrompt ? prompt_rows : streams);
  return limited.rows < kFewestRows ? Objective{} : limited;
}

Model ForObjective(const Model& model, const Objective& objective) {
  return objective.kind == ObjectiveKind::kPrompt ? WithPromptRows(model, objective.rows)
                                                  : WithRows(model, objective.rows);
}

double Expectation::tokens_per_second() const { return 1e6 / std::max(us_per_token(), 1e-3); }

std::vector<Expectation> ExpectationsOf(const Objective& objective,
                                        const std::function<double(const Objective&)>& step_us) {
  std::vector<Expectation> expected = {{{}, 0},
                                       {{ObjectiveKind::kThroughput, kUsualStreams}, 0},
                                       {{ObjectiveKind::kPrompt, kUsualPromptRows}, 0}};
  for (Expectation& of : expected) {
    if (of.objective.kind == objective.kind) of.objective = objective;
    of.step_us = step_us(of.objective);
  }
  return expected;
}

}  // namespace hearth::placement
