#ifndef HEARTH_DAEMON_MODEL_TOOL_PRINT_JSON_H_
#define HEARTH_DAEMON_MODEL_TOOL_PRINT_JSON_H_

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "engine/command_line/program.h"

namespace hearth::model_tool {

// One line on standard output. Bytes of paths, names and texts that are no UTF-8 become U+FFFD.
inline absl::Status PrintJson(const nlohmann::json& document) {
  return Print(document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_PRINT_JSON_H_
