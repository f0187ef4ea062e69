#include "engine/grammar/token_trie.h"

#include <algorithm>

namespace hearth::grammar {

TokenTrie::TokenTrie(const Tokenizer& tokenizer) : end_of_generation_(tokenizer.end_of_generation()) {
  for (TokenId token = 0; token < tokenizer.vocab_size(); ++token) {
    bytes_.push_back(tokenizer.IsEndOfGeneration(token) ? "" : tokenizer.TokenBytes(token));
    if (!bytes_.back().empty()) tokens_.push_back(token);
    longest_ = std::max(longest_, static_cast<uint32_t>(bytes_.back().size()));
  }
  std::sort(tokens_.begin(), tokens_.end(),
            [&](TokenId a, TokenId b) { return bytes_[a] != bytes_[b] ? bytes_[a] < bytes_[b] : a < b; });

  nodes_.push_back({});
  std::vector<uint32_t> path = {kRoot};  // the nodes on the way to the last token
  const auto leave = [&](size_t depth) {
    for (; path.size() > depth + 1; path.pop_back())
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  std::string_view last;
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view text = bytes_[tokens_[i]];
    const size_t common = static_cast<size_t>(
        std::mismatch(last.begin(), last.end(), text.begin(), text.end()).first - last.begin());
    leave(common);
    for (size_t depth = common; depth < text.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<uint32_t>(depth + 1), i, static_cast<uint8_t>(text[depth])});
    }
    last = text;
  }
  leave(0);
  nodes_[kRoot].end = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({0, 0, static_cast<uint32_t>(tokens_.size()), 0});
}

std::string_view TokenTrie::bytes(TokenId token) const {
  return token >= 0 && token < vocab_size() ? std::string_view(bytes_[token]) : std::string_view();
}

}  // namespace hearth::grammar
