#ifndef HEARTH_ENGINE_TOKEN_VOCABULARY_H_
#define HEARTH_ENGINE_TOKEN_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/file/gguf.h"
#include "engine/token/pre_tokenizer_rules.h"
#include "engine/token/tokenizer.h"

namespace hearth {

inline constexpr TokenId kNoToken = -1;
// U+2581, which stands for a space in vocabularies of the SentencePiece family.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// How text becomes tokens: the value of tokenizer.ggml.model.
enum class VocabularyKind {
  kSpm,        // "llama": merges by score
  kBpe,        // "gpt2" (bytes written as characters) and "gemma4" (UTF-8): merges by rank
  kWordPiece,  // "bert": longest match
};

// Bits that a token may carry together.
enum TokenAttribute : uint16_t {
  kNormalToken = 1 << 0,
  kUnknownToken = 1 << 1,
  kControlToken = 1 << 2,
  kUserDefinedToken = 1 << 3,
  kUnusedToken = 1 << 4,
  kByteToken = 1 << 5,
  kStripsLeft = 1 << 6,   // swallows the whitespace before it
  kStripsRight = 1 << 7,  // swallows the whitespace after it
};

// The tokens of a model file with their roles: tokenizer.ggml.* checked, defaults filled in, and roles that
// files leave unsaid found by the tokens' text (token_roles.h). Several tokens may be written alike, and a
// token may be empty. Move-only; `ids` borrows from `tokens`.
struct Vocabulary {
  // UNIMPLEMENTED for an unknown model or pre-tokenizer, INVALID_ARGUMENT for one that contradicts itself.
  static absl::StatusOr<Vocabulary> FromMetadata(const GgufMetadata& metadata);

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  // Number of ids; whether an id is one of them; whether it has one of the attributes.
  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  bool Contains(TokenId id) const { return id >= 0 && id < size(); }
  bool Has(TokenId id, unsigned attribute_mask) const { return (attributes[id] & attribute_mask) != 0; }
  // The lowest id that is written so, kNoToken where none is. Nothing is found for "": an empty token has no
  // text that could be encoded.
  TokenId Find(std::string_view text) const;
  // The token "<0xHH>" for `byte`.
  TokenId FindByteToken(uint8_t byte) const;

  VocabularyKind kind = VocabularyKind::kSpm;
  const PreTokenizerRule* rule = nullptr;  // of kBpe; lives for ever

  std::vector<std::string> tokens;
  std::vector<float> scores;         // empty unless kSpm
  std::vector<uint16_t> attributes;  // TokenAttribute bits
  std::vector<std::string> merges;   // "left right" by rank; of kBpe
  absl::flat_hash_map<absl::string_view, TokenId> ids;
  size_t longest_token_bytes = 0;

  TokenId bos = kNoToken;
  TokenId eos = kNoToken;
  TokenId eot = kNoToken;
  TokenId eom = kNoToken;
  TokenId unknown = kNoToken;
  TokenId separator = kNoToken;
  TokenId padding = kNoToken;
  std::vector<TokenId> end_of_generation;  // ascending

  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = false;
  bool clean_spaces = false;   // detokenisation drops the space before punctuation
  bool escape_spaces = false;  // tokens write a space as kSpaceMark
  bool lowercase = true;       // of kWordPiece
  bool strip_accents = true;   // of kWordPiece
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_VOCABULARY_H_
