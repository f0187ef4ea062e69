#ifndef HEARTH_ENGINE_JINJA_TESTS_H_
#define HEARTH_ENGINE_JINJA_TESTS_H_

#include <string_view>

#include "engine/jinja/run.h"

namespace hearth::jinja {

// jinja2's tests: `value is name(arguments)`. An error names an unknown one.
absl::StatusOr<bool> ApplyTest(Run& run, std::string_view name, const Value& value,
                               const Arguments& arguments);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_TESTS_H_
