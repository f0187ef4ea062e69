#ifndef HEARTH_ENGINE_JINJA_LEXER_H_
#define HEARTH_ENGINE_JINJA_LEXER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hearth::jinja {

// A place in a template: line and byte of the line, from 1.
struct Position {
  uint32_t line = 1;
  uint32_t column = 1;
};

enum class TokenKind {
  kData,           // text outside of tags; `text` is what is left of it after whitespace control
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // `text` is its value, escapes resolved
  kInteger,
  kFloat,
  kOperator,  // `text` is the operator
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int64_t integer = 0;
  double real = 0;
  Position position;
};

// "line 3, column 14: message".
absl::Status ErrorAt(Position position, std::string_view message);

// Cuts a template into tokens as jinja2 does with trim_blocks and lstrip_blocks: a line feed behind a block
// or comment is dropped, and blanks before one that begins a line; `-` drops all whitespace on its side, `+`
// keeps it. Comments and raw blocks are resolved. The last token is kEnd. INVALID_ARGUMENT says where the
// template is wrong.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_LEXER_H_
