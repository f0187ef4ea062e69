#include "engine/token/tokenizer.h"
#include "engine/token/unicode.h"

namespace hearth {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool at_start_of_text)
    : tokenizer_(tokenizer), at_start_(at_start_of_text) {}

std::string StreamDecoder::Push(TokenId id) {
  std::string bytes = tokenizer_.TokenBytes(id);
  if (at_start_ && tokenizer_.adds_space_prefix() && bytes.starts_with(' ')) bytes.erase(0, 1);
  at_start_ = false;
  pending_ += bytes;
  return TakeCharacters();
}

std::string StreamDecoder::Flush() {
  std::string text = TakeCharacters();
  if (!pending_.empty()) AppendUtf8(kReplacementCharacter, &text);
  pending_.clear();
  return text;
}

std::string StreamDecoder::TakeCharacters() {
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    bool truncated = false;
    size_t length = ValidUtf8Length(rest, &truncated);
    if (truncated) break;
    if (length > 0) {
      text += rest.substr(0, length);
    } else {
      AppendUtf8(kReplacementCharacter, &text);
      length = InvalidUtf8Length(rest);
    }
    rest.remove_prefix(length);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

}  // namespace hearth
