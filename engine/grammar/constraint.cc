#include "engine/grammar/constraint.h"

#include <utility>

#include "engine/base/status_macros.h"

namespace hearth::grammar {

absl::StatusOr<const TokenMask*> Constraint::Allowed() {
  if (!mask_) {
    HEARTH_ASSIGN_OR_RETURN(mask_, masks_->Allowed(recognizer_, &config_));
    mask_is_empty_ = mask_->empty();
  }
  if (!mask_is_empty_) return &*mask_;
  return absl::FailedPreconditionError(
      "no token of the model's vocabulary fits what the grammar asks for next; change the grammar or schema");
}

void Constraint::Accept(TokenId token) {
  const ConfigId before = config_;
  for (const char byte : masks_->trie().bytes(token)) {
    config_ = recognizer_.Next(config_, static_cast<uint8_t>(byte));
  }
  if (config_ != before) mask_.reset();
  // Where even this configuration is too much Allowed says so.
  if (recognizer_.Full()) (void)recognizer_.Compact({&config_, 1});
}

}  // namespace hearth::grammar
