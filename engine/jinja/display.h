#ifndef HEARTH_ENGINE_JINJA_DISPLAY_H_
#define HEARTH_ENGINE_JINJA_DISPLAY_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

// How values are written: as Python's str() and repr(), and as json.dumps does.

absl::StatusOr<Text> ToText(Run& run, const Value& value);
absl::StatusOr<Text> ToRepr(Run& run, const Value& value);
// "1.0", "1e+16", "nan".
std::string FloatText(double value);

struct JsonOptions {
  bool ascii = false;          // other characters as \uNNNN
  std::optional<Text> indent;  // per level; without: one line
  Text item_separator{", "};
  Text key_separator{": "};
  bool sort_keys = false;
};
absl::StatusOr<Text> ToJson(Run& run, const Value& value, const JsonOptions& options);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_DISPLAY_H_
