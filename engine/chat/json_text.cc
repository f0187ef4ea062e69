#include "engine/chat/json_text.h"

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

constexpr int kMaxDepth = 100;

}  // namespace

absl::StatusOr<nlohmann::ordered_json> ParseJson(std::string_view what, std::string_view text) {
  using Json = nlohmann::ordered_json;
  // What lies too deep is not built: copies of it would take unbounded stack.
  bool too_deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kMaxDepth;
    return !too_deep;
  };
  Json json = Json::parse(text, keep, /*allow_exceptions=*/false);
  if (too_deep) {
    return absl::InvalidArgumentError(
        absl::StrCat(AbslView(what), " nests more than ", kMaxDepth, " levels deep"));
  }
  if (json.is_discarded())
    return absl::InvalidArgumentError(absl::StrCat(AbslView(what), " is not JSON in UTF-8"));
  return json;
}

}  // namespace hearth
