#include "daemon/steps/sequence_draft.h"

#include <utility>

namespace hearth {
namespace {

// Of one comparison; about the last ten count.
constexpr double kNewsOfOffer = 0.1;
// Who is not asked is thought of as at first again after some hundreds of tokens: texts change.
constexpr double kForgotten = 1.0 / 128;

}  // namespace

void SequenceDraft::Learn(absl::Span<const TokenId> text) {
  for (; learnt_ < text.size(); ++learnt_) Judge(text[learnt_]);
  ngrams_.Learn(text);
}

void SequenceDraft::Judge(TokenId token) {
  if (offered().empty()) {
    right_ += kForgotten * (kAtFirst - right_);
    return;
  }
  const bool right = offered().front() == token;
  right_ += kNewsOfOffer * ((right ? 1.0 : 0.0) - right_);
  came_true_ = right ? came_true_ + 1 : offered_.size();
}

void SequenceDraft::Offer(std::vector<TokenId> guess) {
  offered_ = std::move(guess);
  came_true_ = 0;
}

bool SequenceDraft::WantsOffer() const { return offered().empty() && right_ > ngrams_.likelihood(); }

absl::Span<const TokenId> SequenceDraft::guess() const {
  return offered().empty() ? ngrams_.guess() : offered();
}

double SequenceDraft::likelihood() const { return offered().empty() ? ngrams_.likelihood() : right_; }

}  // namespace hearth
