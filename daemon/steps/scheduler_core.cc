#include "daemon/steps/scheduler_core.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

// How much longer a step may take for guesses while it also has sequences for which nothing is guessed.
constexpr double kSlowerForOthers = 1.25;

}  // namespace

SchedulerCore::SchedulerCore(SchedulerLimits limits)
    : limits_(limits), slots_(limits.slots), cache_(limits.slots) {
  HEARTH_CHECK(limits.slots > 0 && limits.max_rows >= 2);
  HEARTH_CHECK(limits.fewest_prompt_rows > 0 && limits.fewest_rows_alone > 0);
}

absl::Status SchedulerCore::Submit(Request request) {
  HEARTH_CHECK(!request.prompt.empty() && request.max_tokens > 0);
  if (queue_.size() >= limits_.queue) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the queue is full: ", queue_.size(), " requests wait and ", running(),
        " are running; try again later, or start the daemon with more --slots or a longer --queue"));
  }
  Sequence sequence;
  sequence.tokens = std::move(request.prompt);
  sequence.prompt_tokens = static_cast<uint32_t>(sequence.tokens.size());
  sequence.tokens.insert(sequence.tokens.end(), request.generated.begin(), request.generated.end());
  sequence.request = std::move(request);
  queue_.push_back(std::move(sequence));
  return absl::OkStatus();
}

void SchedulerCore::Cancel(RequestId id) {
  if (Sequence* begun = FindBegun(id)) begun->cancelled = true;
  for (Sequence& waiting : queue_) {
    if (waiting.request.id == id) waiting.cancelled = true;
  }
}

void SchedulerCore::SetBlocked(RequestId id, bool blocked, absl::Time now) {
  Sequence* sequence = FindBegun(id);
  if (sequence == nullptr || sequence->blocked() == blocked) return;
  sequence->blocked_since = blocked ? now : absl::InfiniteFuture();
}

void SchedulerCore::Recompute(uint32_t slot, uint32_t kept) {
  HEARTH_CHECK(slot < slots_.size());
  if (slots_[slot]) slots_[slot]->evaluated = std::min(slots_[slot]->evaluated, kept);
  cache_.Cut(slot, kept);
}

const SchedulerCore::Batch& SchedulerCore::Next(absl::Time now) {
  Expire(now);
  ParkBlocked(now);
  Admit();
  AddGeneratingRows();
  AddPromptRows();
  return batch_;
}

const SchedulerCore::Batch& SchedulerCore::Expire(absl::Time now) {
  batch_.rows.clear();
  batch_.sampled.clear();
  batch_.read.clear();
  batch_.admitted.clear();
  batch_.ended.clear();
  EndExpired(now);
  return batch_;
}

void SchedulerCore::EndExpired(absl::Time now) {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot]) continue;
    slots_[slot]->rows_in_batch = 0;
    slots_[slot]->guessed.clear();
    if (auto reason = Expired(*slots_[slot], now))
      batch_.ended.push_back({Release(slot).request.id, *reason});
  }
  EndExpired(parked_, now);
  EndExpired(queue_, now);
}

void SchedulerCore::EndExpired(std::deque<Sequence>& sequences, absl::Time now) {
  std::erase_if(sequences, [&](const Sequence& sequence) {
    auto reason = Expired(sequence, now);
    if (reason) batch_.ended.push_back({sequence.request.id, *reason});
    return reason.has_value();
  });
}

std::optional<EndReason> SchedulerCore::Expired(const Sequence& sequence, absl::Time now) const {
  if (sequence.cancelled) return EndReason::kCancelled;
  if (sequence.request.deadline <= now) return EndReason::kDeadline;
  if (sequence.blocked() && sequence.blocked_since + limits_.slow_reader <= now)
    return EndReason::kSlowReader;
  return std::nullopt;
}

