#ifndef HEARTH_ENGINE_GRAMMAR_GRAMMAR_H_
#define HEARTH_ENGINE_GRAMMAR_GRAMMAR_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/grammar/rules.h"

namespace hearth::grammar {

using StateId = uint32_t;

// The edges of one kind of all states, those of a state side by side.
template <class Edge>
class EdgeTable {
 public:
  EdgeTable() = default;
  // `edges`: (state, edge), in any order.
  EdgeTable(size_t states, const std::vector<std::pair<StateId, Edge>>& edges) : begins_(states + 1) {
    for (const auto& [state, edge] : edges) ++begins_[state + 1];
    for (size_t state = 0; state < states; ++state) begins_[state + 1] += begins_[state];
    edges_.resize(edges.size());
    std::vector<uint32_t> next(begins_.begin(), begins_.end() - 1);
    for (const auto& [state, edge] : edges) edges_[next[state]++] = edge;
  }

  absl::Span<const Edge> of(StateId state) const {
    return absl::MakeConstSpan(edges_).subspan(begins_[state], begins_[state + 1] - begins_[state]);
  }

 private:
  std::vector<uint32_t> begins_;
  std::vector<Edge> edges_;
};

// A grammar in the form that texts are checked with: for each rule a machine over the bytes of UTF-8, whose
// edges take a byte, call a rule or take nothing. Immutable and thread-safe.
//
// What is promised: every state of a rule can reach its end, so a text that was not refused can be completed;
// and no rule calls itself before it has taken a byte.
class Grammar {
 public:
  // INVALID_ARGUMENT for left recursion, a rule that never ends, or one that grows beyond kMaxStates; the
  // message names the rule. Every rule is defined.
  static absl::StatusOr<Grammar> Compile(const GrammarRules& rules);
  static constexpr size_t kMaxStates = size_t{1} << 18;

  struct ByteEdge {
    uint8_t first;
    uint8_t last;
    StateId target;
  };
  struct CallEdge {
    RuleId rule;
    StateId target;  // where it goes on behind what the rule takes
  };

  size_t state_count() const { return state_count_; }
  absl::Span<const ByteEdge> byte_edges(StateId state) const { return bytes_.of(state); }
  absl::Span<const CallEdge> call_edges(StateId state) const { return calls_.of(state); }
  // States that are reached without a byte, also where a rule that is called may be empty.
  absl::Span<const StateId> empty_edges(StateId state) const { return empties_.of(state); }

  StateId start(RuleId rule) const { return 2 * rule; }
  // Whether the rule of this state is complete here.
  bool IsEnd(StateId state) const { return state < 2 * rule_count_ && state % 2 == 1; }
  RuleId root() const { return root_; }
  // A rule that another one may begin with has a higher rank.
  uint32_t rank(RuleId rule) const { return ranks_[rule]; }
  RuleId rule_of_rank(uint32_t rank) const { return by_rank_[rank]; }

 private:
  friend class GrammarCompiler;

  size_t state_count_ = 0;
  size_t rule_count_ = 0;
  RuleId root_ = 0;
  EdgeTable<ByteEdge> bytes_;
  EdgeTable<CallEdge> calls_;
  EdgeTable<StateId> empties_;
  std::vector<uint32_t> ranks_;
  std::vector<RuleId> by_rank_;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_GRAMMAR_H_
