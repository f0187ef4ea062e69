#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/model/decoder.h"
#include "engine/model/model.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/profile_file.h"
#include "engine/outline/default_sparsity.h"
#include "engine/outline/ffn_layers.h"
#include "engine/quant/types.h"
#include "engine/token/tokenizer.h"
#include "placement/units.h"

namespace hearth::model_tool {
namespace {

using nlohmann::json;
using placement::FormatBytes;

struct InspectFlags {
  std::string path;
  std::string profile_path;
  uint32_t context = 0;  // 0: what the model was trained for, at most kUsualContext
  bool tensors = false;
  bool json = false;
};

json TensorJson(const GgufTensor& tensor) {
  return {{"name", tensor.name},
          {"type", std::string(GetTypeInfo(tensor.type).name)},
          {"shape", tensor.shape()},
          {"bytes", tensor.bytes()}};
}

json FileJson(const GgufFile& file) {
  std::map<std::string, uint64_t> types;
  uint64_t bytes = 0, values = 0;
  json tensors = json::array();
  for (const GgufTensor& tensor : file.tensors()) {
    types[std::string(GetTypeInfo(tensor.type).name)] += tensor.bytes();
    bytes += tensor.bytes();
    values += tensor.values();
    tensors.push_back(TensorJson(tensor));
  }
  return {{"file", file.name()},
          {"format", file.is_powerinfer() ? "PowerInfer" : "GGUF"},
          {"packed", file.is_packed()},
          {"version", file.version()},
          {"file_bytes", file.file_bytes()},
          {"tensor_count", file.tensors().size()},
          {"parameters", values},
          {"tensor_bytes", bytes},
          {"type_bytes", types},
          {"tensors", std::move(tensors)}};
}

// What kinds of sparsity the file allows.
json SparsityJson(const ModelOutline& outline, const SparsityChoice& chosen) {
  const bool exact = CheckSparsity(outline.spec, SparsityMode::kExact).ok();
  const bool predicted = CheckSparsity(outline.spec, SparsityMode::kPredicted).ok();
  bool routed = false;
  for (const LayerSpec& layer : outline.spec.layers) routed |= layer.ffn.router.has_value();
  json kinds = json::array({"dense"});
  if (exact) kinds.push_back("exact");
  if (predicted) kinds.push_back("predicted");
  if (routed) kinds.push_back("routed");
  return {{"kinds", kinds},
          {"default", std::string(SparsityModeName(chosen.mode))},
          {"why", chosen.why},
          {"profile_tokens", outline.profile.tokens}};
}

absl::StatusOr<uint64_t> NeuronBytes(const ModelOutline& outline) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < outline.ffn_specs.size(); ++i) {
    for (const NeuronGroup& group : outline.neuron_groups[i]) {
      HEARTH_ASSIGN_OR_RETURN(const BundleLayout layout, MakeBundleLayout(outline.ffn_specs[i], group));
      bytes += layout.bytes;
    }
  }
  return bytes;
}

absl::StatusOr<json> ModelJson(const GgufFile& file, const InspectFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t context, ChooseContext(flags.context, kUsualContext, file));
  ModelOptions options;
  HEARTH_ASSIGN_OR_RETURN(options.profile, FindProfile(flags.profile_path, file));
  options.context_length = context;
  HEARTH_ASSIGN_OR_RETURN(const SparsityChoice sparsity, DefaultSparsity(file, options));
  options.sparsity = sparsity.mode;
  HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(file, options));
  HEARTH_ASSIGN_OR_RETURN(const uint64_t neuron_bytes, NeuronBytes(outline));
  HEARTH_ASSIGN_OR_RETURN(const uint64_t kv_bytes,
                          KvCacheBytes(outline.spec, {.context_length = context, .kv_type = KvType::kF16}));
  uint64_t neurons = 0, groups = 0;
  uint32_t experts = 0, experts_per_token = 0;
  for (size_t i = 0; i < outline.ffn_specs.size(); ++i) {
    for (uint32_t block : outline.ffn_specs[i].block_neurons) neurons += block;
    groups += outline.neuron_groups[i].size();
    if (const auto& router = outline.spec.layers[i].ffn.router) {
      experts = std::max(experts, router->experts);
      experts_per_token = std::max(experts_per_token, router->chosen);
    }
  }
  const ModelSpec& spec = outline.spec;
  const AttentionSpec attention = spec.layers.empty() ? AttentionSpec{} : spec.layers.front().attention;
  const uint64_t placed_bytes = outline.mixer_weight_bytes + outline.output_weight_bytes;
  const uint64_t leader_bytes = outline.leader_weight_bytes + placed_bytes;
  return json{{"layers", spec.n_layers},
              {"embedding", spec.n_embd},
              {"vocabulary", spec.n_vocab},
              {"trained_context", spec.context_length},
              {"heads", attention.heads},
              {"kv_heads", attention.kv_heads},
              {"neurons", neurons},
              {"neuron_groups", groups},
              {"experts", experts},
              {"experts_per_token", experts_per_token},
              {"sparsity", SparsityJson(outline, sparsity)},
              {"memory",
               {{"context", context},
                {"leader_weight_bytes", leader_bytes},
                {"neuron_bytes", neuron_bytes},
                {"kv_cache_bytes_f16", kv_bytes},
                {"total_bytes", leader_bytes + neuron_bytes + kv_bytes}}},
              {"leader_bytes_per_token", outline.leader_bytes_per_token + placed_bytes}};
}

