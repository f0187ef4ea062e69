#ifndef HEARTH_ENGINE_GRAMMAR_RECOGNIZER_H_
#define HEARTH_ENGINE_GRAMMAR_RECOGNIZER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/types/span.h"
#include "engine/grammar/grammar.h"

namespace hearth::grammar {

// Who called a rule: a node of a stack that many texts may share (a graph-structured stack).
using FrameId = uint32_t;
inline constexpr FrameId kBottomFrame = 0;  // nobody

// A place in a grammar: a state, and where its rule returns to.
struct Item {
  StateId state;
  FrameId frame;

  friend bool operator==(const Item&, const Item&) = default;
  friend auto operator<=>(const Item&, const Item&) = default;
  template <typename H>
  friend H AbslHashValue(H hash, const Item& item) {
    return H::combine(std::move(hash), item.state, item.frame);
  }
};

// Everything that a text may be in the middle of, after some bytes.
using ConfigId = uint32_t;
inline constexpr ConfigId kDeadConfig = 0;  // the text does not follow the grammar

// Follows texts through a grammar, byte by byte. Configurations are numbered as they come up and each step is
// computed once, so that following many texts that have much in common (the tokens of a vocabulary) costs a
// look into a table per byte. Time and memory of a step are polynomial in the text, whatever the grammar.
// Not thread-safe.
class Recognizer {
 public:
  // `grammar` outlives this.
  explicit Recognizer(const Grammar& grammar);

  // Before the first byte.
  ConfigId Start();
  // Behind one byte more. Ids stay valid until Compact.
  ConfigId Next(ConfigId config, uint8_t byte) {
    const auto& next = configs_[config].next;
    if (next != nullptr && (*next)[byte] != kUnknown) return (*next)[byte];
    return Compute(config, byte);
  }
  // Where one of the items is the case.
  ConfigId At(absl::Span<const Item> items);

  // Whether the text may end here.
  bool MayEnd(ConfigId config) const { return !items(config).empty() && items(config).back() == kEnded; }
  // Whether anything may follow.
  bool MayGoOn(ConfigId config) const { return !items(config).empty() && items(config).front() != kEnded; }
  // Ascending; the states have byte edges.
  absl::Span<const Item> Items(ConfigId config) const {
    return absl::MakeConstSpan(items(config)).subspan(0, items(config).size() - (MayEnd(config) ? 1 : 0));
  }
  // The items of which one is the case where a rule that was called by this frame ends.
  absl::Span<const Item> Returns(FrameId frame) const { return *frames_[frame]; }
  FrameId Frame(std::vector<Item> returns) { return Intern(std::move(returns), frame_ids_, frames_); }

  // Whether so much was remembered that Compact is due.
  bool Full() const { return remembered_ > kMaxRemembered; }
  // Forgets all but these configurations, which get new ids. False when they alone are too much: the text
  // nests too deeply.
  [[nodiscard]] bool Compact(absl::Span<ConfigId> kept);
  // True once a step had more possibilities than are followed; its configuration is dead.
  bool overflown() const { return overflown_; }

 private:
  static constexpr Item kEnded = {~StateId{0}, 0};  // the last item where a text may end
  static constexpr ConfigId kUnknown = ~ConfigId{0};
  static constexpr size_t kMaxItems = 1 << 14;
  static constexpr size_t kMaxRemembered = 1 << 19;  // items and, below, what a table counts as
  static constexpr size_t kTableCosts = 64;

  using Ids = absl::node_hash_map<std::vector<Item>, uint32_t>;
  using ById = std::vector<const std::vector<Item>*>;
  struct Config {
    const std::vector<Item>* items;
    std::unique_ptr<std::array<ConfigId, 256>> next;  // kUnknown where not computed yet
  };

  const std::vector<Item>& items(ConfigId config) const { return *configs_[config].items; }
  uint32_t Intern(std::vector<Item> items, Ids& ids, ById& by_id);
  ConfigId InternConfig(std::vector<Item> items);
  ConfigId Compute(ConfigId config, uint8_t byte);
  // Adds what is reached without a byte: ends of rules first, then calls by rank, so that all callers of a
  // rule are known when it is entered.
  std::vector<Item> Closure(absl::Span<const Item> seeds);
  void Visit(Item item);
  void TakeWork(bool returning, std::vector<Item>& result);

  const Grammar& grammar_;
  Ids frame_ids_;
  ById frames_;
  absl::node_hash_map<std::vector<Item>, ConfigId> config_ids_;
  std::vector<Config> configs_;
  size_t remembered_ = 0;
  bool overflown_ = false;

  // Scratch of Closure.
  absl::flat_hash_set<Item> seen_;
  std::vector<Item> work_;
  std::vector<std::pair<uint32_t, Item>> calls_;  // rank of the rule, where it returns to; a heap
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_RECOGNIZER_H_
