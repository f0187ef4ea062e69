#include "engine/token/tokenizer.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/token/bpe_tokenizer.h"
#include "engine/token/spm_tokenizer.h"
#include "engine/token/vocabulary.h"
#include "engine/token/word_piece_tokenizer.h"

namespace hearth {

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromMetadata(const GgufMetadata& metadata) {
  HEARTH_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::FromMetadata(metadata));
  switch (vocabulary.kind) {
    case VocabularyKind::kSpm:
      return std::make_unique<SpmTokenizer>(std::move(vocabulary));
    case VocabularyKind::kBpe:
      return std::make_unique<BpeTokenizer>(std::move(vocabulary));
    case VocabularyKind::kWordPiece:
      return std::make_unique<WordPieceTokenizer>(std::move(vocabulary));
  }
  HEARTH_CHECK(false);
}

absl::Status CheckSameVocabulary(const Tokenizer& one, const Tokenizer& other) {
  constexpr int32_t kMostPadding = 128;
  const int32_t common = std::min(one.vocab_size(), other.vocab_size());
  if (std::abs(one.vocab_size() - other.vocab_size()) > kMostPadding) {
    return absl::InvalidArgumentError(absl::StrCat("has ", one.vocab_size(), " tokens, the other model ",
                                                   other.vocab_size(), "; take one of the same family"));
  }
  for (TokenId id = 0; id < common; ++id) {
    if (one.TokenText(id) == other.TokenText(id) && one.IsControl(id) == other.IsControl(id)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "has another vocabulary: token ", id, " is '",
        Printable(std::string(one.TokenText(id)), kMaxNameBytes), "', in the other model '",
        Printable(std::string(other.TokenText(id)), kMaxNameBytes), "'; take one of the same family"));
  }
  return absl::OkStatus();
}

}  // namespace hearth
