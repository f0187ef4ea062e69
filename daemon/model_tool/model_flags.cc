#include "daemon/model_tool/model_flags.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/absl_view.h"

namespace hearth::model_tool {

KvType ModelFlags::kv() const {
  if (kv_type == "f16") return KvType::kF16;
  return kv_type == "q8_0" ? KvType::kQ8_0 : KvType::kF32;
}

Arithmetic ModelFlags::arithmetic_mode() const {
  return arithmetic == "float32" ? Arithmetic::kFloat32 : Arithmetic::kFast;
}

void AddModelFlags(CLI::App& command, ModelFlags& flags) {
  command.add_option("model", flags.path, "the model, a GGUF or PowerInfer file")->required();
  command.add_option("--threads", flags.threads, "threads; as many as cores unless given")
      ->check(CLI::Range(1, 1024));
  command
      .add_option(
          "--sparsity", flags.sparsity,
          "dense: every neuron; exact: those that fire (ReLU models); predicted: those that the model's "
          "predictors keep; unless given, predicted for models with predictors and dense for others")
      ->check(CLI::IsMember({"dense", "exact", "predicted"}));
  command.add_option(
      "--devices", flags.devices,
      "CPU devices that share the neurons: a number, or name[,memory=4GiB][,threads=2][,bandwidth=20G] "
      "several times with ';' between; memory limits the neuron groups that a device holds");
  command.add_option("--kv-type", flags.kv_type, "type of cached keys and values")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
      ->capture_default_str();
  command
      .add_option("--arithmetic", flags.arithmetic,
                  "fast: quantised weights multiply 8-bit activations; float32: activations are not rounded")
      ->check(CLI::IsMember({"fast", "float32"}))
      ->capture_default_str();
  command
      .add_option("--context", flags.context,
                  "positions of the context; as many as needed and at least 512 unless given")
      ->check(CLI::Range(uint32_t{1}, uint32_t{1} << 24));
  command.add_option(
      "--rope-scaling", flags.rope_scaling,
      "instead of the file's: none, linear:factor=F, yarn:factor=F or rerope:window=W[,interval=K]");
  command.add_flag("--json", flags.json, "print one JSON object");
}

absl::StatusOr<std::vector<TokenId>> ParseTokenIds(std::string_view text) {
  std::vector<TokenId> tokens;
  for (const absl::string_view part : absl::StrSplit(AbslView(text), ',')) {
    if (!absl::SimpleAtoi(part, &tokens.emplace_back()) || tokens.back() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tokens: \"", part, "\" is no token id; expected for example 1,2,3"));
    }
  }
  return tokens;
}

absl::Status CheckTokenIds(const std::vector<TokenId>& tokens, uint32_t vocab_size) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < vocab_size) continue;
    return absl::OutOfRangeError(absl::StrCat("--tokens: id ", tokens[i], " at position ", i,
                                              " is outside the vocabulary of ", vocab_size, " tokens"));
  }
  return absl::OkStatus();
}

}  // namespace hearth::model_tool
