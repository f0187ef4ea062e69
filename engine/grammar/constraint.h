#ifndef HEARTH_ENGINE_GRAMMAR_CONSTRAINT_H_
#define HEARTH_ENGINE_GRAMMAR_CONSTRAINT_H_

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "engine/grammar/recognizer.h"
#include "engine/grammar/token_mask.h"
#include "engine/grammar/token_masks.h"

namespace hearth::grammar {

// Keeps one sequence to a grammar: says which tokens may come next and follows those that were chosen. Its
// state depends on these tokens alone. Not thread-safe.
class Constraint {
 public:
  explicit Constraint(std::shared_ptr<const TokenMasks> masks)
      : masks_(std::move(masks)), recognizer_(masks_->grammar()), config_(recognizer_.Start()) {}

  // The tokens that may come next. Valid until Accept. RESOURCE_EXHAUSTED where the grammar leaves too many
  // possibilities, FAILED_PRECONDITION where no token of the vocabulary fits.
  absl::StatusOr<const TokenMask*> Allowed();
  // One of those that Allowed gave. A token that ends a generation changes nothing.
  void Accept(TokenId token);
  // Whether the text is complete, and whether nothing can follow it.
  bool MayEnd() const { return recognizer_.MayEnd(config_); }
  bool MustEnd() const { return !recognizer_.MayGoOn(config_); }

 private:
  const std::shared_ptr<const TokenMasks> masks_;
  Recognizer recognizer_;
  ConfigId config_;
  // Of the configuration it was made for: texts stay in the same one for many tokens.
  std::optional<TokenMask> mask_;
  bool mask_is_empty_ = false;
};

}  // namespace hearth::grammar

#endif  // HEARTH_ENGINE_GRAMMAR_CONSTRAINT_H_
