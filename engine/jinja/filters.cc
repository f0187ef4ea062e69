#include "engine/jinja/filters.h"

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"

namespace hearth::jinja {
namespace {

FilterFunction FindFilter(std::string_view name) {
  const FilterFunction text = FindTextFilter(name);
  return text != nullptr ? text : FindSequenceFilter(name);
}

}  // namespace

bool IsFilter(std::string_view name) { return FindFilter(name) != nullptr; }

Result ApplyFilter(Run& run, std::string_view name, const Value& input, const Arguments& arguments) {
  const FilterFunction filter = FindFilter(name);
  if (filter == nullptr) return Fail(absl::StrCat("there is no filter '", AbslView(name), "'"));
  const Run::Level level(run);  // filters call filters by name
  HEARTH_RETURN_IF_ERROR(level.status());
  HEARTH_RETURN_IF_ERROR(run.Step());
  return filter({run, input, arguments, name});
}

}  // namespace hearth::jinja
