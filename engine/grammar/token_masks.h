#ifndef HEARTH_ENGINE_GRAMMAR_TOKEN_MASKS_H_
#define HEARTH_ENGINE_GRAMMAR_TOKEN_MASKS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/recognizer.h"
#include "engine/grammar/token_mask.h"
#include "engine/grammar/token_trie.h"

namespace hearth::grammar {

// A grammar and a vocabulary: which tokens can follow where. What a state of the grammar allows by itself,
// whoever called its rule, is computed once and kept: inside a string most tokens are of this kind. Tokens
// that go beyond the end of the rule are followed with the real callers each time; they are few. Thread-safe.
class TokenMasks {
 public:
  TokenMasks(Grammar grammar, std::shared_ptr<const TokenTrie> trie)
      : grammar_(std::move(grammar)), trie_(std::move(trie)), local_(grammar_) {}

  const Grammar& grammar() const { return grammar_; }
  const TokenTrie& trie() const { return *trie_; }

  // The tokens that may follow `*config`, those that end a generation among them where the text may end.
  // `recognizer` is of this grammar; where it became too full `*config` has a new id afterwards.
  // RESOURCE_EXHAUSTED where there are more possibilities than are followed.
  absl::StatusOr<TokenMask> Allowed(Recognizer& recognizer, ConfigId* config) const;

 private:
  // What one state allows.
  struct Local {
    std::vector<TokenId> few = {};     // the tokens, or
    TokenMask many = {};               // these, where they are more
    std::vector<uint32_t> exits = {};  // nodes of the trie behind which the rule's caller goes on
    bool too_wide = false;  // so much lies behind the exits that callers should be taken into account as well
  };
  // An item's state, and those that its callers return to, as far as there is one caller each.
  using Place = std::vector<StateId>;
  struct Reach {
    std::shared_ptr<const Local> local;
    FrameId caller;  // of the last state of the place
  };

  Reach ReachOf(const Recognizer& recognizer, const Item& item) const;
  // Null where that is too much.
  std::shared_ptr<const Local> LocalAt(const Place& place, bool last_try) const;
  // Nothing where that is too much.
  std::optional<Local> ComputeLocal(Recognizer& recognizer, const Place& place, bool last_try) const;
  absl::Status AddBehind(Recognizer& recognizer, FrameId caller, const std::vector<uint32_t>& exits,
                         ConfigId* config, TokenMask& mask) const;
  // Calls visit(node, config) for all nodes below `top` that can be reached from `start`; it says whether to
  // go on. `*kept` survives where the recognizer has to be compacted.
  template <class Visitor>
  bool Walk(Recognizer& recognizer, uint32_t top, ConfigId* start, ConfigId* kept, Visitor visit) const;

  const Grammar grammar_;
  const std::shared_ptr<const TokenTrie> trie_;

  mutable Mutex mutex_;
  mutable Recognizer local_ ABSL_GUARDED_BY(mutex_);
  mutable absl::flat_hash_map<Place, std::shared_ptr<const Local>> locals_ ABSL_GUARDED_BY(mutex_);
  mutable size_t local_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_TOKEN_MASKS_H_
