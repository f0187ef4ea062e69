#ifndef HEARTH_ENGINE_CHAT_CHAT_TOKENS_H_
#define HEARTH_ENGINE_CHAT_CHAT_TOKENS_H_

#include <vector>

#include "engine/jinja/template.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// The tokens of a rendered conversation: control tokens of the template become their ids, those that somebody
// wrote in a message stay text, and BOS stands in front once where the vocabulary wants it, whether the
// template writes it or not.
std::vector<TokenId> ChatTokens(const Tokenizer& tokenizer, const jinja::Rendered& rendered);

}  // namespace hearth

#endif  // HEARTH_ENGINE_CHAT_CHAT_TOKENS_H_
