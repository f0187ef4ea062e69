#include "daemon/http/json_input.h"

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr char kParamPayload[] = "hearth/param";

// Watches a text being parsed for what JSON allows and requests may not have.
class Watch {
 public:
  bool operator()(int depth, json::parse_event_t event, const json& value) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth >= kMaxJsonDepth) return Refuse(absl::StrCat("is nested deeper than ", kMaxJsonDepth));
      keys_[static_cast<size_t>(depth) + 1].clear();
    }
    if (event == json::parse_event_t::key && depth <= kMaxJsonDepth) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys_[static_cast<size_t>(depth)].insert(key).second) {
        return Refuse(absl::StrCat("has the key \"", Printable(key, kMaxNameBytes), "\" twice"));
      }
    }
    return true;
  }
  // The first thing that was wrong; empty: nothing.
  const std::string& problem() const { return problem_; }

 private:
  bool Refuse(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }

  std::array<std::set<std::string>, kMaxJsonDepth + 1> keys_;  // of the object at each depth
  std::string problem_;
};

// "parse error at line 1, column 3: ..." of "[json.exception.parse_error.101] parse error at ...".
absl::string_view WithoutId(absl::string_view message) {
  const size_t end = message.find("] ");
  return end == absl::string_view::npos ? message : message.substr(end + 2);
}

absl::Status WrongKind(const char* name, const char* wanted, const json& value) {
  return ParamError(name, absl::StrCat("must be ", wanted, ", not ", KindOf(value)));
}

}  // namespace

absl::StatusOr<json> ParseJsonObject(const std::string& text) {
  Watch watch;
  json parsed;
  try {
    parsed = json::parse(text, [&watch](int depth, json::parse_event_t event, const json& value) {
      return watch(depth, event, value);
    });
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not JSON: ", Printable(WithoutId(error.what()))));
  }
  if (!watch.problem().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the body's JSON ", watch.problem()));
  }
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("the body must be a JSON object, not ", KindOf(parsed)));
  }
  return parsed;
}

absl::StatusOr<nlohmann::ordered_json> ParseFieldInOrder(const std::string& text, const std::string& field) {
  using nlohmann::ordered_json;
  size_t keys = 0;
  bool within = false;
  // Other fields are not built at all: each key costs a look at all those before it.
  const auto keep = [&](int depth, ordered_json::parse_event_t event, ordered_json& value) {
    if (event != ordered_json::parse_event_t::key) return true;
    if (depth == 1) within = value == field;
    return within && ++keys <= kMaxOrderedKeys;
  };
  const ordered_json body = ordered_json::parse(text, keep, /*allow_exceptions=*/false);
  if (keys > kMaxOrderedKeys)
    return ParamError(field, absl::StrCat("has more than ", kMaxOrderedKeys, " keys"));
  const auto found = body.find(field);
  return found == body.end() ? ordered_json() : *found;
}

absl::Status ParamError(absl::string_view param, absl::string_view problem) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(param, " ", problem));
  status.SetPayload(kParamPayload, absl::Cord(param));
  return status;
}

std::string ParamOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kParamPayload);
  return payload ? std::string(*payload) : "";
}

absl::Status Within(const std::string& place, const absl::Status& status) {
  return ParamError(place, absl::StrCat("is wrong: ", status.message()));
}

std::string KindOf(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "an array";
    case json::value_t::string:
      return "a text";
    case json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    default:
      return absl::StrCat("the number ", value.dump());
  }
}

const json* JsonFields::Find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

absl::StatusOr<std::optional<bool>> JsonFields::Bool(const char* name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return WrongKind(name, "true or false", *value);
  return value->get<bool>();
}

absl::StatusOr<std::optional<float>> JsonFields::Number(const char* name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return WrongKind(name, "a number", *value);
  const auto number = value->get<double>();
  if (!(std::abs(number) <= std::numeric_limits<float>::max())) {
    return WrongKind(name, "a number of ordinary size", *value);
  }
  return static_cast<float>(number);
}

absl::StatusOr<std::optional<int64_t>> JsonFields::Whole(const char* name, int64_t least,
                                                         int64_t most) const {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) return WrongKind(name, "a whole number", *value);
  // Numbers above the signed range have a type of their own.
  const bool fits = !value->is_number_unsigned() ||
                    value->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!fits || value->get<int64_t>() < least || value->get<int64_t>() > most) {
    return ParamError(name, absl::StrCat("is ", value->dump(), "; ", least, " to ", most, " are allowed"));
  }
  return value->get<int64_t>();
}

absl::StatusOr<std::optional<std::string>> JsonFields::Text(const char* name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return WrongKind(name, "a text", *value);
  return value->get<std::string>();
}

absl::StatusOr<const json*> JsonFields::Object(const char* name) const {
  const json* value = Find(name);
  if (value != nullptr && !value->is_object()) return WrongKind(name, "an object", *value);
  return value;
}

absl::Status SetText(const JsonFields& fields, const char* name, std::string* to) {
  HEARTH_ASSIGN_OR_RETURN(std::optional<std::string> text, fields.Text(name));
  if (text) *to = *std::move(text);
  return absl::OkStatus();
}

}  // namespace hearth
