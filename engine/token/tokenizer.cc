#include "engine/token/tokenizer.h"

#include <utility>

#include "engine/base/check.h"
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

}  // namespace hearth
