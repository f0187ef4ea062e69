#ifndef HEARTH_DAEMON_STEPS_SCHEDULER_CORE_H_
#define HEARTH_DAEMON_STEPS_SCHEDULER_CORE_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/steps/prefix_cache.h"
#include "daemon/steps/prompt_pace.h"
#include "daemon/steps/sequence_draft.h"
#include "daemon/steps/step_cost.h"
#include "engine/model/decoder.h"
#include "engine/token/tokenizer.h"

namespace hearth {

using RequestId = uint64_t;

struct SchedulerLimits {
  uint32_t slots = 1;       // sequences in flight; the decoder's sequences
  uint32_t queue = 256;     // requests that wait for a slot
  uint32_t max_rows = 512;  // rows of one step; at least 2
  // All rows of a prompt, at most max_rows, go into one step (ModelSpec::causal).
  bool whole_texts = false;
  // How long those who generate wait at most for their next token while prompts are read; a step that takes
  // longer anyway has the fewest prompt rows.
  absl::Duration token_wait = absl::Milliseconds(300);
  uint32_t fewest_prompt_rows = 8;
  // The same while nobody generates: how late a cancellation takes effect and a newcomer has its turn. The
  // fewest rows still read weights well.
  absl::Duration alone_wait = absl::Seconds(2);
  uint32_t fewest_rows_alone = 64;
  // Tokens of a sequence that are guessed and computed beside the next one, at most; 0: none.
  uint32_t draft_tokens = 8;
  absl::Duration slow_reader = absl::Seconds(30);       // how long a request may stay blocked, ...
  absl::Duration park_after = absl::Milliseconds(250);  // ... and keep its slot while others wait for one
};

// kEmbedded: all of a text that was to be embedded has been read; the others are of generations.
enum class EndReason { kStopToken, kStopString, kLength, kCancelled, kDeadline, kSlowReader, kEmbedded };

// Decides which request goes into the next step of one model, who gets a slot and whose time is over. Pure:
// no thread, clock, model or text; time is passed in. Not thread-safe.
//
// Every step holds one row for each sequence that generates and a bounded number of prompt rows, shared
// evenly among the sequences that still read their prompt and dealt round robin: no request waits for another
// one's long prompt. How many prompt rows there are follows the measured time of the steps: as many as there
// is time for.
//
// Where the next tokens can be guessed, from what the text says already or by another, smaller model, a step
// computes them as well: those that turn out right need no step of their own (speculative decoding). Each
// token is chosen from logits that follow from those before it alone, so text does not depend on guesses. How
// many there are follows from how often they are right and from what they cost, both as measured.
//
// A slot that becomes free still holds what was computed for it, and a request that begins alike goes on from
// there.
//
// A request to embed a text is a prompt of which nothing is generated: it ends with its last row. Every row
// gives its state, so none is taken from what a slot still holds, and slots that hold nothing come first.
//
// A request keeps its tokens until it ends, so whatever the decoder has lost of a sequence can be computed
// again, as a prompt is read: nothing is chosen or sent a second time.
class SchedulerCore {
 public:
  struct Request {
    RequestId id = 0;
    std::vector<TokenId> prompt;  // at least one
    uint32_t max_tokens = 1;      // at least one
    absl::Time deadline = absl::InfiniteFuture();
    bool embed = false;                   // the states of its tokens are wanted and no more
    std::vector<TokenId> generated = {};  // behind the prompt in an earlier run; not among max_tokens
  };
  struct Admitted {
    RequestId id;
    uint32_t slot;  // its decoder sequence, which may still hold a former request's positions, ...
    uint32_t kept;  // ... of which so many are this one's as well
    bool resumed;   // it had a slot before
  };
  struct Ended {
    RequestId id;
    EndReason reason;
  };
  // Rows of a text that is embedded.
  struct Read {
    RequestId id;
    uint32_t first;  // position
    uint32_t rows;
    bool last;  // the text ends with them
  };
  // Whose logits a step gives: those of so many rows, the first of which is certain and the others guessed.
  struct Sampled {
    RequestId id;
    uint32_t rows = 1;
  };
  // What one step of the decoder evaluates. Where the decoder holds more of a sequence than the rows before
  // its first one here, that is to be cut.
  struct Batch {
    std::vector<BatchRow> rows;
    std::vector<Sampled> sampled;    // in row order
    std::vector<Read> read;          // whose states the step gives, in row order
    std::vector<Admitted> admitted;  // who got a slot now
    std::vector<Ended> ended;        // whose time was over before the step; forgotten by now
  };

  // A text of which another model is to guess so many tokens.
  struct DraftWish {
    RequestId id;
    uint32_t slot;
    std::vector<TokenId> text;
    uint32_t tokens;
  };

  explicit SchedulerCore(SchedulerLimits limits);

  // The request waits from now on. RESOURCE_EXHAUSTED when the queue is full.
  absl::Status Submit(Request request);
  // Ends with the next step; unknown ids are ignored (the request has just ended).
  void Cancel(RequestId id);
  // A blocked request (its reader is behind) is left out of batches. It keeps its slot until somebody waits
  // for one; then it is parked and comes first in line once it is no longer blocked.
  void SetBlocked(RequestId id, bool blocked, absl::Time now);
  // The decoder holds no more than the first `kept` positions of the sequence in `slot`; the rest is
  // evaluated again. Harmless for a slot that has no more.
  void Recompute(uint32_t slot, uint32_t kept);
  // From the next step on. At first nothing is used again but what was read as a prompt.
  void SetReuse(const ReuseRules& rules) { reuse_ = rules; }

