#ifndef HEARTH_DAEMON_MODEL_TOOL_MODEL_FLAGS_H_
#define HEARTH_DAEMON_MODEL_TOOL_MODEL_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/matrix.h"
#include "engine/token/tokenizer.h"

namespace hearth::model_tool {

// The options that all commands share which run a model.
struct ModelFlags {
  std::string path;
  int threads = 0;       // 0: all cores
  std::string sparsity;  // dense, exact, predicted; empty: what the model is made for
  std::string devices;   // ParseDeviceOptions; empty: one CPU device
  std::string kv_type = "f32";
  std::string arithmetic = "fast";
  std::string rope_scaling;
  uint32_t context = 0;  // 0: as much as the command needs, at least 512
  bool json = false;

  KvType kv() const;
  Arithmetic arithmetic_mode() const;
};

// Adds the model's path as first argument and the options above. `flags` outlives `command`.
void AddModelFlags(CLI::App& command, ModelFlags& flags);

// "1,2,3" as token ids. INVALID_ARGUMENT that names the part which is no id (0 to 2^31 - 1), or an empty
// list.
absl::StatusOr<std::vector<TokenId>> ParseTokenIds(std::string_view text);

// OUT_OF_RANGE, naming the position, when an id is outside [0, vocab_size).
absl::Status CheckTokenIds(const std::vector<TokenId>& tokens, uint32_t vocab_size);

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_MODEL_FLAGS_H_
