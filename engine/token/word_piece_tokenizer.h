#ifndef HEARTH_ENGINE_TOKEN_WORD_PIECE_TOKENIZER_H_
#define HEARTH_ENGINE_TOKEN_WORD_PIECE_TOKENIZER_H_

#include <string>
#include <string_view>
#include <vector>

#include "engine/token/byte_trie.h"
#include "engine/token/vocabulary_tokenizer.h"

namespace hearth {

// BERT's WordPiece ("bert"): the text is normalised (accents off, lower case) and split at whitespace,
// punctuation and Chinese characters; each word becomes the longest tokens from left to right, or the unknown
// token where they do not cover it. A token that starts a word is written with kSpaceMark before it.
class WordPieceTokenizer : public VocabularyTokenizer {
 public:
  explicit WordPieceTokenizer(Vocabulary vocabulary);

  std::string description() const override { return "wpm"; }

 private:
  void EncodeText(std::string_view text, bool after_token, std::vector<TokenId>* ids) const override;
  void EncodeWord(std::string_view word, std::vector<TokenId>* ids) const;

  ByteTrie trie_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_WORD_PIECE_TOKENIZER_H_
