#include "daemon/planning/cache_size.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// As much as can be of what the wish leaves open.
class Chooser {
 public:
  Chooser(const CacheWish& wish, const CacheFits& fits)
      : wish_(wish), fits_(fits), slots_(wish.slots.value_or(wish.usual_slots)) {
    longest_ = wish.trained > 0 ? std::min(wish.trained, kMostContext) : kUsualContext;
    if (wish.context) longest_ = std::min(*wish.context, wish.trained > 0 ? wish.trained : *wish.context);
  }

  absl::StatusOr<CacheSize> Choose() {
    const uint32_t enough = Enough();
    HEARTH_ASSIGN_OR_RETURN(std::optional<CacheSize> found, MostSlots(enough));
    if (found && wish_.context) return *found;
    if (found) return WithLongerContext(*found);
    if (!wish_.context) {
      HEARTH_ASSIGN_OR_RETURN(found, LongestContext(FewestSlots(), enough, 1));
    }
    if (found) return *found;
    return Refusal();
  }

 private:
  // False when memory is missing.
  absl::StatusOr<bool> Fits(const CacheSize& size) const {
    const absl::Status status = fits_(size);
    if (status.ok() || absl::IsResourceExhausted(status)) return status.ok();
    return status;
  }

  uint32_t Enough() const { return wish_.context ? longest_ : std::min(longest_, kUsualContext); }
  uint32_t FewestSlots() const { return wish_.slots ? slots_ : 1; }

  absl::StatusOr<std::optional<CacheSize>> MostSlots(uint32_t context) const {
    for (uint32_t slots = slots_; slots >= FewestSlots(); slots /= 2) {
      HEARTH_ASSIGN_OR_RETURN(const bool fits, Fits({context, slots}));
      if (fits) return CacheSize{context, slots};
    }
    return std::nullopt;
  }

  // A multiple of the step below `limit`, of which `times` as much fits; none: none.
  absl::StatusOr<std::optional<CacheSize>> LongestContext(uint32_t slots, uint32_t limit,
                                                          uint32_t times) const {
    uint32_t low = 0, high = (limit - 1) / kContextStep;  // in steps
    while (low < high) {
      const uint32_t middle = low + (high - low + 1) / 2;
      HEARTH_ASSIGN_OR_RETURN(const bool fits, Fits({middle * kContextStep * times, slots}));
      (fits ? low : high) = fits ? middle : middle - 1;
    }
    if (low == 0) return std::nullopt;
    return CacheSize{low * kContextStep, slots};
  }

  absl::StatusOr<CacheSize> WithLongerContext(const CacheSize& enough) const {
    if (enough.context == longest_) return enough;
    HEARTH_ASSIGN_OR_RETURN(const bool all, Fits({2 * longest_, enough.slots}));
    if (all) return CacheSize{longest_, enough.slots};
    HEARTH_ASSIGN_OR_RETURN(const std::optional<CacheSize> longer, LongestContext(enough.slots, longest_, 2));
    return longer && longer->context > enough.context ? *longer : enough;
  }

  absl::Status Refusal() const {
    std::vector<std::string> offers;
    HEARTH_ASSIGN_OR_RETURN(const auto shorter, LongestContext(slots_, longest_, 1));
    if (shorter) offers.push_back(absl::StrCat("--context ", shorter->context, " with --slots ", slots_));
    for (uint32_t slots = slots_ / 2; slots > 0; slots /= 2) {
      HEARTH_ASSIGN_OR_RETURN(const bool fits, Fits({Enough(), slots}));
      if (!fits) continue;
      offers.push_back(absl::StrCat("--context ", Enough(), " with --slots ", slots));
      break;
    }
    const absl::Status missing = fits_({Enough(), FewestSlots()});
    if (missing.ok())
      return absl::ResourceExhaustedError("memory was short a moment ago; load the model again");
    if (offers.empty()) return missing;
    return absl::ResourceExhaustedError(
        absl::StrCat(missing.message(), "; what fits: ", absl::StrJoin(offers, ", or ")));
  }

  const CacheWish& wish_;
  const CacheFits& fits_;
  uint32_t slots_;    // at most
  uint32_t longest_;  // context
};

}  // namespace

CacheWish SmallestOf(CacheWish wish) {
  wish.usual_slots = 1;
  if (!wish.context) wish.trained = std::min(wish.trained > 0 ? wish.trained : kUsualContext, kUsualContext);
  return wish;
}

absl::StatusOr<CacheSize> ChooseCacheSize(const CacheWish& wish, const CacheFits& fits) {
  return Chooser(wish, fits).Choose();
}

std::string DescribeCacheSize(const CacheWish& wish, const CacheSize& size) {
  std::string text = absl::StrCat("a context of ", size.context, " tokens for each of ", size.slots,
                                  size.slots == 1 ? " request" : " requests", " at a time");
  std::vector<std::string> reasons;
  if (wish.context && size.context < *wish.context) {
    reasons.push_back(
        absl::StrCat("all that the model was trained for, --context ", *wish.context, " is more"));
  } else if (!wish.context && size.context == wish.trained) {
    reasons.push_back("all that the model was made for");
  } else if (!wish.context && wish.trained == 0) {
    reasons.push_back("the file does not say what the model was made for");
  } else if (!wish.context) {
    reasons.push_back(absl::StrCat("what memory has room for of the ", wish.trained,
                                   " that the model was made for (--context N asks for more)"));
  }
  if (!wish.slots && size.slots < wish.usual_slots) {
    reasons.push_back(absl::StrCat("memory has no room for ", wish.usual_slots, " requests"));
  }
  if (!reasons.empty()) absl::StrAppend(&text, ": ", absl::StrJoin(reasons, "; "));
  return text;
}

}  // namespace hearth
