#ifndef HEARTH_ENGINE_TOKEN_SPECIAL_TOKENS_H_
#define HEARTH_ENGINE_TOKEN_SPECIAL_TOKENS_H_

#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/byte_range.h"
#include "engine/token/byte_trie.h"
#include "engine/token/vocabulary.h"

namespace hearth {

// A part of a text: a token, or text still to be tokenised (`token` is kNoToken, `text` borrows and is not
// empty).
struct TextFragment {
  TokenId token = kNoToken;
  std::string_view text;
};

// Finds tokens that are written out in a text. Longer tokens are looked for first, each from left to right.
// Immutable and thread-safe; `vocabulary` outlives this.
class SpecialTokens {
 public:
  explicit SpecialTokens(const Vocabulary& vocabulary);

  // User-defined tokens always count, control and unknown ones where `parse_special` and no byte of theirs
  // lies in a range of `literal` (ascending). Whitespace that a found token strips is in no fragment. Empty
  // for an empty text.
  std::vector<TextFragment> Split(std::string_view text, bool parse_special,
                                  absl::Span<const ByteRange> literal = {}) const;

 private:
  std::vector<uint32_t> Occurring(std::string_view text) const;

  const Vocabulary& vocabulary_;
  std::vector<TokenId> tokens_;  // longest first
  ByteTrie trie_;                // token text -> index in tokens_
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_SPECIAL_TOKENS_H_
