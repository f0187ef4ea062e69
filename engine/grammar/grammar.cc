#include "engine/grammar/grammar.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/grammar/utf8_ranges.h"

namespace hearth::grammar {

// Builds the machines and looks at them from all sides. States 2r and 2r + 1 are the start and the end of
// rule r.
class GrammarCompiler {
 public:
  explicit GrammarCompiler(const GrammarRules& rules) : rules_(rules), states_(2 * rules.rule_count()) {}

  absl::StatusOr<Grammar> Run() {
    HEARTH_RETURN_IF_ERROR(CheckSize());
    for (RuleId rule = 0; rule < rules_.rule_count(); ++rule) {
      HEARTH_CHECK(rules_.definition(rule));
      rule_ = rule;
      HEARTH_RETURN_IF_ERROR(Build(*rules_.definition(rule), Start(rule), End(rule)));
    }
    const std::vector<bool> ends = ReachingEnd(/*with_bytes=*/true);
    for (RuleId rule = 0; rule < rules_.rule_count(); ++rule) {
      if (!ends[Start(rule)]) return RuleError(rule, "never ends: it always calls itself again");
    }
    AddEmptyCalls();
    HEARTH_RETURN_IF_ERROR(RankRules());
    return Finished();
  }

 private:
  using Ends = std::pair<StateId, StateId>;
  static constexpr size_t kMaxEdges = 16 * Grammar::kMaxStates;

  static StateId Start(RuleId rule) { return 2 * rule; }
  static StateId End(RuleId rule) { return 2 * rule + 1; }

  absl::Status RuleError(RuleId rule, std::string_view problem) const {
    return absl::InvalidArgumentError(
        absl::StrCat("the rule `", Printable(rules_.name(rule), kMaxNameBytes), "` ", AbslView(problem)));
  }
  absl::Status CheckSize() const {
    const size_t edges = bytes_.size() + calls_.size() + empties_.size();
    if (states_ <= Grammar::kMaxStates && edges <= kMaxEdges) return absl::OkStatus();
    return RuleError(rule_, absl::StrCat("makes the grammar larger than ", Grammar::kMaxStates,
                                         " states; use fewer or smaller repetitions"));
  }

  absl::StatusOr<StateId> NewState() {
    ++states_;
    HEARTH_RETURN_IF_ERROR(CheckSize());
    return static_cast<StateId>(states_ - 1);
  }
  void AddByte(StateId from, ByteSequence::Range range, StateId to) {
    bytes_.push_back({from, {range.first, range.last, to}});
  }
  void AddEmpty(StateId from, StateId to) {
    if (from != to) empties_.push_back({from, to});
  }

  // Adds edges by which the expression leads from one state to the other. None of them leads back to `from`,
  // unless it is `to` as well: so alternatives can begin in the same state.
  absl::Status Build(ExpressionId id, StateId from, StateId to) {
    const Expression& expression = rules_.expression(id);
    switch (expression.kind) {
      case Expression::Kind::kText:
        return BuildText(expression.text, from, to);
      case Expression::Kind::kClass:
        return BuildClass(expression.ranges, from, to);
      case Expression::Kind::kSequence:
        return BuildSequence(expression.parts, from, to);
      case Expression::Kind::kChoice:
        for (const ExpressionId part : expression.parts) HEARTH_RETURN_IF_ERROR(Build(part, from, to));
        return absl::OkStatus();
      case Expression::Kind::kRepeat:
        return BuildRepeat(expression, from, to);
      case Expression::Kind::kRule:
        calls_.push_back({from, {expression.rule, to}});
        return absl::OkStatus();
      case Expression::Kind::kList:
        return BuildList(expression, from, to);
    }
    return absl::OkStatus();
  }

  absl::Status BuildText(std::string_view text, StateId from, StateId to) {
    if (text.empty()) AddEmpty(from, to);
    for (size_t i = 0; i < text.size(); ++i) {
      StateId next = to;
      if (i + 1 < text.size()) {
        HEARTH_ASSIGN_OR_RETURN(next, NewState());
      }
      const auto byte = static_cast<uint8_t>(text[i]);
      AddByte(from, {byte, byte}, next);
      from = next;
    }
    return absl::OkStatus();
  }

  absl::Status BuildClass(const std::vector<CodePointRange>& ranges, StateId from, StateId to) {
    // Behind a first byte mostly any continuation may follow: one, two or three bytes before `to`.
    std::array<StateId, 4> free_bytes = {to, 0, 0, 0};
    for (const CodePointRange range : ranges) {
      for (const ByteSequence& sequence : Utf8Sequences(range)) {
        HEARTH_RETURN_IF_ERROR(BuildBytes(sequence, from, free_bytes));
      }
    }
    return absl::OkStatus();
  }

