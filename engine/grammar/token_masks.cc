#include "engine/grammar/token_masks.h"

#include <utility>

#include "engine/base/status_macros.h"

namespace hearth::grammar {
namespace {

// More callers than these are not taken into account.
constexpr size_t kMaxPlace = 5;
// Nodes behind exits that are followed each time rather than taking the next caller into account.
constexpr uint32_t kMaxNodesBehind = 1 << 14;
// What the results for states may take together.
constexpr size_t kMaxLocalBytes = size_t{32} << 20;
constexpr size_t kEntryBytes = 256;

absl::Status TooMany() {
  return absl::ResourceExhaustedError(
      "the grammar leaves more possibilities open, or nests more deeply, than can be followed; make it less "
      "ambiguous");
}

}  // namespace

template <class Visitor>
bool TokenMasks::Walk(Recognizer& recognizer, uint32_t top, ConfigId* start, ConfigId* kept,
                      Visitor visit) const {
  const uint32_t top_depth = trie_->node(top).depth;
  // [0] kept, [1] the start, then one for each byte below the top.
  std::vector<ConfigId> path(trie_->longest() - top_depth + 3);
  path[0] = *kept;
  path[1] = *start;
  const uint32_t end = trie_->node(top).end;
  bool whole = true;
  for (uint32_t index = top + 1; index < end && whole;) {
    const TokenTrie::Node& node = trie_->node(index);
    const size_t level = node.depth - top_depth + 1;
    if (recognizer.Full()) whole = recognizer.Compact(absl::MakeSpan(path).first(level));
    path[level] = recognizer.Next(path[level - 1], node.byte);
    if (path[level] == kDeadConfig) {
      index = node.end;
    } else {
      whole = whole && visit(index, path[level]);
      ++index;
    }
  }
  *kept = path[0];
  *start = path[1];
  return whole && !recognizer.overflown();
}

absl::StatusOr<TokenMask> TokenMasks::Allowed(Recognizer& recognizer, ConfigId* config) const {
  if (recognizer.Full() && !recognizer.Compact({config, 1})) return TooMany();
  TokenMask mask(trie_->vocab_size());
  if (recognizer.MayEnd(*config)) {
    for (const TokenId token : trie_->end_of_generation()) mask.Add(token);
  }
  const size_t items = recognizer.Items(*config).size();
  for (size_t i = 0; i < items; ++i) {
    const Reach reach = ReachOf(recognizer, recognizer.Items(*config)[i]);
    if (reach.local == nullptr) return TooMany();
    for (const TokenId token : reach.local->few) mask.Add(token);
    if (!reach.local->many.empty()) mask.Add(reach.local->many);
    HEARTH_RETURN_IF_ERROR(AddBehind(recognizer, reach.caller, reach.local->exits, config, mask));
  }
  return mask;
}

TokenMasks::Reach TokenMasks::ReachOf(const Recognizer& recognizer, const Item& item) const {
  Place place = {item.state};
  FrameId caller = item.frame;
  for (;;) {
    const absl::Span<const Item> returns = recognizer.Returns(caller);
    const bool last_try = returns.size() != 1 || place.size() == kMaxPlace;
    std::shared_ptr<const Local> local = LocalAt(place, last_try);
    if (last_try || local == nullptr || !local->too_wide) return {std::move(local), caller};
    place.push_back(returns.front().state);
    caller = returns.front().frame;
  }
}

std::shared_ptr<const TokenMasks::Local> TokenMasks::LocalAt(const Place& place, bool last_try) const {
  MutexLock lock(&mutex_);
  const auto found = locals_.find(place);
  if (found != locals_.end() && !(last_try && found->second->too_wide)) return found->second;
  std::optional<Local> computed = ComputeLocal(local_, place, last_try);
  if (!computed) return nullptr;
  auto local = std::make_shared<const Local>(*std::move(computed));
  local_bytes_ += kEntryBytes + local->few.size() * sizeof(TokenId) + local->exits.size() * sizeof(uint32_t) +
                  (local->many.empty() ? 0 : static_cast<size_t>(trie_->vocab_size()) / 8);
  if (local_bytes_ > kMaxLocalBytes) {
    locals_.clear();
    local_bytes_ = 0;
  }
  locals_.insert_or_assign(place, local);
  return local;
}

std::optional<TokenMasks::Local> TokenMasks::ComputeLocal(Recognizer& recognizer, const Place& place,
                                                          bool last_try) const {
  if (recognizer.Full()) (void)recognizer.Compact({});
  FrameId frame = kBottomFrame;
  for (size_t i = place.size(); i-- > 1;) frame = recognizer.Frame({{place[i], frame}});
  const Item item = {place[0], frame};
  ConfigId start = recognizer.At({&item, 1});
  ConfigId none = kDeadConfig;
  Local local;
  uint32_t behind = 0;
  const bool whole = Walk(recognizer, TokenTrie::kRoot, &start, &none, [&](uint32_t index, ConfigId config) {
    const auto tokens = trie_->tokens(index);
    local.few.insert(local.few.end(), tokens.begin(), tokens.end());
    if (!recognizer.MayEnd(config)) return true;
    local.exits.push_back(index);
    behind += trie_->node(index).end - index - 1;
    return last_try || behind <= kMaxNodesBehind;
  });
  if (!whole && !last_try && behind > kMaxNodesBehind) return Local{.too_wide = true};
  if (!whole) return std::nullopt;
  if (local.few.size() * sizeof(TokenId) > static_cast<size_t>(trie_->vocab_size()) / 8) {
    local.many = TokenMask(trie_->vocab_size());
    for (const TokenId token : local.few) local.many.Add(token);
    local.few.clear();
    local.few.shrink_to_fit();
  }
  return local;
}

absl::Status TokenMasks::AddBehind(Recognizer& recognizer, FrameId caller, const std::vector<uint32_t>& exits,
                                   ConfigId* config, TokenMask& mask) const {
  if (exits.empty() || recognizer.Returns(caller).empty()) return absl::OkStatus();
  ConfigId behind = recognizer.At(recognizer.Returns(caller));
  for (const uint32_t exit : exits) {
    if (trie_->node(exit).end == exit + 1) continue;  // nothing lies behind it
    const bool whole = Walk(recognizer, exit, &behind, config, [&](uint32_t index, ConfigId) {
      for (const TokenId token : trie_->tokens(index)) mask.Add(token);
      return true;
    });
    if (!whole) return TooMany();
  }
  return absl::OkStatus();
}

}  // namespace hearth::grammar
