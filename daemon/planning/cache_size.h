#ifndef HEARTH_DAEMON_PLANNING_CACHE_SIZE_H_
#define HEARTH_DAEMON_PLANNING_CACHE_SIZE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hearth {

inline constexpr uint32_t kUsualSlots = 8;         // where none are asked for
inline constexpr uint32_t kUsualContext = 4096;    // for which slots are given up
inline constexpr uint32_t kContextStep = 256;      // contexts that are chosen are multiples of it
inline constexpr uint32_t kMostContext = 1 << 24;  // that can be asked for

// What a model remembers at the same time.
struct CacheSize {
  uint32_t context = kUsualContext;  // positions of each sequence
  uint32_t slots = kUsualSlots;      // sequences

  bool operator==(const CacheSize&) const = default;
};

struct CacheWish {
  std::optional<uint32_t> context = {};  // asked for: honoured or refused, as the next
  std::optional<uint32_t> slots = {};
  uint32_t trained = 0;                // positions that the model was made for; 0: unknown
  uint32_t usual_slots = kUsualSlots;  // as many as fit, where none are asked for
};

// The same where memory is so scarce that neurons stay on a disk: what is not asked for is one usual context.
CacheWish SmallestOf(CacheWish wish);

// Whether the model can be placed with such a cache; RESOURCE_EXHAUSTED when memory is missing.
using CacheFits = std::function<absl::Status(const CacheSize&)>;

// The size of cache that a model gets. What is not asked for fits by itself: first as many slots, up to
// usual_slots, as leave each kUsualContext (or what the model was made for, if that is less); then as much
// context, up to what the model was made for, as takes half of the memory that there is for the cache, so
// that other models find room. RESOURCE_EXHAUSTED, with what would fit, where that which was asked for does
// not, or where nothing does; other errors of `fits` as they are.
absl::StatusOr<CacheSize> ChooseCacheSize(const CacheWish& wish, const CacheFits& fits);

// "a context of 6144 tokens for each of 8 requests at a time, ...": what was chosen and why.
std::string DescribeCacheSize(const CacheWish& wish, const CacheSize& size);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_CACHE_SIZE_H_
