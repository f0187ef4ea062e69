#ifndef HEARTH_ENGINE_CHAT_CHAT_TOKENS_H_
#define HEARTH_ENGINE_CHAT_CHAT_TOKENS_H_

#include <string_view>
#include <vector>

#include "engine/jinja/template.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// The tokens of a rendered conversation: control tokens of the template become their ids, those that somebody
// wrote in a message stay text, and BOS stands in front once where the vocabulary wants it, whether the
// template writes it or not.
std::vector<TokenId> ChatTokens(const Tokenizer& tokenizer, const jinja::Rendered& rendered);

// Which of the marks of answers (AnswerParser::Markers) are control tokens of this vocabulary.
std::vector<TokenId> MarkerTokens(const Tokenizer& tokenizer, const std::vector<std::string_view>& markers);

}  // namespace hearth

#endif  // HEARTH_ENGINE_CHAT_CHAT_TOKENS_H_
