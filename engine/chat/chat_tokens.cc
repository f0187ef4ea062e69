#include "engine/chat/chat_tokens.h"

namespace hearth {

std::vector<TokenId> ChatTokens(const Tokenizer& tokenizer, const jinja::Rendered& rendered) {
  std::vector<TokenId> ids = tokenizer.Encode(
      rendered.text, {.add_special = false, .parse_special = true, .literal = rendered.inputs});
  const TokenId bos = tokenizer.bos();
  if (bos < 0) return ids;
  if (tokenizer.adds_bos() && (ids.empty() || ids.front() != bos)) ids.insert(ids.begin(), bos);
  while (ids.size() > 1 && ids[0] == bos && ids[1] == bos) ids.erase(ids.begin());
  return ids;
}

std::vector<TokenId> MarkerTokens(const Tokenizer& tokenizer, const std::vector<std::string_view>& markers) {
  std::vector<TokenId> tokens;
  for (const std::string_view marker : markers) {
    const std::vector<TokenId> ids = tokenizer.Encode(marker, {.add_special = false, .parse_special = true});
    if (ids.size() == 1 && tokenizer.IsControl(ids[0])) tokens.push_back(ids[0]);
  }
  return tokens;
}

}  // namespace hearth
