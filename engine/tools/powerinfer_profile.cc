#include "engine/tools/powerinfer_profile.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/input_file.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"
#include "engine/file/little_endian.h"
#include "engine/file/torch_vector.h"

namespace hearth {
namespace {

// Far more than either kind of file has.
constexpr uint64_t kMaxCountsBytes = uint64_t{256} << 20;
// Counts that a double holds exactly.
constexpr double kMaxCount = 1e15;

absl::Status BadFile(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }

absl::Span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Layers that have neurons. PowerInfer counts none of experts.
absl::StatusOr<std::vector<uint32_t>> LayersWithNeurons(absl::Span<const FfnLayerSpec> layers) {
  std::vector<uint32_t> found;
  for (uint32_t i = 0; i < layers.size(); ++i) {
    if (layers[i].block_neurons.size() > 1) {
      return BadFile(
          "layer ", i,
          " of the model has experts, of which PowerInfer's files say nothing; profile it with --text");
    }
    if (!layers[i].block_neurons.empty()) found.push_back(i);
  }
  return found;
}

absl::Status CheckNeurons(const std::string& file, uint32_t layer, uint64_t values,
                          const FfnLayerSpec& spec) {
  if (values == spec.block_neurons[0]) return absl::OkStatus();
  return BadFile(file, " has ", values, " neurons, but layer ", layer, " of the model has ",
                 spec.block_neurons[0], ": it belongs to another model");
}

// ---- activation_N.pt

std::string ActivationPath(const std::string& folder, uint64_t layer) {
  return absl::StrCat(folder, "/activation_", layer, ".pt");
}

absl::StatusOr<std::vector<double>> ReadCounts(const std::string& path, uint32_t layer,
                                               const FfnLayerSpec& spec) {
  HEARTH_ASSIGN_OR_RETURN(const std::string bytes, ReadInputFile(path, kMaxCountsBytes));
  absl::StatusOr<std::vector<double>> counts = ReadTorchVector(AsBytes(bytes));
  if (!counts.ok()) {
    return BadFile(path, ": ", counts.status().message(),
                   "; PowerInfer's counts are one tensor saved by PyTorch 1.6 or newer");
  }
  HEARTH_RETURN_IF_ERROR(CheckNeurons(path, layer, counts->size(), spec));
  for (const double count : *counts) {
    if (count >= 0 && count <= kMaxCount) continue;
    return BadFile(path, " holds ", count, ", which counts nothing");
  }
  return counts;
}

absl::StatusOr<PowerInferProfile> ReadActivations(const std::string& folder,
                                                  absl::Span<const FfnLayerSpec> layers, uint64_t tokens) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint32_t> numbers, LayersWithNeurons(layers));
  std::error_code error;
  if (const std::string beyond = ActivationPath(folder, layers.size());
      std::filesystem::exists(beyond, error)) {
    return BadFile(beyond, ": the model has only ", layers.size(),
                   " layers; these are counts of another one");
  }
  std::vector<std::vector<double>> counts(layers.size());
  double most = 0;
  for (const uint32_t layer : numbers) {
    HEARTH_ASSIGN_OR_RETURN(counts[layer], ReadCounts(ActivationPath(folder, layer), layer, layers[layer]));
    most = std::max(most, *std::max_element(counts[layer].begin(), counts[layer].end()));
  }
  if (most == 0) return BadFile(folder, ": no neuron has fired; count on a longer text");
  const bool are_shares = most <= 1;
  if (!are_shares && tokens > 0 && most > static_cast<double>(tokens)) {
    return BadFile(folder, ": a neuron has fired for ", most, " tokens, more than the ", tokens,
                   " there are to be");
  }
  PowerInferProfile profile;
  profile.tokens = tokens > 0 || are_shares ? tokens : static_cast<uint64_t>(std::ceil(most));
  const double whole = are_shares ? 1 : static_cast<double>(profile.tokens);
  profile.shares.resize(layers.size());
  for (const uint32_t layer : numbers) {
    for (const double count : counts[layer])
      profile.shares[layer].push_back(static_cast<float>(count / whole));
  }
  return profile;
}

// ---- NAME.generated.gpuidx

// A tensor of the file as numbers; null where it is not there.
absl::StatusOr<std::vector<int32_t>> ReadIntegers(const GgufFile& file, const GgufTensor& tensor) {
  if (tensor.dimensions != 1) return BadFile(file.name(), ": ", tensor.name, " has several dimensions");
  std::vector<int32_t> numbers(tensor.ne[0]);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = LoadLittle<int32_t>(tensor.data, i * sizeof(int32_t));
  return numbers;
}

// The bucket, where there is one, lists the neurons that are marked.
absl::Status CheckBucket(const GgufFile& file, uint32_t layer, const std::vector<int32_t>& marks) {
  const std::string name = absl::StrCat("blk.", layer, ".gpu_bucket");
  const GgufTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const std::vector<int32_t> bucket, ReadIntegers(file, *tensor));
  std::vector<int32_t> marked;
  for (size_t i = 0; i < marks.size(); ++i) {
    if (marks[i] != 0) marked.push_back(static_cast<int32_t>(i));
  }
  if (bucket == marked) return absl::OkStatus();
  return BadFile(file.name(), ": ", name, " lists other neurons than blk.", layer,
                 ".gpu_idx marks; make the file again");
}

absl::StatusOr<std::vector<float>> ReadMarks(const GgufFile& file, uint32_t layer, const FfnLayerSpec& spec) {
  const std::string name = absl::StrCat("blk.", layer, ".gpu_idx");
  const GgufTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return BadFile(file.name(), ": has no ", name, ": it belongs to another model");
  HEARTH_ASSIGN_OR_RETURN(const std::vector<int32_t> marks, ReadIntegers(file, *tensor));
  HEARTH_RETURN_IF_ERROR(CheckNeurons(file.name(), layer, marks.size(), spec));
  HEARTH_RETURN_IF_ERROR(CheckBucket(file, layer, marks));
  std::vector<float> shares;
  for (const int32_t mark : marks) {
    if (mark != 0 && mark != 1) return BadFile(file.name(), ": ", name, " holds ", mark, ", neither 0 nor 1");
    shares.push_back(mark != 0 ? kHotShare : kColdShare);
  }
  return shares;
}

absl::StatusOr<PowerInferProfile> ReadGpuIndex(const std::string& path,
                                               absl::Span<const FfnLayerSpec> layers) {
  HEARTH_ASSIGN_OR_RETURN(const std::string bytes, ReadInputFile(path, kMaxCountsBytes));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file,
                          GgufFile::ParseIntegers(AsBytes(bytes), path));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint32_t> numbers, LayersWithNeurons(layers));
  if (const std::string beyond = absl::StrCat("blk.", layers.size(), ".gpu_idx");
      file->FindTensor(beyond) != nullptr) {
    return BadFile(path, ": has ", beyond, ", but the model has only ", layers.size(), " layers");
  }
  PowerInferProfile profile;
  profile.shares.resize(layers.size());
  for (const uint32_t layer : numbers) {
    HEARTH_ASSIGN_OR_RETURN(profile.shares[layer], ReadMarks(*file, layer, layers[layer]));
  }
  return profile;
}

}  // namespace

absl::StatusOr<PowerInferProfile> ReadPowerInferProfile(const std::string& path,
                                                        absl::Span<const FfnLayerSpec> layers,
                                                        uint64_t tokens) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return ReadActivations(path, layers, tokens);
  return ReadGpuIndex(path, layers);
}

}  // namespace hearth
