#include "daemon/steps/ngram_draft.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"

namespace hearth {
namespace {

// Of one comparison; about the last ten count.
constexpr double kNewsOfGuess = 0.1;
// What is thought of guesses by each length before any was compared.
constexpr std::array<double, 3> kAtFirst = {0.9, 0.8, 0.5};

uint64_t HashOfEnd(absl::Span<const TokenId> text, uint32_t length) {
  return absl::HashOf(text.last(length));
}

}  // namespace

NgramDraft::NgramDraft(uint32_t most) : most_(most) {
  for (size_t i = 0; i < kLengths.size(); ++i) lengths_[i].right = kAtFirst[i];
}

void NgramDraft::Learn(absl::Span<const TokenId> text) {
  if (learnt_ == text.size()) return;
  while (learnt_ < text.size()) {
    Judge(text[learnt_]);
    Follow(text, text[learnt_]);
    ++learnt_;
    if (learnt_ < text.size()) Remember(text.first(learnt_));
  }
  Guess(text);
  Remember(text);  // after the guess: an end is not like itself
  if (judged_at_ < judged_.size() || guess_.empty()) return;
  judged_ = guess_;
  judged_at_ = 0;
  judged_by_ = guessed_by_;
}

double NgramDraft::likelihood() const { return guess_.empty() ? 0 : lengths_[guessed_by_].right; }

void NgramDraft::Judge(TokenId token) {
  if (judged_at_ == judged_.size()) return;
  const bool right = judged_[judged_at_] == token;
  double& share = lengths_[judged_by_].right;
  share += kNewsOfGuess * ((right ? 1.0 : 0.0) - share);
  judged_at_ = right ? judged_at_ + 1 : judged_.size();
}

void NgramDraft::Remember(absl::Span<const TokenId> text) {
  for (size_t i = 0; i < kLengths.size(); ++i) {
    if (text.size() < kLengths[i]) continue;
    lengths_[i].ends[HashOfEnd(text, kLengths[i])] = static_cast<uint32_t>(text.size());
  }
}

void NgramDraft::Follow(absl::Span<const TokenId> text, TokenId token) {
  const bool goes_on = followed_ > 0 && text[place_] == token;
  followed_ = goes_on ? followed_ + 1 : 0;
  if (goes_on) ++place_;
}

void NgramDraft::Guess(absl::Span<const TokenId> text) {
  guess_.clear();
  for (size_t i = 0; i < kLengths.size() && guess_.empty(); ++i) {
    if (text.size() < kLengths[i]) continue;
    if (followed_ < kLengths[i]) {
      const auto found = lengths_[i].ends.find(HashOfEnd(text, kLengths[i]));
      if (found == lengths_[i].ends.end()) continue;
      place_ = found->second;
      followed_ = kLengths[i];
    }
    // What is repeated right up to the end goes on repeating itself.
    const size_t period = text.size() - place_;
    for (uint32_t j = 0; j < most_; ++j) guess_.push_back(text[place_ + j % period]);
    guessed_by_ = i;
  }
}

}  // namespace hearth
