#ifndef HEARTH_ENGINE_JINJA_METHODS_H_
#define HEARTH_ENGINE_JINJA_METHODS_H_

#include <optional>
#include <string_view>

#include "engine/jinja/run.h"

namespace hearth::jinja {

// The method of a string, list, tuple or dict called `name`, bound to it; nullopt where Python has none.
// Those that the immutable sandbox forbids give an undefined value whose use says so; those that are not
// built here an error when they are called.
std::optional<Value> FindMethod(Run& run, const Value& object, std::string_view name);

// Python's methods of strings.
Result CallStringMethod(Run& run, const Value& receiver, std::string_view name, const Arguments& arguments);
bool IsStringMethod(std::string_view name);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_METHODS_H_
