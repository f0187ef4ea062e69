#include "daemon/steps/prompt_pace.h"

#include <algorithm>
#include <limits>

namespace hearth {
namespace {

// Fewer rows say little: most of their time is the step's own.
constexpr uint32_t kTellingRows = 8;
// Steps differ by a few percent from what was expected of them.
constexpr double kCaution = 0.85;

// Goes half of the way.
absl::Duration Closer(absl::Duration known, absl::Duration measured) {
  return known + (measured - known) / 2;
}

}  // namespace

void PromptPace::Note(uint32_t prompt_rows, absl::Duration took) {
  if (prompt_rows == 0) {
    without_prompt_ = without_prompt_ == absl::ZeroDuration() ? took : Closer(without_prompt_, took);
  } else if (prompt_rows >= kTellingRows) {
    const absl::Duration row = std::max((took - without_prompt_) / prompt_rows, absl::Nanoseconds(1));
    // What takes longer than thought is believed at once: others wait for it.
    row_ = row > row_ ? row : Closer(row_, row);
  }
}

uint32_t PromptPace::RowsWithin(absl::Duration target, uint32_t least) const {
  if (row_ == absl::ZeroDuration()) return least;
  const double rows = absl::FDivDuration(target * kCaution - without_prompt_, row_);
  if (rows <= least) return least;
  return rows < 1e9 ? static_cast<uint32_t>(rows) : std::numeric_limits<uint32_t>::max();
}

}  // namespace hearth
