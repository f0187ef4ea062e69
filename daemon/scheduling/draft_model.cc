#include "daemon/scheduling/draft_model.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/time/clock.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

// Those who wait for their next token wait so long at most while a text is read.
constexpr absl::Duration kReadingTime = absl::Milliseconds(50);
constexpr uint32_t kFewestRows = 16;
// What follows a token that was given less is seldom right.
constexpr double kLeastSure = 0.3;

}  // namespace

DraftModel::DraftModel(std::shared_ptr<ServedModel> model, int32_t vocab_size)
    : model_(std::move(model)),
      vocab_size_(std::min(vocab_size, std::min(model_->vocab_size(), model_->tokenizer().vocab_size()))),
      held_(model_->decoder().options().sequences) {}

bool DraftModel::Prepare() {
  if (broken_ || !model_->PrepareStep().ok() || !model_->reuse().can_cut) return false;
  for (uint32_t slot = 0; slot < held_.size(); ++slot) {
    const uint32_t length = model_->decoder().SequenceLength(slot);
    if (length < held_[slot].size()) held_[slot].resize(length);
  }
  return true;
}

std::vector<std::vector<TokenId>> DraftModel::Guess(absl::Span<const SchedulerCore::DraftWish> wishes) {
  std::vector<std::vector<TokenId>> guesses(wishes.size());
  std::vector<size_t> guessing;  // in the order of their rows of logits
  token_took_ = absl::ZeroDuration();
  rows_.clear();
  for (size_t i = 0; i < wishes.size(); ++i) {
    if (AddText(wishes[i])) guessing.push_back(i);
  }
  const bool only_guesses = rows_.size() <= wishes.size() * kFewestRows && guessing.size() == wishes.size();
  const absl::Time start = absl::Now();
  uint32_t steps = 0;
  while (!rows_.empty() && Step()) {
    ++steps;
    rows_.clear();
    std::vector<size_t> going_on;
    for (size_t row = 0; row < guessing.size(); ++row) {
      const SchedulerCore::DraftWish& wish = wishes[guessing[row]];
      std::vector<TokenId>& guess = guesses[guessing[row]];
      const auto [token, sure] = ExpectedBy(row);
      guess.push_back(token);
      if (!sure || guess.size() == wish.tokens) continue;
      going_on.push_back(guessing[row]);
      AddRow(wish.slot, token, true, false);
    }
    guessing = std::move(going_on);
  }
  if (only_guesses && steps > 0) token_took_ = (absl::Now() - start) / steps;
  return guesses;
}

bool DraftModel::AddText(const SchedulerCore::DraftWish& wish) {
  Decoder& decoder = model_->decoder();
  if (wish.slot >= held_.size() || wish.text.size() + wish.tokens > decoder.options().context_length)
    return false;
  std::vector<TokenId>& held = held_[wish.slot];
  // The last token is computed anew where it is held: its logits are wanted.
  const auto [end, first] = std::mismatch(held.begin(), held.end(), wish.text.begin(), wish.text.end() - 1);
  if (std::any_of(first, wish.text.end(), [&](TokenId token) { return token >= vocab_size_; })) return false;
  held.erase(end, held.end());
  HEARTH_CHECK(decoder.Truncate(wish.slot, static_cast<uint32_t>(held.size())).ok());
  const size_t lacking = wish.text.size() - held.size();
  const size_t room = decoder.options().max_rows - rows_.size();
  const size_t rows =
      std::min({lacking, room, std::max<size_t>(kFewestRows, pace_.RowsWithin(kReadingTime, kFewestRows))});
  for (size_t i = 0; i < rows; ++i)
    AddRow(wish.slot, wish.text[held.size()], i + 1 == lacking, lacking > kFewestRows);
  return rows == lacking;
}

void DraftModel::AddRow(uint32_t slot, TokenId token, bool want_logits, bool prompt) {
  rows_.push_back({slot, static_cast<uint32_t>(held_[slot].size()), token, want_logits, prompt});
  held_[slot].push_back(token);
}

bool DraftModel::Step() {
  const auto sampled = static_cast<size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const BatchRow& row) { return row.want_logits; }));
  logits_.resize(sampled * static_cast<size_t>(model_->vocab_size()));
  const absl::Time start = absl::Now();
  const absl::Status status = model_->decoder().Step(rows_, absl::MakeSpan(logits_));
  if (status.ok()) {
    const auto rows = static_cast<uint32_t>(rows_.size());
    if (rows == sampled) model_->NoteStep(rows, absl::Now() - start);
    pace_.Note(rows == sampled ? 0 : rows, absl::Now() - start);
    return true;
  }
  for (std::vector<TokenId>& held : held_) held.clear();  // read anew: guesses are no part of any text
  if (absl::IsUnavailable(status)) {
    model_->ReportLostDevice(status);
  } else {
    broken_ = true;
    spdlog::warn("model {} guesses no more: {}", model_->name(), Printable(status.message()));
  }
  return false;
}

DraftModel::Expected DraftModel::ExpectedBy(size_t row) const {
  const auto vocab = static_cast<size_t>(model_->vocab_size());
  const auto logits = absl::MakeConstSpan(logits_).subspan(row * vocab, static_cast<size_t>(vocab_size_));
  const auto most = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - *most));
  return {static_cast<TokenId>(most - logits.begin()), 1 / sum >= kLeastSure};
}

}  // namespace hearth
