#ifndef HEARTH_DAEMON_MODEL_TOOL_PROFILE_RESULT_H_
#define HEARTH_DAEMON_MODEL_TOOL_PROFILE_RESULT_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/neuron/ffn_spec.h"
#include "engine/tools/firing_order.h"
#include "engine/tools/predictor_fit.h"

namespace hearth::model_tool {

using Predictors = std::map<uint32_t, Predictor>;  // by layer

// What a profile says of one layer in the end.
struct LayerResult {
  uint32_t layer = 0;
  bool experts = false;
  FiringOrder order;
  const Predictor* predictor = nullptr;  // borrowed; null: none
};

// Of the layers of which there are shares. `predictors` outlive the results.
std::vector<LayerResult> Summarize(const std::vector<FfnLayerSpec>& layers,
                                   const std::vector<std::vector<float>>& shares,
                                   const Predictors& predictors);

// For machines, and a line for people.
nlohmann::json ToJson(const LayerResult& result);
std::string ToText(const LayerResult& result);

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_PROFILE_RESULT_H_