  // Of which texts another model's guesses are worth their time in the next batch; for whom there is one.
  std::vector<DraftWish> WantedDrafts();
  // What it expects behind the text of a wish. Ignored where that has ended.
  void Offer(RequestId id, std::vector<TokenId> guess);
  // One token of each wish took it so long.
  void NoteDraftToken(absl::Duration took);
  // Ends whose time is over, gives slots to the longest waiting and forms the next batch. One that was not
  // evaluated after all, or whose evaluation failed and may be repeated, is simply formed anew by the next
  // call. The result is valid until then.
  const Batch& Next(absl::Time now);
  // While nothing can be evaluated: only ends whose time is over.
  const Batch& Expire(absl::Time now);
  // The batch of the last Next was evaluated and took so long; each request in `sampled` then gets Accept or
  // End, each in `read` with its last rows End.
  void Complete(absl::Duration took);
  // kEnds: it was the request's last token (call End). kNextRow: the request's next row in the batch was
  // guessed right, and its logits give the next token.
  enum class After { kGoesOn, kEnds, kNextRow };
  // A generated token.
  After Accept(RequestId id, TokenId token);
  // Forgets a running request and frees its slot.
  void End(RequestId id);
  // Likewise, and what was computed for it is not to be used again.
  void Discard(RequestId id);

  // The evaluation of the last batch failed for good: forgets the requests that had rows in it and returns
  // them.
  std::vector<RequestId> FailBatch();
  // Forgets all requests and returns them.
  std::vector<RequestId> EndAll();

  // When Next will have something to do even if nothing else is called: now, at a deadline, or never.
  absl::Time NextEvent(absl::Time now) const;
  // Requests without a slot, parked ones included, and with one.
  uint32_t waiting() const { return static_cast<uint32_t>(queue_.size() + parked_.size()); }
  uint32_t running() const;
  // Tokens that the decoder holds for requests with a slot.
  uint64_t evaluated() const;
  // Tokens that were guessed and computed so far, and those of them that were right.
  struct Drafted {
    uint64_t tokens = 0, right = 0;
  };
  const Drafted& drafted() const { return drafted_; }

 private:
  struct Sequence {
    Request request;
    std::vector<TokenId> tokens;  // prompt and what was generated
    uint32_t prompt_tokens = 0;   // of these, the first ones
    uint32_t evaluated = 0;       // tokens the decoder holds
    uint32_t rows_in_batch = 0;
    std::optional<SequenceDraft> draft;
    std::vector<TokenId> guessed;  // computed behind `tokens` by the last batch, and not yet compared
    bool cancelled = false;
    absl::Time blocked_since = absl::InfiniteFuture();

    // Whether its client does not take what was sent; tokens that are yet to be evaluated.
    bool blocked() const { return blocked_since != absl::InfiniteFuture(); }
    uint32_t pending() const { return static_cast<uint32_t>(tokens.size()) - evaluated; }
  };

  // A request that has a slot or had one.
  Sequence* FindBegun(RequestId id);
  // Takes the sequence out of its slot, which keeps what was computed of it.
  Sequence Release(uint32_t slot);
  std::optional<EndReason> Expired(const Sequence& sequence, absl::Time now) const;
  void EndExpired(absl::Time now);
  void EndExpired(std::deque<Sequence>& sequences, absl::Time now);
  // Requests that a free slot would let run, and the free slots.
  size_t Claimants() const;
  std::vector<uint32_t> FreeSlots() const;
  // When a request that has a slot has to make room if others wait for one.
  absl::Time ParkTime(const Sequence& sequence) const;
  void ParkBlocked(absl::Time now);
  void Admit();
  void GiveSlot(const std::vector<uint32_t>& free, std::deque<Sequence>& from,
                std::deque<Sequence>::iterator next);
  void AddGeneratingRows();
  // Whether steps may compute guessed tokens.
  bool CanGuess() const;
  // What is guessed of the text in `slot`, where its next token is all that is pending; else null.
  SequenceDraft* DraftOf(uint32_t slot);
  // How many guessed tokens each of `generating` has in the batch.
  std::vector<uint32_t> DraftTokens(const std::vector<uint32_t>& generating);
  // Tokens that are guessed of one text.
  struct Guesses {
    size_t count = 0;
    double likelihood = 0;  // that one is right if all before it are
  };
  // How many of each are worth the time of their rows and what each takes before.
  std::vector<uint32_t> WorthComputing(const std::vector<Guesses>& guesses, absl::Duration before) const;
  void AddPromptRows();
  // How many rows each of `reading` gets of the budget: shares, or whole prompts as far as it reaches.
  std::vector<uint32_t> ShareOut(const std::vector<uint32_t>& reading, uint32_t budget) const;
  std::vector<uint32_t> ShareOutWhole(const std::vector<uint32_t>& reading, uint32_t budget) const;
  // How many prompt rows the batch has time and room for.
  uint32_t PromptBudget() const;
  void AddRows(uint32_t slot, uint32_t count);
  void AddGuessedRows(uint32_t slot, uint32_t count);
  void AddReadRows(uint32_t slot, const Sequence& sequence);
  // Slots that can have rows, from `first` on around, with one pending token or with more (whole texts: any).
  std::vector<uint32_t> Runnable(uint32_t first, bool reading_prompt) const;

  const SchedulerLimits limits_;
  std::deque<Sequence> queue_;   // never had a slot
  std::deque<Sequence> parked_;  // gave theirs up; at most limits_.queue
  std::vector<std::optional<Sequence>> slots_;
  uint32_t first_generating_ = 0;  // slot that is served first
  uint32_t first_prompt_ = 0;
  PrefixCache cache_;  // what free slots hold
  ReuseRules reuse_;
  PromptPace pace_;
  StepCost cost_;
  absl::Duration draft_token_;  // what another model's guess takes; zero: not known
  Drafted drafted_;
  Batch batch_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STEPS_SCHEDULER_CORE_H_
