#ifndef HEARTH_DAEMON_HTTP_JSON_INPUT_H_
#define HEARTH_DAEMON_HTTP_JSON_INPUT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hearth {

// The body of a request: a JSON object in UTF-8, at most kMaxJsonDepth objects and arrays within one another,
// no key twice in an object, every number finite. INVALID_ARGUMENT says what is wrong and where.
inline constexpr int kMaxJsonDepth = 64;
absl::StatusOr<nlohmann::json> ParseJsonObject(const std::string& text);

// One field of such a body with the keys of its objects as they stand in the text; null where it is absent.
// `text` is one that ParseJsonObject took. INVALID_ARGUMENT where the field has more than kMaxOrderedKeys.
inline constexpr size_t kMaxOrderedKeys = 10'000;
absl::StatusOr<nlohmann::ordered_json> ParseFieldInOrder(const std::string& text, const std::string& field);

// INVALID_ARGUMENT "PARAM PROBLEM" that remembers which parameter of a request is meant.
absl::Status ParamError(absl::string_view param, absl::string_view problem);
// The parameter that the status remembers; empty for none.
std::string ParamOf(const absl::Status& status);

// As `status`, of a field within `place`: "messages[2] is wrong: role must be a text, not null".
absl::Status Within(const std::string& place, const absl::Status& status);

// "text", "a number", ...: what a value is, in an error's words.
std::string KindOf(const nlohmann::json& value);

// The fields of an object by name, each with the type that it has to have. A field that is null counts as
// absent, fields that nobody asks for are ignored. Errors are ParamErrors.
class JsonFields {
 public:
  // `object` outlives this.
  explicit JsonFields(const nlohmann::json& object) : object_(object) {}

  // The value as it is; null where absent.
  const nlohmann::json* Find(const char* name) const;
  absl::StatusOr<std::optional<bool>> Bool(const char* name) const;
  absl::StatusOr<std::optional<float>> Number(const char* name) const;
  // A whole number from `least` to `most`.
  absl::StatusOr<std::optional<int64_t>> Whole(const char* name, int64_t least, int64_t most) const;
  absl::StatusOr<std::optional<std::string>> Text(const char* name) const;
  // The object of this name.
  absl::StatusOr<const nlohmann::json*> Object(const char* name) const;

 private:
  const nlohmann::json& object_;
};

// Sets the text where the field is there.
absl::Status SetText(const JsonFields& fields, const char* name, std::string* to);

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_JSON_INPUT_H_
