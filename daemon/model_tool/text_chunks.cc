#include "daemon/model_tool/text_chunks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/input_file.h"
#include "engine/base/status_macros.h"

namespace hearth::model_tool {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;

}  // namespace

absl::StatusOr<std::string> ReadText(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(std::string text, ReadInputFile(path, kMaxTextBytes));
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty; give a file with text"));
  return text;
}

std::vector<std::vector<TokenId>> TextChunks(const Tokenizer& tokenizer, const std::string& text,
                                             uint32_t chunk, uint64_t max_tokens) {
  std::vector<TokenId> tokens = tokenizer.Encode(text, {.add_special = false, .parse_special = false});
  if (max_tokens > 0 && tokens.size() > max_tokens) tokens.resize(max_tokens);
  const std::vector<TokenId> empty = tokenizer.Encode("", {.add_special = true, .parse_special = false});
  const bool add_bos = !empty.empty() && empty.front() == tokenizer.bos();
  const size_t step = chunk - (add_bos ? 1 : 0);

  std::vector<std::vector<TokenId>> chunks;
  for (size_t begin = 0; begin < tokens.size(); begin += step) {
    std::vector<TokenId>& next = chunks.emplace_back();
    if (add_bos) next.push_back(tokenizer.bos());
    const size_t end = std::min(begin + step, tokens.size());
    next.insert(next.end(), tokens.begin() + static_cast<ptrdiff_t>(begin),
                tokens.begin() + static_cast<ptrdiff_t>(end));
  }
  return chunks;
}

}  // namespace hearth::model_tool