std::string ToText(const json& document, bool tensors) {
  std::string text = absl::StrFormat(
      "%s: %s version %d, %s, %d tensors, %d parameters\n", Printable(document["file"].get<std::string>()),
      document["format"].get<std::string>(), document["version"].get<uint32_t>(),
      FormatBytes(document["file_bytes"].get<uint64_t>()), document["tensor_count"].get<uint64_t>(),
      document["parameters"].get<uint64_t>());
  absl::StrAppend(&text, "types:");
  for (const auto& [type, bytes] : document["type_bytes"].items()) {
    absl::StrAppend(&text, " ", type, " ", FormatBytes(bytes.get<uint64_t>()));
  }
  absl::StrAppend(&text, "\narchitecture: ", Printable(document["architecture"].get<std::string>()), "\n");
  if (document["runnable"].get<bool>()) {
    const json& model = document["model"];
    absl::StrAppend(&text, model["layers"].get<uint32_t>(), " layers of ", model["embedding"].get<uint32_t>(),
                    " values, ", model["heads"].get<uint32_t>(), " heads (",
                    model["kv_heads"].get<uint32_t>(), " KV), vocabulary ",
                    model["vocabulary"].get<uint32_t>(), ", trained for ",
                    model["trained_context"].get<uint32_t>(), " tokens\n", model["neurons"].get<uint64_t>(),
                    " neurons in ", model["neuron_groups"].get<uint64_t>(), " groups");
    if (model["experts"].get<uint32_t>() > 0) {
      absl::StrAppend(&text, ", ", model["experts_per_token"].get<uint32_t>(), " of ",
                      model["experts"].get<uint32_t>(), " experts per token");
    }
    absl::StrAppend(&text, "\nsparsity:");
    for (const json& kind : model["sparsity"]["kinds"]) absl::StrAppend(&text, " ", kind.get<std::string>());
    absl::StrAppend(&text, "; ", model["sparsity"]["default"].get<std::string>(),
                    " unless asked for another (", model["sparsity"]["why"].get<std::string>(), ")");
    const json& memory = model["memory"];
    absl::StrAppend(&text, "\nmemory: ", FormatBytes(memory["total_bytes"].get<uint64_t>()),
                    " (leader's weights ", FormatBytes(memory["leader_weight_bytes"].get<uint64_t>()),
                    ", neurons ", FormatBytes(memory["neuron_bytes"].get<uint64_t>()), ", KV cache ",
                    FormatBytes(memory["kv_cache_bytes_f16"].get<uint64_t>()), " for one sequence of ",
                    memory["context"].get<uint32_t>(), " tokens in F16)\n");
  } else {
    absl::StrAppend(&text, "not runnable: ", Printable(document["reason"].get<std::string>()), "\n");
  }
  absl::StrAppend(&text, "tokenizer: ", Printable(document["tokenizer"].get<std::string>()), "\n");
  for (const json& tensor : tensors ? document["tensors"] : json::array()) {
    absl::StrAppend(&text,
                    absl::StrFormat("%-8s %-40s %s\n", tensor["type"].get<std::string>(),
                                    Printable(tensor["name"].get<std::string>()), tensor["shape"].dump()));
  }
  return text;
}

absl::Status Inspect(const InspectFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.path));
  json document = FileJson(*file);
  HEARTH_ASSIGN_OR_RETURN(const auto architecture, file->metadata().GetString("general.architecture"));
  document["architecture"] = architecture.value_or("");
  // Files that Hearth cannot run, such as bare vocabularies, can still be looked at.
  const absl::StatusOr<json> model = ModelJson(*file, flags);
  document["runnable"] = model.ok();
  if (model.ok()) {
    document["model"] = *model;
  } else {
    document["reason"] = std::string(model.status().message());
  }
  const auto tokenizer = Tokenizer::FromMetadata(file->metadata());
  document["tokenizer"] = tokenizer.ok() ? (*tokenizer)->description()
                                         : absl::StrCat("none (", tokenizer.status().message(), ")");
  return flags.json ? PrintJson(document) : Print(ToText(document, flags.tensors));
}

}  // namespace

void AddInspect(CLI::App& app, Job& job) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand(
      "inspect", "shows architecture, dimensions, types, sparsity and memory need of a file");
  command->add_option("model", flags->path, "the model, a GGUF or PowerInfer file")->required();
  AddProfileFlag(*command, flags->profile_path);
  AddContextFlag(*command, flags->context, "positions for which the memory need is worked out");
  command->add_flag("--tensors", flags->tensors, "list the tensors too");
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &job] { job = [flags] { return Inspect(*flags); }; });
}

}  // namespace hearth::model_tool