size_t SchedulerCore::Claimants() const {
  const auto back =
      std::count_if(parked_.begin(), parked_.end(), [](const Sequence& parked) { return !parked.blocked(); });
  return queue_.size() + static_cast<size_t>(back);
}

std::vector<uint32_t> SchedulerCore::FreeSlots() const {
  std::vector<uint32_t> free;
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot]) free.push_back(slot);
  }
  return free;
}

SchedulerCore::Sequence SchedulerCore::Release(uint32_t slot) {
  Sequence sequence = *std::exchange(slots_[slot], std::nullopt);
  if (sequence.request.embed) return sequence;  // nobody goes on from it: the next text's slot
  const auto end = sequence.tokens.begin() + std::exchange(sequence.evaluated, 0);
  cache_.Keep(slot, {{sequence.tokens.begin(), end}, sequence.prompt_tokens});
  return sequence;
}

absl::Time SchedulerCore::ParkTime(const Sequence& sequence) const {
  if (!sequence.blocked() || parked_.size() >= limits_.queue) return absl::InfiniteFuture();
  return sequence.blocked_since + limits_.park_after;
}

void SchedulerCore::ParkBlocked(absl::Time now) {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (Claimants() <= FreeSlots().size()) return;
    if (slots_[slot] && ParkTime(*slots_[slot]) <= now) parked_.push_back(Release(slot));
  }
}

void SchedulerCore::Admit() {
  for (std::vector<uint32_t> free = FreeSlots(); !free.empty(); free = FreeSlots()) {
    const auto back = std::find_if(parked_.begin(), parked_.end(),
                                   [](const Sequence& parked) { return !parked.blocked(); });
    if (back != parked_.end()) {
      GiveSlot(free, parked_, back);
    } else if (!queue_.empty()) {
      GiveSlot(free, queue_, queue_.begin());
    } else {
      return;
    }
  }
}

void SchedulerCore::GiveSlot(const std::vector<uint32_t>& free, std::deque<Sequence>& from,
                             std::deque<Sequence>::iterator next) {
  // Of a single token nothing is kept.
  const HeldTokens wanted = next->request.embed ? HeldTokens{{next->tokens.front()}, 1}
                                                : HeldTokens{next->tokens, next->prompt_tokens};
  const auto [slot, kept] = cache_.Find(free, wanted, reuse_);
  cache_.Take(slot);
  slots_[slot] = std::move(*next);
  slots_[slot]->evaluated = kept;
  from.erase(next);
  batch_.admitted.push_back({slots_[slot]->request.id, slot, kept, &from == &parked_});
}

std::vector<uint32_t> SchedulerCore::Runnable(uint32_t first, bool reading_prompt) const {
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    const uint32_t slot = (first + i) % slots_.size();
    if (!slots_[slot] || slots_[slot]->blocked()) continue;
    const bool reads = slots_[slot]->pending() > 1 || limits_.whole_texts;
    if (reads == reading_prompt) result.push_back(slot);
  }
  return result;
}

void SchedulerCore::AddGeneratingRows() {
  std::vector<uint32_t> generating = Runnable(first_generating_, false);
  const bool prompts = !Runnable(0, true).empty();
  const size_t room = limits_.max_rows - (prompts ? 1 : 0);
  if (generating.size() > room) generating.resize(room);
  const std::vector<uint32_t> guesses =
      prompts ? std::vector<uint32_t>(generating.size(), 0) : DraftTokens(generating);
  for (size_t i = 0; i < generating.size(); ++i) {
    AddRows(generating[i], 1);
    AddGuessedRows(generating[i], guesses[i]);
  }
  if (!generating.empty()) first_generating_ = (generating.back() + 1) % slots_.size();
}

bool SchedulerCore::CanGuess() const {
  return limits_.draft_tokens > 0 && reuse_.can_cut && reuse_.rows_independent;
}

