#ifndef HEARTH_ENGINE_GRAMMAR_TOKEN_MASK_H_
#define HEARTH_ENGINE_GRAMMAR_TOKEN_MASK_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "engine/token/tokenizer.h"

namespace hearth::grammar {

// A set of the tokens of a vocabulary.
class TokenMask {
 public:
  TokenMask() = default;
  explicit TokenMask(int32_t vocab_size) : words_((static_cast<size_t>(vocab_size) + 63) / 64) {}

  void Add(TokenId token) { words_[Word(token)] |= Bit(token); }
  // `other` is of the same vocabulary.
  void Add(const TokenMask& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool Contains(TokenId token) const {
    return Word(token) < words_.size() && (words_[Word(token)] & Bit(token)) != 0;
  }
  bool empty() const {
    uint64_t any = 0;
    for (const uint64_t word : words_) any |= word;
    return any == 0;
  }
  // Sets the logits of all other tokens to -infinity.
  void ForbidOthers(absl::Span<float> logits) const {
    constexpr float kForbidden = -std::numeric_limits<float>::infinity();
    for (size_t token = 0; token < logits.size(); ++token) {
      const uint64_t word = token / 64 < words_.size() ? words_[token / 64] : 0;
      logits[token] = (word >> (token % 64) & 1) != 0 ? logits[token] : kForbidden;
    }
  }

 private:
  static size_t Word(TokenId token) { return static_cast<uint32_t>(token) / 64; }
  static uint64_t Bit(TokenId token) { return uint64_t{1} << (static_cast<uint32_t>(token) % 64); }

  std::vector<uint64_t> words_;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_TOKEN_MASK_H_
