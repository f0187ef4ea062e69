#ifndef HEARTH_DAEMON_STEPS_SEQUENCE_DRAFT_H_
#define HEARTH_DAEMON_STEPS_SEQUENCE_DRAFT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "daemon/steps/ngram_draft.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// What is guessed of how one text goes on: by the text itself (NgramDraft), which costs nothing, and by
// another model, which is asked where it is the likelier one to be right. Not thread-safe.
class SequenceDraft {
 public:
  // Guesses of so many tokens at most.
  explicit SequenceDraft(uint32_t most) : ngrams_(most) {}

  // The text so far, which only ever grows: guesses are compared with what is new since the last call.
  void Learn(absl::Span<const TokenId> text);
  // What another model expects behind the text of the last Learn.
  void Offer(std::vector<TokenId> guess);

  // What follows that text; empty: unknown. Of what was offered, the rest as long as it comes true.
  absl::Span<const TokenId> guess() const;
  // How likely each of its tokens is right if all before it are.
  double likelihood() const;
  // Whether another model's guess would be likelier than this one, and how likely each of its tokens.
  bool WantsOffer() const;
  double offers_right() const { return right_; }

 private:
  void Judge(TokenId token);
  absl::Span<const TokenId> offered() const { return absl::MakeSpan(offered_).subspan(came_true_); }

  static constexpr double kAtFirst = 0.7;  // what is thought of another model before it has guessed

  NgramDraft ngrams_;
  size_t learnt_ = 0;
  std::vector<TokenId> offered_;
  size_t came_true_ = 0;     // of these
  double right_ = kAtFirst;  // the share of offered tokens that was, lately
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STEPS_SEQUENCE_DRAFT_H_
