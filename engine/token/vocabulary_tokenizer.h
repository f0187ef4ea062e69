#ifndef HEARTH_ENGINE_TOKEN_VOCABULARY_TOKENIZER_H_
#define HEARTH_ENGINE_TOKEN_VOCABULARY_TOKENIZER_H_

#include <string>
#include <string_view>
#include <vector>

#include "engine/token/special_tokens.h"
#include "engine/token/tokenizer.h"
#include "engine/token/vocabulary.h"

namespace hearth {

// What all kinds of tokenizers share: special tokens around and in the text, and the way back from ids to
// text. A kind adds how plain text becomes tokens.
class VocabularyTokenizer : public Tokenizer {
 public:
  explicit VocabularyTokenizer(Vocabulary vocabulary);

  std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const override;
  std::string Decode(absl::Span<const TokenId> ids, DecodeOptions options) const override;
  int32_t vocab_size() const override { return vocabulary_.size(); }
  std::string_view TokenText(TokenId id) const override;
  std::string TokenBytes(TokenId id, bool special) const override;
  bool IsControl(TokenId id) const override;
  bool IsEndOfGeneration(TokenId id) const override;
  const std::vector<TokenId>& end_of_generation() const override { return vocabulary_.end_of_generation; }
  TokenId bos() const override { return vocabulary_.bos; }
  TokenId eos() const override { return vocabulary_.eos; }
  bool adds_bos() const override { return opening_ != kNoToken; }
  bool adds_eos() const override { return closing_ != kNoToken; }
  bool adds_space_prefix() const override { return vocabulary_.add_space_prefix; }

 protected:
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  // Appends the tokens of `text`, which is not empty. `after_token`: the text begins here or follows a
  // special token.
  virtual void EncodeText(std::string_view text, bool after_token, std::vector<TokenId>* ids) const = 0;

  // The bytes `id` stands for in the middle of a text, control tokens spelt out.
  std::string Spell(TokenId id) const;

  const Vocabulary vocabulary_;
  const SpecialTokens special_tokens_;
  std::vector<std::string> spellings_;  // by id
  TokenId opening_ = kNoToken;          // what add_special puts around a text
  TokenId closing_ = kNoToken;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_VOCABULARY_TOKENIZER_H_