SequenceDraft* SchedulerCore::DraftOf(uint32_t slot) {
  Sequence& sequence = *slots_[slot];
  if (sequence.request.embed || sequence.pending() != 1) return nullptr;
  if (!sequence.draft) sequence.draft.emplace(limits_.draft_tokens);
  sequence.draft->Learn(sequence.tokens);
  return &*sequence.draft;
}

std::vector<uint32_t> SchedulerCore::DraftTokens(const std::vector<uint32_t>& generating) {
  std::vector<Guesses> guesses(generating.size());
  if (!CanGuess()) return std::vector<uint32_t>(generating.size(), 0);
  for (size_t i = 0; i < generating.size(); ++i) {
    const SequenceDraft* draft = DraftOf(generating[i]);
    if (draft == nullptr) continue;
    const uint32_t left = slots_[generating[i]]->request.max_tokens - 1;
    guesses[i] = {std::min<size_t>(draft->guess().size(), left), draft->likelihood()};
  }
  return WorthComputing(guesses, absl::ZeroDuration());
}

std::vector<SchedulerCore::DraftWish> SchedulerCore::WantedDrafts() {
  std::vector<DraftWish> wishes;
  const bool prompts = !Runnable(0, true).empty() || (Claimants() > 0 && !FreeSlots().empty());
  if (!CanGuess() || prompts) return wishes;
  const std::vector<uint32_t> generating = Runnable(first_generating_, false);
  std::vector<Guesses> guesses(generating.size());
  uint32_t wanting = 0;
  for (size_t i = 0; i < generating.size(); ++i) {
    const SequenceDraft* draft = DraftOf(generating[i]);
    if (draft == nullptr || !draft->WantsOffer()) continue;
    const uint32_t left = slots_[generating[i]]->request.max_tokens - 1;
    guesses[i] = {std::min(limits_.draft_tokens, left), draft->offers_right()};
    ++wanting;
  }
  if (wanting == 0) return wishes;
  const std::vector<uint32_t> worth = WorthComputing(guesses, draft_token_ / wanting);
  for (size_t i = 0; i < generating.size(); ++i) {
    const Sequence& sequence = *slots_[generating[i]];
    if (worth[i] > 0) wishes.push_back({sequence.request.id, generating[i], sequence.tokens, worth[i]});
  }
  return wishes;
}

void SchedulerCore::Offer(RequestId id, std::vector<TokenId> guess) {
  Sequence* sequence = FindBegun(id);
  if (sequence != nullptr && sequence->draft) sequence->draft->Offer(std::move(guess));
}

void SchedulerCore::NoteDraftToken(absl::Duration took) {
  draft_token_ = draft_token_ == absl::ZeroDuration() ? took : draft_token_ + (took - draft_token_) / 4;
}

std::vector<uint32_t> SchedulerCore::WorthComputing(const std::vector<Guesses>& guesses,
                                                    absl::Duration before) const {
  struct Token {
    size_t of;          // in `guesses`
    double likelihood;  // that it is right, and so are those before it
  };
  std::vector<Token> tokens;
  bool all_guess = true;
  for (size_t i = 0; i < guesses.size(); ++i) {
    double likelihood = 1;
    for (size_t j = 0; j < guesses[i].count; ++j) tokens.push_back({i, likelihood *= guesses[i].likelihood});
    all_guess = all_guess && guesses[i].count > 0;
  }
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const Token& a, const Token& b) { return a.likelihood > b.likelihood; });
  const auto certain = static_cast<uint32_t>(guesses.size());
  tokens.resize(std::min<size_t>(tokens.size(), limits_.max_rows - certain));
  std::vector<double> likelihoods;
  for (const Token& token : tokens) likelihoods.push_back(token.likelihood);
  const double slowest = all_guess ? std::numeric_limits<double>::infinity() : kSlowerForOthers;
  tokens.resize(cost_.WorthAdding(certain, likelihoods, slowest, before));
  std::vector<uint32_t> worth(guesses.size(), 0);
  for (const Token& token : tokens) ++worth[token.of];
  return worth;
}

