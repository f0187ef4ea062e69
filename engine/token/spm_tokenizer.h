#ifndef HEARTH_ENGINE_TOKEN_SPM_TOKENIZER_H_
#define HEARTH_ENGINE_TOKEN_SPM_TOKENIZER_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/vocabulary_tokenizer.h"

namespace hearth {

// SentencePiece's byte-pair form ("llama"): characters are merged into tokens, the highest score first, the
// leftmost on a tie; what is no token falls back to its bytes.
class SpmTokenizer : public VocabularyTokenizer {
 public:
  explicit SpmTokenizer(Vocabulary vocabulary);

  std::string description() const override { return "spm"; }

 private:
  void EncodeText(std::string_view text, bool after_token, std::vector<TokenId>* ids) const override;
  // Where the word at `begin` ends: at a space mark that no token can reach across. Words can be merged one
  // by one, which keeps the memory touched small.
  size_t WordEnd(std::string_view text, size_t begin) const;
  void AppendBytes(std::string_view text, std::vector<TokenId>* ids) const;

  // Whether some token has a space mark behind this byte.
  std::array<bool, 256> joins_next_word_ = {};
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_SPM_TOKENIZER_H_
