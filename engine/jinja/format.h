#ifndef HEARTH_ENGINE_JINJA_FORMAT_H_
#define HEARTH_ENGINE_JINJA_FORMAT_H_

#include "absl/status/statusor.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

// "%s and %d" % (a, b), of one value, a tuple or a dict.
absl::StatusOr<Text> FormatPercent(Run& run, const Text& format, const Value& values);

// "{} and {name}".format(a, name=b), with attributes, indices, !s and !r, and format specifications of
// strings and numbers.
absl::StatusOr<Text> FormatBraces(Run& run, const Text& format, const Arguments& arguments);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_FORMAT_H_
