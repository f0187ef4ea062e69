#ifndef HEARTH_ENGINE_CHAT_TOOL_CALLS_H_
#define HEARTH_ENGINE_CHAT_TOOL_CALLS_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hearth {

// A function that a model calls.
struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object

  bool operator==(const ToolCall&) const = default;
};

// The calls that models write, one or more: {"name": ..., "arguments": {...}} (or tool_name, function;
// parameters), lists of them, NAME[ARGS]{...}, NAME{...}, and DeepSeek's, also within ```json. nullopt where
// there is anything else, or nothing.
std::optional<std::vector<ToolCall>> ReadToolCalls(std::string_view text);

// The names of `tools`, as OpenAI writes them: [{"type": "function", "function": {"name": ...}}], or without
// the frame. Those without a name are left out.
std::vector<std::string> ToolNames(const nlohmann::ordered_json& tools);

// A JSON schema of a call {"name": ..., "arguments": {...}} of the tool of this name, or of any one ("*").
// INVALID_ARGUMENT where there is none of that name.
absl::StatusOr<nlohmann::ordered_json> ToolCallSchema(const nlohmann::ordered_json& tools,
                                                      std::string_view name);

}  // namespace hearth

#endif  // HEARTH_ENGINE_CHAT_TOOL_CALLS_H_
