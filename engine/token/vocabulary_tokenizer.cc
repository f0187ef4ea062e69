#include "engine/token/vocabulary_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_replace.h"
#include "engine/base/absl_view.h"
#include "engine/token/byte_characters.h"
#include "engine/token/clean_spaces.h"

namespace hearth {
namespace {

std::string UnescapeSpaces(const std::string& text) {
  return absl::StrReplaceAll(text, {{AbslView(kSpaceMark), " "}});
}

// Kinds count positions in 31 bits, and a byte may become three (a space its mark): a longer text is cut.
constexpr size_t kLongestText = size_t{1} << 29;

// The byte of "<0xHH>", which the vocabulary has checked.
char ByteOfText(const std::string& text) {
  return static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16));
}

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), special_tokens_(vocabulary_) {
  spellings_.reserve(vocabulary_.size());
  for (TokenId id = 0; id < vocabulary_.size(); ++id) spellings_.push_back(Spell(id));
  const bool word_piece = vocabulary_.kind == VocabularyKind::kWordPiece;
  if (word_piece || vocabulary_.add_bos) opening_ = vocabulary_.bos;
  if (word_piece) closing_ = vocabulary_.separator;
  if (!word_piece && vocabulary_.add_eos) closing_ = vocabulary_.eos;
}

std::string VocabularyTokenizer::Spell(TokenId id) const {
  const std::string& text = vocabulary_.tokens[id];
  if (vocabulary_.Has(id, kUnknownToken | kControlToken | kUserDefinedToken)) return text;
  if (vocabulary_.Has(id, kNormalToken)) {
    return vocabulary_.escape_spaces ? UnescapeSpaces(text) : BytesOfCharacters(text);
  }
  if (vocabulary_.Has(id, kByteToken)) return std::string(1, ByteOfText(text));
  return "";
}

std::vector<TokenId> VocabularyTokenizer::Encode(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> ids;
  if (options.add_special && opening_ != kNoToken) ids.push_back(opening_);
  bool after_token = true;
  for (const TextFragment& fragment : special_tokens_.Split(text, options.parse_special, options.literal)) {
    after_token = after_token || fragment.token != kNoToken;
    if (fragment.token != kNoToken) ids.push_back(fragment.token);
    for (size_t at = 0; at < fragment.text.size(); at += kLongestText) {
      EncodeText(fragment.text.substr(at, kLongestText), after_token, &ids);
      after_token = false;
    }
  }
  if (options.add_special && closing_ != kNoToken) ids.push_back(closing_);
  return ids;
}

std::string VocabularyTokenizer::Decode(absl::Span<const TokenId> ids, DecodeOptions options) const {
  // The space that encoding put before the first word is taken off again, except behind a BOS.
  bool drop_space = vocabulary_.add_space_prefix;
  if (options.remove_special && vocabulary_.add_bos && !ids.empty() && ids.front() == vocabulary_.bos) {
    drop_space = false;
    ids.remove_prefix(1);
  }
  if (options.remove_special && vocabulary_.add_eos && !ids.empty() && ids.back() == vocabulary_.eos) {
    ids.remove_suffix(1);
  }
  std::string text;
  for (TokenId id : ids) {
    const std::string bytes = TokenBytes(id, options.unparse_special);
    const bool drop = drop_space && !bytes.empty() && bytes.front() == ' ';
    text.append(bytes, drop ? 1 : 0);
    drop_space = false;
  }
  return vocabulary_.clean_spaces ? CleanSpaces(std::move(text)) : text;
}

std::string_view VocabularyTokenizer::TokenText(TokenId id) const {
  return vocabulary_.Contains(id) ? std::string_view(vocabulary_.tokens[id]) : std::string_view();
}

std::string VocabularyTokenizer::TokenBytes(TokenId id, bool special) const {
  if (!vocabulary_.Contains(id)) return "";
  if (!special && vocabulary_.Has(id, kControlToken | kUnknownToken)) return "";
  return spellings_[id];
}

bool VocabularyTokenizer::IsControl(TokenId id) const {
  return vocabulary_.Contains(id) && vocabulary_.Has(id, kControlToken);
}

bool VocabularyTokenizer::IsEndOfGeneration(TokenId id) const {
  const auto& ends = vocabulary_.end_of_generation;
  return std::binary_search(ends.begin(), ends.end(), id);
}

}  // namespace hearth
