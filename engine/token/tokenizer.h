#ifndef HEARTH_ENGINE_TOKEN_TOKENIZER_H_
#define HEARTH_ENGINE_TOKEN_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/byte_range.h"
#include "engine/file/gguf.h"

namespace hearth {

using TokenId = int32_t;

// The vocabulary of a model and the rules that turn text into token ids and back, read from the metadata of
// its file (tokenizer.ggml.*). Immutable and thread-safe.
class Tokenizer {
 public:
  struct EncodeOptions {
    bool add_special = true;     // BOS/EOS (or CLS/SEP) as the vocabulary wants
    bool parse_special = false;  // special tokens written in the text become their ids
    // Where they do not, even so: a control token that lies partly in one of these stays text. Ascending.
    absl::Span<const ByteRange> literal = {};
  };
  struct DecodeOptions {
    bool remove_special = false;   // drop the BOS/EOS that add_special adds
    bool unparse_special = false;  // write control tokens as their text instead of as nothing
  };

  // UNIMPLEMENTED for an unknown tokenizer model or pre-tokenizer (names it, lists the known ones);
  // INVALID_ARGUMENT for an inconsistent vocabulary.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromMetadata(const GgufMetadata& metadata);
  virtual ~Tokenizer() = default;

  // Any bytes are accepted. Time is close to linear in the length of the text.
  virtual std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const = 0;
  // The bytes that `ids` stand for (need not be UTF-8 where a token border cuts a character). Ids outside the
  // vocabulary are skipped.
  virtual std::string Decode(absl::Span<const TokenId> ids, DecodeOptions options) const = 0;

  // Number of token ids.
  virtual int32_t vocab_size() const = 0;
  // The token as written in the file; "" outside the vocabulary.
  virtual std::string_view TokenText(TokenId id) const = 0;
  // The bytes one token adds in the middle of a text; "" for control tokens unless `special`.
  virtual std::string TokenBytes(TokenId id, bool special = false) const = 0;
  virtual bool IsControl(TokenId id) const = 0;
  // Whether `id` ends a generation (EOS, EOT, EOM and the like).
  virtual bool IsEndOfGeneration(TokenId id) const = 0;
  virtual const std::vector<TokenId>& end_of_generation() const = 0;
  // -1 where the vocabulary has none.
  virtual TokenId bos() const = 0;
  virtual TokenId eos() const = 0;
  // Whether add_special puts a token before (behind) a text.
  virtual bool adds_bos() const { return false; }
  virtual bool adds_eos() const { return false; }
  // Whether encoding puts a space before the first word, which decoding takes off again.
  virtual bool adds_space_prefix() const { return false; }
  // "spm", "bpe:llama-bpe", "wpm": for people.
  virtual std::string description() const = 0;
};

// Whether one model's tokens mean the same to the other: INVALID_ARGUMENT names an id that does not. At the
// end one may have a few more, with which files pad their matrices.
absl::Status CheckSameVocabulary(const Tokenizer& one, const Tokenizer& other);

// Turns a stream of tokens into text that never ends inside a UTF-8 character. Control tokens give nothing.
// Spaces before punctuation stay (Decode drops them for some vocabularies), since what was sent cannot be
// taken back. Not thread-safe.
class StreamDecoder {
 public:
  // `tokenizer` outlives this. `at_start_of_text`: no text comes before the first token pushed, so a space
  // that encoding put before the first word is dropped; false for a continuation.
  StreamDecoder(const Tokenizer& tokenizer, bool at_start_of_text);

  // The whole characters that are complete with this token; invalid bytes come out as U+FFFD.
  std::string Push(TokenId id);
  // What is left at the end: incomplete bytes as U+FFFD. Afterwards the stream goes on as in the middle of a
  // text.
  std::string Flush();

 private:
  // Removes the complete characters from pending_.
  std::string TakeCharacters();

  const Tokenizer& tokenizer_;
  bool at_start_;
  std::string pending_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_TOKENIZER_H_
