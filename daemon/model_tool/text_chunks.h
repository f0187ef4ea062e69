#ifndef HEARTH_DAEMON_MODEL_TOOL_TEXT_CHUNKS_H_
#define HEARTH_DAEMON_MODEL_TOOL_TEXT_CHUNKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/token/tokenizer.h"

namespace hearth::model_tool {

// The text file at `path`; INVALID_ARGUMENT for an empty one, and what ReadInputFile says.
absl::StatusOr<std::string> ReadText(const std::string& path);

// The text's first max_tokens tokens (0: all) in chunks of at most `chunk` >= 2, each of which begins as the
// vocabulary wants a text to begin.
std::vector<std::vector<TokenId>> TextChunks(const Tokenizer& tokenizer, const std::string& text,
                                             uint32_t chunk, uint64_t max_tokens);

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_TEXT_CHUNKS_H_
