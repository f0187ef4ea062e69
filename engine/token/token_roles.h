#ifndef HEARTH_ENGINE_TOKEN_TOKEN_ROLES_H_
#define HEARTH_ENGINE_TOKEN_TOKEN_ROLES_H_

#include <string_view>

#include "engine/token/vocabulary.h"

namespace hearth {

// Model files rarely say which tokens end a generation, and some type such tokens as plain text. These find
// them by how they are written ("<|eot_id|>", "<end_of_turn>", ...) and correct the attributes. FindEndTokens
// fills eot, eom and end_of_generation; special ids of the file must be set. `*vocabulary` is complete
// otherwise.
struct FillInMiddleTokens {
  TokenId prefix = kNoToken, suffix = kNoToken, middle = kNoToken;
  TokenId padding = kNoToken, repository = kNoToken, file_separator = kNoToken;
};
void FindEndTokens(FillInMiddleTokens from_file, Vocabulary* vocabulary);

// Whitespace stripping around special tokens, which files do not carry: known by the model's name,
// architecture and pre-tokenizer.
void SetStripping(std::string_view model_name, std::string_view architecture, std::string_view pre_tokenizer,
                  Vocabulary* vocabulary);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_TOKEN_ROLES_H_
