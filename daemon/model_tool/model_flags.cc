#include "daemon/model_tool/model_flags.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/capacity/device_option.h"
#include "daemon/lora_flag.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/command_line/flags.h"
#include "engine/spec/spec.h"

namespace hearth::model_tool {
namespace {

constexpr int kThreadsPerCore = 4;
constexpr uint32_t kLongestContext = 1u << 24;

}  // namespace

KvType ModelFlags::kv() const {
  if (kv_type == "f16") return KvType::kF16;
  return kv_type == "q8_0" ? KvType::kQ8_0 : KvType::kF32;
}

Arithmetic ModelFlags::arithmetic_mode() const {
  return arithmetic == "float32" ? Arithmetic::kFloat32 : Arithmetic::kFast;
}

void AddModelFlags(CLI::App& command, ModelFlags& flags) {
  command.add_option("model", flags.path, "the model, a GGUF or PowerInfer file")->required();
  AddThreadsFlag(command, flags.threads);
  command
      .add_option(
          "--sparsity", flags.sparsity,
          "dense: every neuron; exact: those that fire (ReLU models); predicted: those that the model's "
          "predictors, or those of its profile, keep; unless given, predicted for models with predictors, "
          "exact "
          "for other ReLU models of whose neurons the profile, if any, says that few fire, else dense")
      ->check(CLI::IsMember({"dense", "exact", "predicted"}));
  AddProfileFlag(command, flags.profile_path);
  AddLoraFlag(command, flags.adapters);
  CLI::Option* devices = command.add_option(
      "--devices", flags.devices,
      "devices that share the model: a number of CPUs, or name[,kind=gpu][,memory=4GiB][,threads=2] "
      "[,bandwidth=20G] several times with ';' between; kind is cpu, gpu (with number=, as CUDA counts) or "
      "emulated-gpu; memory limits what a device holds");
  AddParsed(
      command, "--memory", "SIZE",
      [&flags](const std::string& size) -> absl::Status {
        HEARTH_ASSIGN_OR_RETURN(flags.memory_bytes, ParseByteCount(size));
        return absl::OkStatus();
      },
      "what the program may take, 2GiB for example; neurons of a packed model (hearth-model pack) that do "
      "not fit are "
      "read from the disk when they fire")
      ->excludes(devices);
  command.add_option("--kv-type", flags.kv_type, "type of cached keys and values")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
      ->capture_default_str();
  command
      .add_option("--arithmetic", flags.arithmetic,
                  "fast: quantised weights multiply 8-bit activations; float32: activations are not rounded")
      ->check(CLI::IsMember({"fast", "float32"}))
      ->capture_default_str();
  AddContextFlag(command, flags.context,
                 "positions of the context; unless given as many as needed, at least 512 where the model was "
                 "trained for so many");
  command.add_option(
      "--rope-scaling", flags.rope_scaling,
      "instead of the file's: none, linear:factor=F, yarn:factor=F or rerope:window=W[,interval=K]");
  command.add_flag("--json", flags.json, "print one JSON object");
}

int MostThreads() { return kThreadsPerCore * ThreadPool::AvailableCores(); }

void AddThreadsFlag(CLI::App& command, int& threads) {
  AddWholeNumber<uint32_t>(
      command, "--threads", [&threads](uint32_t number) { threads = static_cast<int>(number); },
      "threads; as many as cores unless given", 1, static_cast<uint32_t>(MostThreads()));
}

void AddForceFlag(CLI::App& command, Replace& replace) {
  command.add_flag_callback(
      "--force", [&replace] { replace = Replace::kRegularFile; }, "replace what exists already");
}

void AddProfileFlag(CLI::App& command, std::string& path) {
  command.add_option(
      "--profile", path,
      "the model's profile (hearth-model profile); unless given, the file M.profile beside the "
      "model M.gguf where there is one");
}

void AddLoraFlag(CLI::App& command, std::vector<AdapterSource>& adapters) {
  AddLora(command, adapters,
          "a LoRA adapter of the model (GGUF, as llama.cpp's convert_lora_to_gguf.py makes it), S times as "
          "strong "
          "as it was trained; may be repeated");
}

void AddContextFlag(CLI::App& command, uint32_t& context, const std::string& help) {
  AddWholeNumber<uint32_t>(
      command, "--context", [&context](uint32_t number) { context = number; }, help, 1, kLongestContext);
}

CLI::Option* AddTokensFlag(CLI::App& command, std::vector<TokenId>& tokens, const std::string& help) {
  return AddParsed(
      command, "--tokens", "IDS",
      [&tokens](const std::string& text) {
        absl::StatusOr<std::vector<TokenId>> ids = ParseTokenIds(text);
        if (ids.ok()) tokens = *std::move(ids);
        return ids.status();
      },
      help);
}

absl::StatusOr<uint32_t> ChooseContext(uint32_t given, uint32_t usual, const GgufFile& file) {
  if (given > 0) return given;
  HEARTH_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(file, {}));
  return spec.context_length > 0 ? std::min(usual, spec.context_length) : usual;
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
