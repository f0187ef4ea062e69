#include "tests/conformance/reference.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"
#include "nlohmann/json.hpp"

namespace hearth {
namespace {

// As tests/fixtures/make_model_fixtures.py and tests/engine/model have them: float32 sums over two layers,
// logits with a standard deviation of about 1.
constexpr double kFixtureTolerance = 2e-5;
constexpr uint32_t kFixtureContext = 48;
constexpr int32_t kFixtureTokens = 12;

ReferenceTolerance ReadTolerance(const nlohmann::json& json) {
  return {json.at("max_abs"), json.value("rms", 0.0), json.value("kl_mean", 0.0)};
}

ReferencePrompt ReadPrompt(const nlohmann::json& json) {
  ReferencePrompt prompt;
  prompt.tokens = json.at("tokens").get<std::vector<int32_t>>();
  prompt.greedy = json.value("greedy", std::vector<int32_t>());
  prompt.greedy_hp = json.value("greedy_hp", prompt.greedy);
  prompt.min_gap = json.value("min_gap", 0.0);
  prompt.min_gap = std::min(prompt.min_gap, json.value("min_gap_hp", prompt.min_gap));
  return prompt;
}

// log(sum(exp(x))).
double LogSumExp(const float* x, size_t n) {
  const double largest = *std::max_element(x, x + n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += std::exp(x[i] - largest);
  return largest + std::log(sum);
}

double KlDivergence(const float* reference, const float* ours, size_t n) {
  const double reference_log_sum = LogSumExp(reference, n);
  const double log_sum = LogSumExp(ours, n);
  double divergence = 0;
  for (size_t i = 0; i < n; ++i) {
    const double log_p = reference[i] - reference_log_sum;
    divergence += std::exp(log_p) * (log_p - (ours[i] - log_sum));
  }
  return divergence;
}

}  // namespace

absl::StatusOr<ReferenceModel> ReadReferenceModel(const std::filesystem::path& path) {
  ReferenceModel model;
  model.name = path.stem().string();
  try {
    std::ifstream stream(path);
    const nlohmann::json json = nlohmann::json::parse(stream);
    model.file = path.parent_path() / json.at("file").get<std::string>();
    // The runs of the reference had this context; shorter values in the pack only bound its prompts.
    model.context_length = std::max(512u, json.at("n_ctx").get<uint32_t>());
    model.logits_std = json.at("logits_std");
    model.f32_activations = ReadTolerance(json.at("tolerance").at("f32_activations"));
    model.rounded_activations = ReadTolerance(json.at("tolerance").at("rounded_activations"));
    for (const nlohmann::json& prompt : json.at("prompts")) model.prompts.push_back(ReadPrompt(prompt));
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", error.what()));
  }
  const std::string base = (path.parent_path() / model.name).string();
  const std::string exact = base + ".logits_hp.npy";
  HEARTH_ASSIGN_OR_RETURN(model.logits,
                          ReadNpy(std::filesystem::exists(exact) ? exact : base + ".logits.npy"));
  if (model.prompts.empty() || model.logits.rows != model.prompts[0].tokens.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": the first prompt and its logits differ in length"));
  }
  return model;
}

absl::StatusOr<ReferenceModel> ReadFixtureModel(const std::filesystem::path& path) {
  ReferenceModel model;
  model.name = path.stem().string();
  model.file = path;
  model.context_length = kFixtureContext;
  model.f32_activations.max_abs = kFixtureTolerance;
  ReferencePrompt& prompt = model.prompts.emplace_back();
  for (int32_t i = 0; i < kFixtureTokens; ++i) prompt.tokens.push_back(i * 5 % 24);
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path.string()));
  HEARTH_ASSIGN_OR_RETURN(const auto scaling, file->metadata().GetString("fixture.rope_scaling"));
  model.rope_scaling = scaling.value_or("");
  HEARTH_ASSIGN_OR_RETURN(model.logits,
                          ReadNpy(std::filesystem::path(path).replace_extension(".npy").string()));
  return model;
}

std::vector<std::filesystem::path> ListFiles(const std::filesystem::path& folder,
                                             const std::string& extension) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<absl::StatusOr<ReferenceModel>> ReadModels(const std::string& pack, const std::string& fixtures,
                                                       const std::string& filter, size_t every) {
  std::vector<absl::StatusOr<ReferenceModel>> models;
  const auto wanted = [&](const std::filesystem::path& path) {
    return path.stem().string().find(filter) != std::string::npos;
  };
  for (const std::filesystem::path& file : ListFiles(fixtures, ".gguf")) {
    if (wanted(file)) models.push_back(ReadFixtureModel(file));
  }
  if (!std::filesystem::is_directory(pack)) {
    std::printf("no reference pack at %s (set HEARTH_CONFORMANCE_DIR to its folder): the fixtures alone\n",
                pack.c_str());
    return models;
  }
  size_t count = 0;
  for (const char* folder : {"models", "quants", "powerinfer"}) {
    for (const std::filesystem::path& json : ListFiles(std::filesystem::path(pack) / folder, ".json")) {
      if (wanted(json) && count++ % every == 0) models.push_back(ReadReferenceModel(json));
    }
  }
  return models;
}

LogitDifference CompareLogits(const NpyArray& reference, const std::vector<float>& ours) {
  LogitDifference difference;
  std::vector<double> largest;
  double squares = 0;
  for (size_t t = 0; t < reference.rows; ++t) {
    const float* theirs = reference.values.data() + t * reference.cols;
    const float* mine = ours.data() + t * reference.cols;
    double most = 0;
    for (size_t i = 0; i < reference.cols; ++i) {
      const double delta = std::fabs(static_cast<double>(theirs[i]) - mine[i]);
      // Written so that NaN counts as the largest difference there is.
      most = delta <= most ? most : std::isnan(delta) ? INFINITY : delta;
      squares += delta * delta;
    }
    largest.push_back(most);
    difference.kl_mean += KlDivergence(theirs, mine, reference.cols) / reference.rows;
    const bool same = std::max_element(theirs, theirs + reference.cols) - theirs ==
                      std::max_element(mine, mine + reference.cols) - mine;
    difference.argmax_agreement += (same ? 1.0 : 0.0) / reference.rows;
  }
  difference.rms = std::sqrt(squares / static_cast<double>(reference.values.size()));
  std::sort(largest.begin(), largest.end());
  difference.max_abs = largest.back();
  difference.median_of_max = largest[largest.size() / 2];
  return difference;
}

}  // namespace hearth
