#ifndef HEARTH_ENGINE_TOKEN_BPE_TOKENIZER_H_
#define HEARTH_ENGINE_TOKEN_BPE_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/token/pre_tokenizer.h"
#include "engine/token/vocabulary_tokenizer.h"

namespace hearth {

// Byte-pair encoding by rank ("gpt2", "gemma4"): the pre-tokenizer cuts the text into words; in each,
// neighbouring pieces are merged, the lowest rank first, the leftmost on a tie.
class BpeTokenizer : public VocabularyTokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary);

  std::string description() const override;

 private:
  // Pieces are the strings that merges make and take, numbered.
  using Piece = int32_t;
  static constexpr Piece kNoPiece = -1;

  struct Merge {
    Piece left, right, result;
  };

  // Scratch memory for one text.
  struct Workspace;

  void LoadMerges();
  Piece Intern(std::string_view text);
  Piece FindPiece(std::string_view character) const;
  // `bytes` of a text as tokens write them.
  std::string AsWritten(std::string_view bytes) const;

  void EncodeText(std::string_view text, bool after_token, std::vector<TokenId>* ids) const override;
  void EncodeWord(std::u32string_view word, Workspace* workspace, std::vector<TokenId>* ids) const;
  // Whether `word` is taken as one token without merging; appends it.
  bool TakeWhole(std::string_view word, std::vector<TokenId>* ids) const;
  void SplitIntoSymbols(std::string_view word, Workspace* workspace) const;
  void Consider(int32_t left, int32_t right, Workspace* workspace) const;
  void MergeSymbols(Workspace* workspace) const;
  void AppendTokens(Piece piece, std::string_view bytes, std::vector<TokenId>* ids) const;

  PreTokenizer pre_tokenizer_;
  absl::flat_hash_map<std::string, Piece> pieces_;
  std::vector<Merge> merges_;                     // by rank
  absl::flat_hash_map<uint64_t, int32_t> ranks_;  // by left and right piece
  std::vector<TokenId> piece_tokens_;             // by piece; kNoToken where no token is written so
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_BPE_TOKENIZER_H_
