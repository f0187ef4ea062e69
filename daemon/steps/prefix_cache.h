#ifndef HEARTH_DAEMON_STEPS_PREFIX_CACHE_H_
#define HEARTH_DAEMON_STEPS_PREFIX_CACHE_H_

#include <cstdint>
#include <vector>

#include "daemon/model_host.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// What a decoder holds of a sequence: tokens, the first ones read as a prompt, the others generated.
struct HeldTokens {
  std::vector<TokenId> tokens;
  uint32_t prompt_tokens = 0;
};

// Knows what the free slots of a decoder still hold of the sequences that had them, so that one with the same
// beginning (the next turn of a chat) need not read it again. Takes no memory of its own on devices: what is
// held lies in the slots. Pure; not thread-safe.
class PrefixCache {
 public:
  explicit PrefixCache(uint32_t slots) : slots_(slots) {}

  // The slot is free from now on and holds this.
  void Keep(uint32_t slot, HeldTokens held);
  // The slot holds no more than its first `length` positions.
  void Cut(uint32_t slot, uint32_t length);
  // The slot is taken; what it held is its new owner's.
  void Take(uint32_t slot) { slots_[slot] = {}; }

  struct Found {
    uint32_t slot;
    uint32_t length;  // positions of it that `wanted` goes on from; less than it has tokens
  };
  // Of the free slots (at least one) the best for a sequence: the one that holds most of its beginning, and
  // where that would cost another sequence most of what is held of it, the one that was used longest ago.
  Found Find(const std::vector<uint32_t>& free, const HeldTokens& wanted, const ReuseRules& rules) const;

 private:
  struct Slot {
    HeldTokens held;
    uint64_t used = 0;  // by Keep's count
  };

  std::vector<Slot> slots_;
  uint64_t keeps_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STEPS_PREFIX_CACHE_H_
