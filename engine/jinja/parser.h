#ifndef HEARTH_ENGINE_JINJA_PARSER_H_
#define HEARTH_ENGINE_JINJA_PARSER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "engine/jinja/ast.h"

namespace hearth::jinja {

inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

// Reads a template, with the grammar of jinja2 and its loop controls. Inheritance and other files (extends,
// block, include, import) and autoescape are UNIMPLEMENTED; INVALID_ARGUMENT says where the template is
// wrong. Takes bounded stack, whatever the nesting.
absl::StatusOr<Tree> Parse(std::string_view source);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_PARSER_H_
