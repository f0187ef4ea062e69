#include "daemon/steps/prefix_cache.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/base/check.h"

namespace hearth {
namespace {

// Positions of `held` that `wanted` can go on from. Its last token is always evaluated: it gives the logits.
uint32_t Reusable(const HeldTokens& held, const HeldTokens& wanted, const ReuseRules& rules) {
  const size_t most = std::min(held.tokens.size(), wanted.tokens.size() - 1);
  const auto end = std::mismatch(held.tokens.begin(), held.tokens.begin() + static_cast<ptrdiff_t>(most),
                                 wanted.tokens.begin())
                       .first;
  auto length = static_cast<uint32_t>(end - held.tokens.begin());
  // Where one was generated and the other is to be read they differ.
  if (!rules.rows_alike && held.prompt_tokens != wanted.prompt_tokens) {
    length = std::min({length, held.prompt_tokens, wanted.prompt_tokens});
  }
  return rules.can_cut || length == held.tokens.size() ? length : 0;
}

}  // namespace

void PrefixCache::Keep(uint32_t slot, HeldTokens held) {
  slots_[slot].held = std::move(held);
  slots_[slot].used = ++keeps_;
}

void PrefixCache::Cut(uint32_t slot, uint32_t length) {
  HeldTokens& held = slots_[slot].held;
  if (length < held.tokens.size()) held.tokens.resize(length);
}

PrefixCache::Found PrefixCache::Find(const std::vector<uint32_t>& free, const HeldTokens& wanted,
                                     const ReuseRules& rules) const {
  HEARTH_CHECK(!free.empty() && !wanted.tokens.empty());
  // Whether most of what is held stays, then how much of it, then how long ago it was used.
  using Merit = std::tuple<bool, uint32_t, uint64_t>;
  Found best{free.front(), 0};
  Merit most{false, 0, 0};
  for (const uint32_t slot : free) {
    const uint32_t length = Reusable(slots_[slot].held, wanted, rules);
    const bool stays = length > 0 && size_t{2} * length >= slots_[slot].held.tokens.size();
    const Merit merit{stays, stays ? length : 0, ~slots_[slot].used};
    if (merit <= most) continue;
    most = merit;
    best = {slot, length};
  }
  return best;
}

}  // namespace hearth
