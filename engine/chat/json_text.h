#ifndef HEARTH_ENGINE_CHAT_JSON_TEXT_H_
#define HEARTH_ENGINE_CHAT_JSON_TEXT_H_

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace hearth {

// JSON that somebody wrote, with its keys in their order. INVALID_ARGUMENT where it is none in UTF-8, or
// nests more than 100 levels deep; `what` names it.
absl::StatusOr<nlohmann::ordered_json> ParseJson(std::string_view what, std::string_view text);

}  // namespace hearth

#endif  // HEARTH_ENGINE_CHAT_JSON_TEXT_H_