  absl::Status BuildBytes(const ByteSequence& sequence, StateId from, std::array<StateId, 4>& free_bytes) {
    constexpr ByteSequence::Range kContinuation = {0x80, 0xBF};
    size_t bound = sequence.length;  // bytes before those that are free
    while (bound > 1 && sequence.bytes[bound - 1].first == kContinuation.first &&
           sequence.bytes[bound - 1].last == kContinuation.last) {
      --bound;
    }
    for (size_t count = 1; count <= sequence.length - bound; ++count) {
      if (free_bytes[count] != 0) continue;
      HEARTH_ASSIGN_OR_RETURN(free_bytes[count], NewState());
      AddByte(free_bytes[count], kContinuation, free_bytes[count - 1]);
    }
    for (size_t i = 0; i < bound; ++i) {
      StateId next = free_bytes[sequence.length - bound];
      if (i + 1 < bound) {
        HEARTH_ASSIGN_OR_RETURN(next, NewState());
      }
      AddByte(from, sequence.bytes[i], next);
      from = next;
    }
    return absl::OkStatus();
  }

  absl::Status BuildSequence(const std::vector<ExpressionId>& parts, StateId from, StateId to) {
    if (parts.empty()) AddEmpty(from, to);
    for (size_t i = 0; i < parts.size(); ++i) {
      StateId next = to;
      if (i + 1 < parts.size()) {
        HEARTH_ASSIGN_OR_RETURN(next, NewState());
      }
      HEARTH_RETURN_IF_ERROR(Build(parts[i], from, next));
      from = next;
    }
    return absl::OkStatus();
  }

  absl::Status BuildRepeat(const Expression& repeat, StateId from, StateId to) {
    const ExpressionId part = repeat.parts.front();
    const uint32_t copies = repeat.most.value_or(repeat.least);
    for (uint32_t i = 0; i < copies; ++i) {
      if (i >= repeat.least) AddEmpty(from, to);
      HEARTH_ASSIGN_OR_RETURN(const StateId next, NewState());
      HEARTH_RETURN_IF_ERROR(Build(part, from, next));
      from = next;
    }
    if (!repeat.most) {
      HEARTH_ASSIGN_OR_RETURN(const StateId loop, NewState());
      AddEmpty(from, loop);
      HEARTH_RETURN_IF_ERROR(Build(part, loop, loop));
      from = loop;
    }
    AddEmpty(from, to);
    return absl::OkStatus();
  }

  // Two lanes side by side: in one nothing has been written yet, in the other the next item needs a
  // separator.
  absl::Status BuildList(const Expression& list, StateId from, StateId to) {
    HEARTH_ASSIGN_OR_RETURN(StateId empty, NewState());
    HEARTH_ASSIGN_OR_RETURN(StateId begun, NewState());
    AddEmpty(from, empty);
    bool may_be_empty = true;
    for (size_t i = 0; i < list.optional.size(); ++i) {
      HEARTH_ASSIGN_OR_RETURN(const StateId next_empty, NewState());
      HEARTH_ASSIGN_OR_RETURN(const StateId next_begun, NewState());
      HEARTH_ASSIGN_OR_RETURN(const StateId separated, NewState());
      const ExpressionId item = list.parts[i + 1];
      if (may_be_empty) HEARTH_RETURN_IF_ERROR(Build(item, empty, next_begun));
      HEARTH_RETURN_IF_ERROR(Build(list.parts[0], begun, separated));
      HEARTH_RETURN_IF_ERROR(Build(item, separated, next_begun));
      if (list.optional[i]) {
        if (may_be_empty) AddEmpty(empty, next_empty);
        AddEmpty(begun, next_begun);
      }
      may_be_empty = may_be_empty && list.optional[i];
      empty = next_empty;
      begun = next_begun;
    }
    if (may_be_empty) AddEmpty(empty, to);
    AddEmpty(begun, to);
    return absl::OkStatus();
  }

  // Which states can come to the end of their rule: at all, or without taking a byte.
  std::vector<bool> ReachingEnd(bool with_bytes) const {
    constexpr RuleId kNoRule = ~RuleId{0};
    std::vector<std::pair<StateId, std::pair<StateId, RuleId>>> incoming;  // by target: from, called rule
    for (const auto& [from, to] : empties_) incoming.push_back({to, {from, kNoRule}});
    for (const auto& [from, call] : calls_) incoming.push_back({call.target, {from, call.rule}});
    if (with_bytes) {
      for (const auto& [from, edge] : bytes_) incoming.push_back({edge.target, {from, kNoRule}});
    }
    const EdgeTable<std::pair<StateId, RuleId>> into(states_, incoming);
    std::vector<std::pair<StateId, Ends>> calls;  // by rule
    for (const auto& [from, call] : calls_) calls.push_back({call.rule, {from, call.target}});
    const EdgeTable<Ends> calls_of(rules_.rule_count(), calls);

    std::vector<bool> reaching(states_);
    std::vector<StateId> work;
    const auto mark = [&](StateId state) {
      if (!reaching[state]) work.push_back(state);
      reaching[state] = true;
    };
    for (RuleId rule = 0; rule < rules_.rule_count(); ++rule) mark(End(rule));
    while (!work.empty()) {
      const StateId state = work.back();
      work.pop_back();
      for (const auto& [from, rule] : into.of(state)) {
        if (rule == kNoRule || reaching[Start(rule)]) mark(from);
      }
      if (state >= 2 * rules_.rule_count() || state % 2 == 1) continue;
      for (const auto& [from, target] : calls_of.of(state / 2)) {
        if (reaching[target]) mark(from);
      }
    }
    return reaching;
  }

