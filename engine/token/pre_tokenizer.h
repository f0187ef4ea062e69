#ifndef HEARTH_ENGINE_TOKEN_PRE_TOKENIZER_H_
#define HEARTH_ENGINE_TOKEN_PRE_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/token/pre_tokenizer_rules.h"

namespace hearth {

// A rule made ready to cut texts. Immutable and thread-safe.
class PreTokenizer {
 public:
  // `rule` outlives this.
  explicit PreTokenizer(const PreTokenizerRule& rule);
  PreTokenizer(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Where the words of `text` (code points) end, ascending; the last is text.size(). Empty for an empty text.
  // Time is linear in the length. Where the matcher runs out of memory, the rest of the piece stays whole.
  std::vector<size_t> WordEnds(std::u32string_view text) const;

 private:
  class Stage;

  std::vector<Stage> stages_;
  bool sees_classes_ = false;     // some stage matches categories
  bool sees_characters_ = false;  // some stage matches the characters themselves
  bool separates_han_ = false;    // some stage names \p{Han}
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_PRE_TOKENIZER_H_
