#include "daemon/model_tool/profile_result.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hearth::model_tool {

std::vector<LayerResult> Summarize(const std::vector<FfnLayerSpec>& layers,
                                   const std::vector<std::vector<float>>& shares,
                                   const Predictors& predictors) {
  std::vector<LayerResult> results;
  for (uint32_t i = 0; i < shares.size(); ++i) {
    if (shares[i].empty()) continue;
    const bool experts = layers[i].block_neurons.size() > 1;
    const auto found = predictors.find(i);
    results.push_back(
        {i, experts, OrderByFiring(shares[i]), found == predictors.end() ? nullptr : &found->second});
  }
  return results;
}

nlohmann::json ToJson(const LayerResult& result) {
  nlohmann::json layer = {{"layer", result.layer},
                          {result.experts ? "experts" : "neurons", result.order.shares.size()},
                          {"firing", result.order.mean},
                          {"hot", result.order.hot},
                          {"hot_share", result.order.hot_share()}};
  if (const Predictor* predictor = result.predictor) {
    layer["predictor"] = {{"rank", predictor->rank},
                          {"firing", predictor->firing},
                          {"kept", predictor->kept},
                          {"lost_mass", predictor->lost_mass},
                          {"bytes_share", predictor->bytes / predictor->dense_bytes}};
  }
  return layer;
}

std::string ToText(const LayerResult& result) {
  std::string line =
      absl::StrFormat("layer %3d  %6d %s  %5.1f %% fire for a token, %5.1f %% make up 80 %% of that",
                      result.layer, result.order.shares.size(), result.experts ? "experts" : "neurons",
                      100 * result.order.mean, 100 * result.order.hot_share());
  if (const Predictor* predictor = result.predictor) {
    absl::StrAppendFormat(&line,
                          "; rank %d keeps %.1f %%, loses %.1f %% of the output, reads %.0f %% of the bytes",
                          predictor->rank, 100 * predictor->kept, 100 * predictor->lost_mass,
                          100 * predictor->bytes / predictor->dense_bytes);
  }
  return line + "\n";
}

}  // namespace hearth::model_tool