  void AddEmptyCalls() {
    const std::vector<bool> empty = ReachingEnd(/*with_bytes=*/false);
    for (const auto& [from, call] : calls_) {
      if (empty[Start(call.rule)]) AddEmpty(from, call.target);
    }
  }

  // The rules that this one may begin with.
  std::vector<RuleId> BeginsWith(RuleId rule, const EdgeTable<StateId>& empties,
                                 const EdgeTable<Grammar::CallEdge>& calls, std::vector<bool>& seen) const {
    std::vector<RuleId> rules;
    std::vector<StateId> work = {Start(rule)};
    seen[Start(rule)] = true;
    while (!work.empty()) {
      const StateId state = work.back();
      work.pop_back();
      for (const Grammar::CallEdge& call : calls.of(state)) rules.push_back(call.rule);
      for (const StateId next : empties.of(state)) {
        if (!seen[next]) work.push_back(next);
        seen[next] = true;
      }
    }
    return rules;
  }

  // Orders the rules so that each comes before those it may begin with; there is such an order unless one
  // begins with itself.
  absl::Status RankRules() {
    const EdgeTable<StateId> empties(states_, empties_);
    const EdgeTable<Grammar::CallEdge> calls(states_, calls_);
    std::vector<bool> seen(states_);  // no two rules have a state in common
    std::vector<std::vector<RuleId>> begins_with(rules_.rule_count());
    std::vector<uint32_t> callers(rules_.rule_count());
    for (RuleId rule = 0; rule < rules_.rule_count(); ++rule) {
      begins_with[rule] = BeginsWith(rule, empties, calls, seen);
      for (const RuleId called : begins_with[rule]) ++callers[called];
    }
    for (RuleId rule = 0; rule < rules_.rule_count(); ++rule) {
      if (callers[rule] == 0) by_rank_.push_back(rule);
    }
    for (size_t next = 0; next < by_rank_.size(); ++next) {
      for (const RuleId called : begins_with[by_rank_[next]]) {
        if (--callers[called] == 0) by_rank_.push_back(called);
      }
    }
    if (by_rank_.size() == rules_.rule_count()) return absl::OkStatus();
    return RuleError(LeftRecursive(begins_with, callers),
                     "begins with itself (left recursion); let it begin with something else, or use a "
                     "repetition");
  }

  // Of the rules that have callers left: following callers leads round and round sooner or later.
  RuleId LeftRecursive(const std::vector<std::vector<RuleId>>& begins_with,
                       const std::vector<uint32_t>& callers) const {
    std::vector<RuleId> caller_of(rules_.rule_count());
    RuleId rule = 0;
    for (RuleId caller = 0; caller < rules_.rule_count(); ++caller) {
      if (callers[caller] == 0) continue;
      rule = caller;
      for (const RuleId called : begins_with[caller]) caller_of[called] = caller;
    }
    for (size_t step = 0; step < rules_.rule_count(); ++step) rule = caller_of[rule];
    return rule;
  }

  Grammar Finished() {
    Grammar grammar;
    grammar.state_count_ = states_;
    grammar.rule_count_ = rules_.rule_count();
    grammar.root_ = rules_.root();
    grammar.bytes_ = EdgeTable<Grammar::ByteEdge>(states_, bytes_);
    grammar.calls_ = EdgeTable<Grammar::CallEdge>(states_, calls_);
    grammar.empties_ = EdgeTable<StateId>(states_, empties_);
    grammar.ranks_.resize(rules_.rule_count());
    for (uint32_t rank = 0; rank < by_rank_.size(); ++rank) grammar.ranks_[by_rank_[rank]] = rank;
    grammar.by_rank_ = std::move(by_rank_);
    return grammar;
  }

  const GrammarRules& rules_;
  RuleId rule_ = 0;  // being built
  size_t states_;
  std::vector<std::pair<StateId, Grammar::ByteEdge>> bytes_;
  std::vector<std::pair<StateId, Grammar::CallEdge>> calls_;
  std::vector<std::pair<StateId, StateId>> empties_;
  std::vector<RuleId> by_rank_;
};

absl::StatusOr<Grammar> Grammar::Compile(const GrammarRules& rules) { return GrammarCompiler(rules).Run(); }

}  // namespace hearth::grammar