uint32_t SchedulerCore::PromptBudget() const {
  const uint32_t rows = batch_.rows.empty()
                            ? pace_.RowsWithin(limits_.alone_wait, limits_.fewest_rows_alone)
                            : pace_.RowsWithin(limits_.token_wait, limits_.fewest_prompt_rows);
  return std::min(rows, limits_.max_rows - static_cast<uint32_t>(batch_.rows.size()));
}

void SchedulerCore::AddPromptRows() {
  const std::vector<uint32_t> reading = Runnable(first_prompt_, true);
  if (reading.empty()) return;
  const std::vector<uint32_t> granted =
      limits_.whole_texts ? ShareOutWhole(reading, PromptBudget()) : ShareOut(reading, PromptBudget());
  for (size_t i = 0; i < reading.size(); ++i) AddRows(reading[i], granted[i]);
  first_prompt_ = (reading.front() + 1) % slots_.size();
}

std::vector<uint32_t> SchedulerCore::ShareOut(const std::vector<uint32_t>& reading, uint32_t budget) const {
  const uint32_t share = std::max<uint32_t>(1, budget / static_cast<uint32_t>(reading.size()));
  std::vector<uint32_t> granted(reading.size(), 0);
  // First everyone's share, then what short prompts have left over, first come first served.
  for (const uint32_t at_most : {share, limits_.max_rows}) {
    for (size_t i = 0; i < reading.size(); ++i) {
      const uint32_t wanted = slots_[reading[i]]->pending() - granted[i];
      const uint32_t rows = std::min({wanted, at_most, budget});
      granted[i] += rows;
      budget -= rows;
    }
  }
  return granted;
}

std::vector<uint32_t> SchedulerCore::ShareOutWhole(const std::vector<uint32_t>& reading,
                                                   uint32_t budget) const {
  std::vector<uint32_t> granted(reading.size(), 0);
  for (size_t i = 0; i < reading.size(); ++i) {
    const uint32_t wanted = slots_[reading[i]]->pending();
    if (wanted > budget && i > 0) continue;  // the first has its turn however long it takes
    granted[i] = wanted;
    budget -= std::min(wanted, budget);
  }
  return granted;
}

void SchedulerCore::AddRows(uint32_t slot, uint32_t count) {
  if (count == 0) return;
  Sequence& sequence = *slots_[slot];
  sequence.rows_in_batch = count;
  if (sequence.request.embed) return AddReadRows(slot, sequence);
  for (uint32_t position = sequence.evaluated; position < sequence.evaluated + count; ++position) {
    const bool last = position + 1 == sequence.tokens.size();
    const bool prompt = position < sequence.prompt_tokens;
    batch_.rows.push_back({slot, position, sequence.tokens[position], last, prompt});
    if (last) batch_.sampled.push_back({sequence.request.id});
  }
}

void SchedulerCore::AddGuessedRows(uint32_t slot, uint32_t count) {
  if (count == 0) return;
  Sequence& sequence = *slots_[slot];
  const absl::Span<const TokenId> guess = sequence.draft->guess().first(count);
  sequence.guessed.assign(guess.begin(), guess.end());
  auto position = static_cast<uint32_t>(sequence.tokens.size());
  for (const TokenId token : guess) batch_.rows.push_back({slot, position++, token, true, false});
  batch_.sampled.back().rows += count;
}

void SchedulerCore::AddReadRows(uint32_t slot, const Sequence& sequence) {
  const uint32_t end = sequence.evaluated + sequence.rows_in_batch;
  for (uint32_t position = sequence.evaluated; position < end; ++position) {
    batch_.rows.push_back({.sequence = slot,
                           .position = position,
                           .token = sequence.tokens[position],
                           .prompt = true,
                           .want_state = true});
  }
  batch_.read.push_back(
      {sequence.request.id, sequence.evaluated, sequence.rows_in_batch, end == sequence.tokens.size()});
}

