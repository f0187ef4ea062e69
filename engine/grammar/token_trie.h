#ifndef HEARTH_ENGINE_GRAMMAR_TOKEN_TRIE_H_
#define HEARTH_ENGINE_GRAMMAR_TOKEN_TRIE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "engine/token/tokenizer.h"

namespace hearth::grammar {

// The tokens of a vocabulary that are text, by their bytes: nodes in the order of a walk that takes children
// before siblings, so that such a walk reads memory in one run. Immutable and thread-safe.
class TokenTrie {
 public:
  // Control tokens, unknown tokens, those that end a generation and empty ones are not text.
  explicit TokenTrie(const Tokenizer& tokenizer);

  struct Node {
    uint32_t end;    // the first node that does not lie below this one
    uint32_t depth;  // bytes from the root, whose depth is 0
    uint32_t first_token;
    uint8_t byte;
  };
  static constexpr uint32_t kRoot = 0;
  const Node& node(uint32_t index) const { return nodes_[index]; }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()) - 1; }
  // Those with exactly the bytes on the way to this node.
  absl::Span<const TokenId> tokens(uint32_t index) const {
    const uint32_t first = nodes_[index].first_token;
    return absl::MakeConstSpan(tokens_).subspan(first, nodes_[index + 1].first_token - first);
  }
  // A token's bytes; empty where it is no text or outside the vocabulary.
  std::string_view bytes(TokenId token) const;
  uint32_t longest() const { return longest_; }
  int32_t vocab_size() const { return static_cast<int32_t>(bytes_.size()); }
  const std::vector<TokenId>& end_of_generation() const { return end_of_generation_; }

 private:
  std::vector<std::string> bytes_;  // by token
  std::vector<TokenId> end_of_generation_;
  std::vector<Node> nodes_;  // and one more behind the last
  std::vector<TokenId> tokens_;
  uint32_t longest_ = 0;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_TOKEN_TRIE_H_
