#ifndef HEARTH_DAEMON_SCHEDULING_GENERATION_H_
#define HEARTH_DAEMON_SCHEDULING_GENERATION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/scheduling/generation_metrics.h"
#include "daemon/scheduling/job.h"
#include "daemon/scheduling/text_stream.h"
#include "daemon/steps/scheduler_core.h"
#include "engine/grammar/constraint.h"
#include "engine/sample/sampler.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// A checked request, in the model's terms.
struct GenerationRequest {
  RequestId id = 0;             // unique in the daemon
  std::vector<TokenId> prompt;  // at least one; ids of the vocabulary
  uint32_t max_tokens = 1;      // prompt and these fit the context
  std::vector<std::string> stops;
  bool ignore_eos = false;
  std::vector<TokenId> shown;                        // control tokens that the text has, as their names
  std::optional<uint32_t> logprobs;                  // how many of the most likely tokens to report
  std::shared_ptr<const grammar::TokenMasks> masks;  // of the grammar that the text follows; null: any text
  std::vector<TokenId> generated;                    // what an earlier run of it chose: at most max_tokens
  uint32_t cut = 0;                                  // so many tokens and those behind share no delta
  absl::Time arrived;
  absl::Time deadline = absl::InfiniteFuture();
};

// What one or more steps have added to a stream.
struct GenerationDelta {
  struct Token {
    TokenId token;
    float logprob;     // as TokenLogprob's
    std::string text;  // bytes, perhaps no whole character
  };
  struct Logprobs {
    Token chosen;
    std::vector<Token> top;
  };
  uint32_t offset = 0;  // tokens of the stream before these
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<Logprobs> logprobs;  // one per token, or none
  bool last = false;               // no other follows

  bool empty() const { return tokens.empty() && text.empty(); }
};

struct GenerationSummary {
  EndReason reason = EndReason::kLength;
  std::string stop;  // the stop string that was met
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  // of them: not computed again, since a former sequence began alike
  uint32_t generated_tokens = 0;
  uint32_t drafted_tokens = 0;         // guessed and computed ahead
  uint32_t accepted_draft_tokens = 0;  // of them: right
  absl::Duration queued;
  absl::Duration reading_prompt;
  absl::Duration generating;
};

// Where the events of one request go: Started once, Delta any number of times, then Finished or Failed once,
// which may also come first. Called by the scheduler's thread, Blocked with its lock held, or by Submit where
// nothing is left to compute; must return at once.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  // What happens to a request, in this order: it starts, grows, and ends in one of two ways.
  virtual void Started() = 0;
  virtual void Delta(GenerationDelta delta) = 0;
  virtual void Finished(const GenerationSummary& summary) = 0;
  virtual void Failed(const absl::Status& status) = 0;
  // The reader is so far behind that the request should be left out of steps. Once that is over the sink
  // calls Scheduler::Wake.
  virtual bool Blocked() const = 0;
};

// One request while it waits and runs: turns its logits into tokens and its tokens into events. Not
// thread-safe.
class Generation final : public Job {
 public:
  // `tokenizer` and `metrics` outlive this.
  Generation(GenerationRequest request, Sampler sampler, const Tokenizer& tokenizer,
             GenerationMetrics::OfModel& metrics, std::shared_ptr<GenerationSink> sink);

  RequestId id() const override { return request_.id; }
  bool Blocked() const override { return sink_->Blocked(); }

  // Takes over what request.generated says, before it starts; what of it ends the generation. Its text comes
  // with Start. INVALID_ARGUMENT where it cannot be what this request generated.
  absl::StatusOr<std::optional<EndReason>> Repeat();
  void Start(uint32_t cached_tokens, absl::Time now) override;
  struct Choice {
    TokenId token;
    std::optional<EndReason> end;  // the token, or what it completes, ends the generation
  };
  // Chooses the next token; `logits` (vocab) is scratch. Its event is sent by Emit or End, which comes next.
  // An error, after which Fail comes next: no token fits the grammar.
  absl::StatusOr<Choice> Advance(absl::Span<float> logits, absl::Time now);
  void Emit();
  // So many tokens were computed ahead; one of them was right.
  void NoteDraft(uint32_t tokens) { drafted_tokens_ += tokens; }
  void NoteAcceptedDraftToken() { ++accepted_draft_tokens_; }
  // The last event: Finished where the client can make use of it, else Failed.
  void End(EndReason reason, absl::Time now) override;
  void Fail(const absl::Status& status) override;

 private:
  // One that the grammar allows, where there is one.
  absl::StatusOr<TokenId> ChooseToken(absl::Span<float> logits);
  // What an earlier run chose, which the grammar has to allow.
  absl::Status RepeatToken(TokenId token);
  // Adds the token to the next delta; whether it, or what it completes, ends the generation.
  std::optional<EndReason> Take(TokenId token);
  // Adds the text that was held back: it comes with the last token.
  void TakeRest();
  GenerationDelta::Token Described(const TokenLogprob& logprob) const;
  GenerationSummary Summary(EndReason reason, absl::Time now) const;

  GenerationRequest request_;
  Sampler sampler_;
  std::optional<grammar::Constraint> constraint_;
  const Tokenizer& tokenizer_;
  GenerationMetrics::OfModel& metrics_;
  TextStream text_;
  std::shared_ptr<GenerationSink> sink_;
  std::vector<GenerationDelta> repeated_;  // those that come before delta_
  GenerationDelta delta_;                  // not sent yet
  uint32_t cached_tokens_ = 0;
  uint32_t generated_ = 0;
  uint32_t drafted_tokens_ = 0;
  uint32_t accepted_draft_tokens_ = 0;
  std::optional<absl::Time> started_;
  std::optional<absl::Time> first_token_;
  absl::Time last_token_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_GENERATION_H_
