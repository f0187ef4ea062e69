#ifndef HEARTH_DAEMON_SCHEDULING_DRAFT_MODEL_H_
#define HEARTH_DAEMON_SCHEDULING_DRAFT_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/model_host.h"
#include "daemon/steps/prompt_pace.h"
#include "daemon/steps/scheduler_core.h"

namespace hearth {

// Another, smaller model of the same vocabulary that guesses what texts go on with: for each the tokens that
// it expects most. It reads what its own cache lacks of them, a long text in parts. Where it cannot compute
// at present nothing is guessed. Used by one thread.
class DraftModel {
 public:
  // Ids below `vocab_size` are tokens of both models.
  DraftModel(std::shared_ptr<ServedModel> model, int32_t vocab_size);

  const std::shared_ptr<ServedModel>& model() const { return model_; }
  // Takes over its newest plan; false: it cannot guess now.
  bool Prepare();

  // For each wish at most so many tokens, fewer where it is not sure of them; none of texts that it has yet
  // to read, or that are beyond its context.
  std::vector<std::vector<TokenId>> Guess(absl::Span<const SchedulerCore::DraftWish> wishes);
  // What one token of each took at the last Guess; zero where that read texts.
  absl::Duration token_took() const { return token_took_; }

 private:
  // Puts what the cache lacks of the text, or a part of it, into the step; true: all.
  bool AddText(const SchedulerCore::DraftWish& wish);
  void AddRow(uint32_t slot, TokenId token, bool want_logits, bool prompt);
  bool Step();
  // What the row of logits expects most, and whether it is sure enough of it for what would follow.
  struct Expected {
    TokenId token = 0;
    bool sure = false;
  };
  Expected ExpectedBy(size_t row) const;

  const std::shared_ptr<ServedModel> model_;
  const TokenId vocab_size_;
  std::vector<std::vector<TokenId>> held_;  // by the decoder, of each slot
  PromptPace pace_;
  std::vector<BatchRow> rows_;  // of the next step
  std::vector<float> logits_;
  absl::Duration token_took_;
  bool broken_ = false;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_DRAFT_MODEL_H_
