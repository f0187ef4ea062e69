#ifndef HEARTH_DAEMON_MODEL_TOOL_MODEL_FLAGS_H_
#define HEARTH_DAEMON_MODEL_TOOL_MODEL_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/output_file.h"
#include "engine/file/gguf.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/matrix.h"
#include "engine/token/tokenizer.h"
#include "engine/weights/adapter_file.h"

namespace hearth::model_tool {

// The options that all commands share which run a model.
struct ModelFlags {
  std::string path;
  int threads = 0;           // 0: all cores
  std::string sparsity;      // dense, exact, predicted; empty: what the model is made for
  std::string profile_path;  // empty: the one beside the model where there is one
  bool use_profile = true;
  std::vector<AdapterSource> adapters;
  std::string devices;  // ParseDeviceOptions; empty: one CPU device
  std::string kv_type = "f32";
  std::string arithmetic = "fast";
  std::string rope_scaling;
  uint64_t memory_bytes = 0;  // for everything; 0: no limit
  uint32_t context = 0;       // 0: as much as the command needs, and 512 where trained for that
  bool json = false;

  // The flags' values as the engine has them.
  KvType kv() const;
  Arithmetic arithmetic_mode() const;
};

// Adds the model's path as first argument and the options above. `flags` outlives `command`.
void AddModelFlags(CLI::App& command, ModelFlags& flags);

// Four threads for each core that this process may use. More threads than cores are slower and change no
// result, which is worth trying.
int MostThreads();

// --threads: 1 to MostThreads.
void AddThreadsFlag(CLI::App& command, int& threads);

// --force: what exists may be replaced. `replace` is kIfForced without it.
void AddForceFlag(CLI::App& command, Replace& replace);

// --profile: see FindProfile.
void AddProfileFlag(CLI::App& command, std::string& path);

// --lora: adapters of the model, in any number, for all that it computes.
void AddLoraFlag(CLI::App& command, std::vector<AdapterSource>& adapters);

// --context, 0 unless given.
void AddContextFlag(CLI::App& command, uint32_t& context, const std::string& help);

// --tokens: ids in a list, at least one.
CLI::Option* AddTokensFlag(CLI::App& command, std::vector<TokenId>& tokens, const std::string& help);

// The context for which hearthd and its plans are made unless told otherwise.
inline constexpr uint32_t kUsualContext = 4096;

// `given`, or where that is 0 `usual`, but no more than the model was trained for.
absl::StatusOr<uint32_t> ChooseContext(uint32_t given, uint32_t usual, const GgufFile& file);

// OUT_OF_RANGE, naming the position, when an id is outside [0, vocab_size).
absl::Status CheckTokenIds(const std::vector<TokenId>& tokens, uint32_t vocab_size);

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_MODEL_FLAGS_H_
