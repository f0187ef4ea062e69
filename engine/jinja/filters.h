#ifndef HEARTH_ENGINE_JINJA_FILTERS_H_
#define HEARTH_ENGINE_JINJA_FILTERS_H_

#include <string_view>
#include <vector>

#include "engine/jinja/run.h"

namespace hearth::jinja {

// One use of a filter: `input | name(arguments)`.
struct FilterCall {
  Run& run;
  const Value& input;
  const Arguments& arguments;
  std::string_view name;

  absl::StatusOr<std::vector<const Value*>> Bound(const std::vector<std::string_view>& names,
                                                  size_t required) const {
    return Bind(name, arguments, names, required);
  }
};

// jinja2's filters, with a plain tojson (json.dumps). Generators are computed at once; as in Python they are
// true and give their elements only once. An error names an unknown filter.
Result ApplyFilter(Run& run, std::string_view name, const Value& input, const Arguments& arguments);
bool IsFilter(std::string_view name);

// The filters of texts and numbers, and of sequences and dicts; null where there is none of the name.
using FilterFunction = Result (*)(const FilterCall&);
FilterFunction FindTextFilter(std::string_view name);
FilterFunction FindSequenceFilter(std::string_view name);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_FILTERS_H_
