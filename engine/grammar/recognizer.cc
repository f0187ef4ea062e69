#include "engine/grammar/recognizer.h"

#include <algorithm>
#include <functional>

namespace hearth::grammar {

Recognizer::Recognizer(const Grammar& grammar) : grammar_(grammar) {
  Frame({});         // kBottomFrame
  InternConfig({});  // kDeadConfig
}

ConfigId Recognizer::Start() {
  const Item start = {grammar_.start(grammar_.root()), kBottomFrame};
  return At({&start, 1});
}

ConfigId Recognizer::At(absl::Span<const Item> items) { return InternConfig(Closure(items)); }

uint32_t Recognizer::Intern(std::vector<Item> items, Ids& ids, ById& by_id) {
  const auto [entry, is_new] = ids.try_emplace(std::move(items), static_cast<uint32_t>(by_id.size()));
  if (is_new) {
    by_id.push_back(&entry->first);
    remembered_ += 1 + entry->first.size();
  }
  return entry->second;
}

ConfigId Recognizer::InternConfig(std::vector<Item> items) {
  const auto [entry, is_new] =
      config_ids_.try_emplace(std::move(items), static_cast<ConfigId>(configs_.size()));
  if (is_new) {
    configs_.push_back({&entry->first, nullptr});
    remembered_ += 1 + entry->first.size();
  }
  return entry->second;
}

ConfigId Recognizer::Compute(ConfigId config, uint8_t byte) {
  if (configs_[config].next == nullptr) {
    configs_[config].next = std::make_unique<std::array<ConfigId, 256>>();
    configs_[config].next->fill(kUnknown);
    remembered_ += kTableCosts;
  }
  std::vector<Item> seeds;
  for (const Item& item : Items(config)) {
    for (const Grammar::ByteEdge& edge : grammar_.byte_edges(item.state)) {
      if (edge.first <= byte && byte <= edge.last) seeds.push_back({edge.target, item.frame});
    }
  }
  const ConfigId next = seeds.empty() ? kDeadConfig : InternConfig(Closure(seeds));
  (*configs_[config].next)[byte] = next;
  return next;
}

void Recognizer::Visit(Item item) {
  if (seen_.insert(item).second) work_.push_back(item);
}

// What an empty call leaves behind is among the empty edges, so a rule just entered need not return.
void Recognizer::TakeWork(bool returning, std::vector<Item>& result) {
  while (!work_.empty() && seen_.size() <= kMaxItems) {
    const Item item = work_.back();
    work_.pop_back();
    if (!grammar_.byte_edges(item.state).empty()) result.push_back(item);
    for (const StateId next : grammar_.empty_edges(item.state)) Visit({next, item.frame});
    for (const Grammar::CallEdge& call : grammar_.call_edges(item.state)) {
      calls_.push_back({grammar_.rank(call.rule), {call.target, item.frame}});
      std::push_heap(calls_.begin(), calls_.end(), std::greater<>());
    }
    if (!returning || !grammar_.IsEnd(item.state)) continue;
    if (item.frame == kBottomFrame) result.push_back(kEnded);
    for (const Item& next : Returns(item.frame)) Visit(next);
  }
}

std::vector<Item> Recognizer::Closure(absl::Span<const Item> seeds) {
  seen_.clear();
  work_.clear();
  calls_.clear();
  std::vector<Item> result;
  for (const Item& seed : seeds) Visit(seed);
  TakeWork(/*returning=*/true, result);
  while (!calls_.empty()) {
    const uint32_t rank = calls_.front().first;
    std::vector<Item> callers;
    while (!calls_.empty() && calls_.front().first == rank) {
      std::pop_heap(calls_.begin(), calls_.end(), std::greater<>());
      if (callers.empty() || callers.back() != calls_.back().second) callers.push_back(calls_.back().second);
      calls_.pop_back();
    }
    Visit({grammar_.start(grammar_.rule_of_rank(rank)), Frame(std::move(callers))});
    TakeWork(/*returning=*/false, result);
  }
  if (seen_.size() > kMaxItems) {
    overflown_ = true;
    return {};
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

bool Recognizer::Compact(absl::Span<ConfigId> kept) {
  Recognizer fresh(grammar_);
  fresh.overflown_ = overflown_;
  // A frame's returns lie in frames with lower ids.
  std::vector<bool> needed(frames_.size());
  for (const ConfigId config : kept) {
    for (const Item& item : Items(config)) needed[item.frame] = true;
  }
  for (size_t frame = frames_.size(); frame-- > 0;) {
    if (!needed[frame]) continue;
    for (const Item& item : *frames_[frame]) needed[item.frame] = true;
  }
  std::vector<FrameId> moved(frames_.size(), kBottomFrame);
  const auto in_fresh = [&](std::vector<Item> items) {
    for (Item& item : items) item.frame = moved[item.frame];
    std::sort(items.begin(), items.end());
    return items;
  };
  for (size_t frame = 1; frame < frames_.size(); ++frame) {
    if (needed[frame]) moved[frame] = fresh.Frame(in_fresh(*frames_[frame]));
  }
  for (ConfigId& config : kept) config = fresh.InternConfig(in_fresh(items(config)));
  frame_ids_ = std::move(fresh.frame_ids_);
  frames_ = std::move(fresh.frames_);
  config_ids_ = std::move(fresh.config_ids_);
  configs_ = std::move(fresh.configs_);
  remembered_ = fresh.remembered_;
  return remembered_ <= kMaxRemembered / 2;
}

}  // namespace hearth::grammar
