#ifndef HEARTH_DAEMON_STEPS_NGRAM_DRAFT_H_
#define HEARTH_DAEMON_STEPS_NGRAM_DRAFT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// Guesses how a text goes on from how it went on before, where its last tokens stand earlier in it ("prompt
// lookup": Saxena, 2023): texts that are edited, quoted or made of the same phrases repeat themselves. How
// good its guesses are it learns from what came, whether they were made use of or not. Not thread-safe.
class NgramDraft {
 public:
  // Guesses of so many tokens at most are judged and given.
  explicit NgramDraft(uint32_t most);

  // The text so far, which only ever grows: what is new since the last call is learnt.
  void Learn(absl::Span<const TokenId> text);
  // What follows the text of the last Learn; empty where nothing is like its end.
  absl::Span<const TokenId> guess() const { return guess_; }
  // How likely each of its tokens is right if all before it are.
  double likelihood() const;

 private:
  // Longer ends are looked for first: what stands behind them is right more often. Where an earlier place is
  // being followed, it is left for one that is like a longer end.
  static constexpr std::array<uint32_t, 3> kLengths = {8, 4, 2};

  struct OfLength {
    // Where those of this length end, the last of each; by a hash, since a wrong guess costs little.
    absl::flat_hash_map<uint64_t, uint32_t> ends;
    double right = 0;  // the share of its tokens that were, lately
  };

  void Judge(TokenId token);
  void Follow(absl::Span<const TokenId> text, TokenId token);
  void Remember(absl::Span<const TokenId> text);
  void Guess(absl::Span<const TokenId> text);

  uint32_t most_;
  uint32_t learnt_ = 0;
  std::array<OfLength, kLengths.size()> lengths_;
  std::vector<TokenId> guess_;
  size_t guessed_by_ = 0;  // which of lengths_
  // The text went on as it did before this place for so many tokens.
  uint32_t place_ = 0, followed_ = 0;
  // The guess that is being compared with what comes, and what of it is left.
  std::vector<TokenId> judged_;
  size_t judged_at_ = 0, judged_by_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STEPS_NGRAM_DRAFT_H_