void SchedulerCore::Complete(absl::Duration took) {
  uint32_t prompt_rows = 0;
  for (auto& slot : slots_) {
    if (!slot) continue;
    slot->evaluated += slot->rows_in_batch;
    if (slot->rows_in_batch > 1) prompt_rows += slot->rows_in_batch;
    slot->rows_in_batch = 0;
    drafted_.tokens += slot->guessed.size();
  }
  if (prompt_rows == 0) cost_.Note(static_cast<uint32_t>(batch_.rows.size()), took);
  // A step with guesses is longer than one without.
  if (prompt_rows > 0 || batch_.rows.size() == batch_.sampled.size()) pace_.Note(prompt_rows, took);
}

SchedulerCore::After SchedulerCore::Accept(RequestId id, TokenId token) {
  Sequence* sequence = FindBegun(id);
  HEARTH_CHECK(sequence != nullptr && sequence->request.max_tokens > 0);
  sequence->tokens.push_back(token);
  std::vector<TokenId>& guessed = sequence->guessed;
  const bool right = !guessed.empty() && guessed.front() == token;
  if (right) {
    guessed.erase(guessed.begin());
    ++sequence->evaluated;
    ++drafted_.right;
  } else {
    guessed.clear();
  }
  if (--sequence->request.max_tokens == 0) return After::kEnds;
  return right ? After::kNextRow : After::kGoesOn;
}

void SchedulerCore::End(RequestId id) {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && slots_[slot]->request.id == id) Release(slot);
  }
}

void SchedulerCore::Discard(RequestId id) {
  for (auto& slot : slots_) {
    if (slot && slot->request.id == id) slot.reset();
  }
}

std::vector<RequestId> SchedulerCore::FailBatch() {
  std::vector<RequestId> failed;
  for (auto& slot : slots_) {
    if (!slot || slot->rows_in_batch == 0) continue;
    failed.push_back(slot->request.id);
    slot.reset();
  }
  return failed;
}

std::vector<RequestId> SchedulerCore::EndAll() {
  std::vector<RequestId> ended;
  for (auto& slot : slots_) {
    if (slot) ended.push_back(slot->request.id);
    slot.reset();
  }
  for (std::deque<Sequence>* sequences : {&parked_, &queue_}) {
    for (const Sequence& sequence : *sequences) ended.push_back(sequence.request.id);
    sequences->clear();
  }
  return ended;
}

absl::Time SchedulerCore::NextEvent(absl::Time now) const {
  absl::Time next = absl::InfiniteFuture();
  const auto consider = [&](const Sequence& sequence) {
    if (sequence.cancelled) next = now;
    next = std::min(next, sequence.request.deadline);
    if (sequence.blocked()) next = std::min(next, sequence.blocked_since + limits_.slow_reader);
  };
  const size_t claimants = Claimants();
  if (claimants > 0 && !FreeSlots().empty()) next = now;
  for (const auto& slot : slots_) {
    if (!slot) continue;
    consider(*slot);
    if (!slot->blocked()) next = now;
    if (claimants > 0) next = std::min(next, ParkTime(*slot));
  }
  for (const Sequence& parked : parked_) consider(parked);
  for (const Sequence& waiting : queue_) consider(waiting);
  return std::max(next, now);
}

uint32_t SchedulerCore::running() const {
  return static_cast<uint32_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const auto& s) { return !!s; }));
}

uint64_t SchedulerCore::evaluated() const {
  uint64_t tokens = 0;
  for (const std::optional<Sequence>& slot : slots_) tokens += slot ? slot->evaluated : 0;
  return tokens;
}

SchedulerCore::Sequence* SchedulerCore::FindBegun(RequestId id) {
  for (auto& slot : slots_) {
    if (slot && slot->request.id == id) return &*slot;
  }
  for (Sequence& parked : parked_) {
    if (parked.request.id == id) return &parked;
  }
  return nullptr;
}

}  // namespace hearth
