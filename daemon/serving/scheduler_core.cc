#include "daemon/serving/scheduler_core.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace hearth {

SchedulerCore::SchedulerCore(SchedulerLimits limits)
    : limits_(limits), slots_(limits.slots), prefill_rows_(std::min<uint32_t>(64, limits.max_prefill_rows)) {
  HEARTH_CHECK(limits.slots > 0 && limits.max_rows >= 2);
  HEARTH_CHECK(limits.min_prefill_rows > 0 && limits.min_prefill_rows <= limits.max_prefill_rows);
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
  sequence.request = std::move(request);
  queue_.push_back(std::move(sequence));
  return absl::OkStatus();
}

void SchedulerCore::Cancel(RequestId id) {
  if (Sequence* running = FindRunning(id)) running->cancelled = true;
  for (Sequence& waiting : queue_) {
    if (waiting.request.id == id) waiting.cancelled = true;
  }
}

void SchedulerCore::SetBlocked(RequestId id, bool blocked, absl::Time now) {
  Sequence* sequence = FindRunning(id);
  if (sequence == nullptr || sequence->blocked() == blocked) return;
  sequence->blocked_since = blocked ? now : absl::InfiniteFuture();
}

const SchedulerCore::Step& SchedulerCore::Next(absl::Time now) {
  step_.rows.clear();
  step_.sampled.clear();
  step_.admitted.clear();
  step_.ended.clear();
  EndExpired(now);
  Admit();
  AddGeneratingRows();
  AddPromptRows();
  return step_;
}

void SchedulerCore::EndExpired(absl::Time now) {
  for (auto& slot : slots_) {
    if (!slot) continue;
    slot->rows_in_step = 0;
    if (auto reason = Expired(*slot, now)) {
      step_.ended.push_back({slot->request.id, *reason});
      slot.reset();
    }
  }
  std::erase_if(queue_, [&](const Sequence& waiting) {
    auto reason = Expired(waiting, now);
    if (reason) step_.ended.push_back({waiting.request.id, *reason});
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

void SchedulerCore::Admit() {
  for (uint32_t slot = 0; slot < slots_.size() && !queue_.empty(); ++slot) {
    if (slots_[slot]) continue;
    slots_[slot] = std::move(queue_.front());
    queue_.pop_front();
    step_.admitted.push_back({slots_[slot]->request.id, slot});
  }
}

std::vector<uint32_t> SchedulerCore::Runnable(uint32_t first, bool reading_prompt) const {
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    const uint32_t slot = (first + i) % slots_.size();
    if (!slots_[slot] || slots_[slot]->blocked()) continue;
    if ((slots_[slot]->pending() > 1) == reading_prompt) result.push_back(slot);
  }
  return result;
}

void SchedulerCore::AddGeneratingRows() {
  std::vector<uint32_t> generating = Runnable(first_generating_, false);
  const bool prompts = !Runnable(0, true).empty();
  const size_t room = limits_.max_rows - (prompts ? 1 : 0);
  if (generating.size() > room) generating.resize(room);
  for (uint32_t slot : generating) AddRows(slot, 1);
  if (!generating.empty()) first_generating_ = (generating.back() + 1) % slots_.size();
}

void SchedulerCore::AddPromptRows() {
  const std::vector<uint32_t> reading = Runnable(first_prompt_, true);
  if (reading.empty()) return;
  auto budget =
      std::min<uint32_t>(prefill_rows_, limits_.max_rows - static_cast<uint32_t>(step_.rows.size()));
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
  for (size_t i = 0; i < reading.size(); ++i) AddRows(reading[i], granted[i]);
  first_prompt_ = (reading.front() + 1) % slots_.size();
}

void SchedulerCore::AddRows(uint32_t slot, uint32_t count) {
  Sequence& sequence = *slots_[slot];
  sequence.rows_in_step = count;
  for (uint32_t position = sequence.evaluated; position < sequence.evaluated + count; ++position) {
    const bool last = position + 1 == sequence.tokens.size();
    step_.rows.push_back({slot, position, sequence.tokens[position], last});
    if (last) step_.sampled.push_back(sequence.request.id);
  }
}

void SchedulerCore::Complete(absl::Duration took) {
  uint32_t prompt_rows = 0;
  for (auto& slot : slots_) {
    if (!slot) continue;
    slot->evaluated += slot->rows_in_step;
    if (slot->rows_in_step > 1) prompt_rows += slot->rows_in_step;
    slot->rows_in_step = 0;
  }
  if (took > limits_.step_target) {
    if (prompt_rows > 0) prefill_rows_ = std::max(limits_.min_prefill_rows, prefill_rows_ / 2);
  } else if (took < limits_.step_target / 2 && prompt_rows >= prefill_rows_) {
    prefill_rows_ = std::min(limits_.max_prefill_rows, prefill_rows_ * 2);
  }
}

bool SchedulerCore::Accept(RequestId id, TokenId token) {
  Sequence* sequence = FindRunning(id);
  HEARTH_CHECK(sequence != nullptr && sequence->request.max_tokens > 0);
  sequence->tokens.push_back(token);
  return --sequence->request.max_tokens > 0;
}

void SchedulerCore::End(RequestId id) {
  for (auto& slot : slots_) {
    if (slot && slot->request.id == id) slot.reset();
  }
}

std::vector<RequestId> SchedulerCore::FailStep() {
  return EndWhere([](const Sequence& sequence) { return sequence.rows_in_step > 0; });
}

std::vector<RequestId> SchedulerCore::EndBegun() {
  return EndWhere([](const Sequence& sequence) { return sequence.evaluated > 0; });
}

std::vector<RequestId> SchedulerCore::EndAll() {
  std::vector<RequestId> ended = EndWhere([](const Sequence&) { return true; });
  for (const Sequence& waiting : queue_) ended.push_back(waiting.request.id);
  queue_.clear();
  return ended;
}

template <typename Predicate>
std::vector<RequestId> SchedulerCore::EndWhere(Predicate predicate) {
  std::vector<RequestId> ended;
  for (auto& slot : slots_) {
    if (!slot || !predicate(*slot)) continue;
    ended.push_back(slot->request.id);
    slot.reset();
  }
  return ended;
}

absl::Time SchedulerCore::NextEvent(absl::Time now) const {
  absl::Time next = absl::InfiniteFuture();
  const auto consider = [&](const Sequence& sequence, bool can_run) {
    if (can_run || sequence.cancelled) next = now;
    next = std::min(next, sequence.request.deadline);
    if (sequence.blocked()) next = std::min(next, sequence.blocked_since + limits_.slow_reader);
  };
  bool free_slot = false;
  for (const auto& slot : slots_) {
    if (slot) consider(*slot, !slot->blocked());
    free_slot |= !slot.has_value();
  }
  for (const Sequence& waiting : queue_) consider(waiting, free_slot);
  return std::max(next, now);
}

uint32_t SchedulerCore::running() const {
  return static_cast<uint32_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const auto& s) { return !!s; }));
}

SchedulerCore::Sequence* SchedulerCore::FindRunning(RequestId id) {
  for (auto& slot : slots_) {
    if (slot && slot->request.id == id) return &*slot;
  }
  return nullptr;
}

}  // namespace hearth
