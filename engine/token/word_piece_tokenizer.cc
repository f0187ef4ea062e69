#include "engine/token/word_piece_tokenizer.h"

#include <utility>

#include "engine/token/unicode.h"

namespace hearth {
namespace {

bool IsWordOfItsOwn(char32_t c) {
  const CodePointCategory category = Category(c);
  return category == CodePointCategory::kPunctuation ||
         (category == CodePointCategory::kSymbol && c < 0x7F) || IsWordPieceIdeograph(c);
}

bool IsDropped(char32_t c, bool strip_accents) {
  const CodePointCategory category = Category(c);
  return c == 0 || c == kReplacementCharacter || category == CodePointCategory::kControl ||
         (strip_accents && category == CodePointCategory::kMark);
}

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {
  for (TokenId id = 0; id < this->vocabulary().size(); ++id) {
    const std::string& token = this->vocabulary().tokens[id];
    if (!token.empty()) trie_.Insert(token, id);
  }
}

void WordPieceTokenizer::EncodeText(std::string_view text, bool after_token,
                                    std::vector<TokenId>* ids) const {
  std::string word;
  const auto finish_word = [&] {
    if (!word.empty()) EncodeWord(word, ids);
    word.clear();
  };
  for (char32_t c : DecodeUtf8(text)) {
    if (vocabulary().strip_accents) c = BaseLetter(c);
    if (IsWhitespace(c)) {
      finish_word();
    } else if (!IsDropped(c, vocabulary().strip_accents)) {
      const bool alone = IsWordOfItsOwn(c);
      if (alone) finish_word();
      AppendUtf8(vocabulary().lowercase ? ToLower(c) : c, &word);
      if (alone) finish_word();
    }
  }
  finish_word();
}

void WordPieceTokenizer::EncodeWord(std::string_view word, std::vector<TokenId>* ids) const {
  std::string marked(kSpaceMark);
  marked += word;
  const size_t tokens_before = ids->size();
  for (size_t at = 0; at < marked.size();) {
    size_t longest = 0;
    TokenId id = kNoToken;
    trie_.VisitPrefixes(std::string_view(marked).substr(at), [&](size_t length, uint32_t value) {
      longest = length;
      id = static_cast<TokenId>(value);
    });
    if (longest == 0) {
      ids->resize(tokens_before);
      if (vocabulary().unknown != kNoToken) ids->push_back(vocabulary().unknown);
      return;
    }
    ids->push_back(id);
    at += longest;
  }
}

}  // namespace hearth
