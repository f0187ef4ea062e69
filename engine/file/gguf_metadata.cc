#include <cmath>
#include <concepts>
#include <iterator>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/file/gguf.h"

namespace hearth {
namespace {

using Value = GgufMetadata::Value;

const char* KindName(const Value& value) {
  // In the order of the variant's alternatives.
  static constexpr const char* kNames[] = {"a bool",
                                           "an unsigned integer",
                                           "an integer",
                                           "a float",
                                           "a string",
                                           "an array of bools",
                                           "an array of unsigned integers",
                                           "an array of integers",
                                           "an array of floats",
                                           "an array of floats",
                                           "an array of strings"};
  static_assert(std::size(kNames) == std::variant_size_v<Value>);
  return kNames[value.index()];
}

template <class T>
constexpr bool kIsVector = false;
template <class T>
constexpr bool kIsVector<std::vector<T>> = true;

// `from` as a To; nullopt where it does not fit. A bool counts as 0 or 1, a fraction is no integer.
template <class To, class From>
std::optional<To> ConvertNumber(From from) {
  if constexpr (std::same_as<From, bool>) {
    return static_cast<To>(from);
  } else if constexpr (std::floating_point<To>) {
    const double wide = static_cast<double>(from);
    if (std::isfinite(wide) && std::abs(wide) > std::numeric_limits<To>::max()) return std::nullopt;
    return static_cast<To>(from);
  } else if constexpr (std::integral<From>) {
    if (!std::in_range<To>(from)) return std::nullopt;
    return static_cast<To>(from);
  } else {
    return std::nullopt;
  }
}

template <class To>
std::optional<To> ConvertScalar(const Value& value) {
  return std::visit(
      [](const auto& held) -> std::optional<To> {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<Held>) {
          return ConvertNumber<To>(held);
        } else {
          return std::nullopt;
        }
      },
      value);
}

template <class To, class Held>
std::optional<std::vector<To>> ConvertElements(const std::vector<Held>& held) {
  std::vector<To> array;
  array.reserve(held.size());
  for (const Held element : held) {
    const std::optional<To> converted = ConvertNumber<To>(element);
    if (!converted) return std::nullopt;
    array.push_back(*converted);
  }
  return array;
}

template <class To>
std::optional<std::vector<To>> ConvertArray(const Value& value) {
  if (const std::optional<To> scalar = ConvertScalar<To>(value)) return std::vector<To>{*scalar};
  return std::visit(
      [](const auto& held) -> std::optional<std::vector<To>> {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (kIsVector<Held> && !std::same_as<Held, std::vector<std::string>>) {
          return ConvertElements<To>(held);
        } else {
          return std::nullopt;
        }
      },
      value);
}

std::optional<bool> ConvertBool(const Value& value) {
  const std::optional<uint64_t> number = ConvertScalar<uint64_t>(value);
  if (!number || *number > 1) return std::nullopt;
  return *number == 1;
}

std::optional<std::string> ConvertString(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

// Applies `convert` to the value of `key`; an error names the key and what was `wanted`.
template <class T>
absl::StatusOr<std::optional<T>> Get(const GgufMetadata& metadata, std::string_view key, const char* wanted,
                                     std::optional<T> (*convert)(const Value&)) {
  const Value* value = metadata.Find(key);
  if (value == nullptr) return std::optional<T>();
  std::optional<T> converted = convert(*value);
  if (!converted) {
    return absl::InvalidArgumentError(absl::StrCat("metadata key ", AbslView(key), " holds ",
                                                   KindName(*value), " that does not fit where ", wanted,
                                                   " is needed; convert the model again"));
  }
  return converted;
}

}  // namespace

bool GgufMetadata::Has(std::string_view key) const { return Find(key) != nullptr; }

const Value* GgufMetadata::Find(std::string_view key) const {
  const auto found = values_.find(AbslView(key));
  return found == values_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::optional<uint64_t>> GgufMetadata::GetUint(std::string_view key) const {
  return Get(*this, key, "an unsigned integer", &ConvertScalar<uint64_t>);
}

absl::StatusOr<std::optional<int64_t>> GgufMetadata::GetInt(std::string_view key) const {
  return Get(*this, key, "an integer", &ConvertScalar<int64_t>);
}

absl::StatusOr<std::optional<float>> GgufMetadata::GetFloat(std::string_view key) const {
  return Get(*this, key, "a float", &ConvertScalar<float>);
}

absl::StatusOr<std::optional<bool>> GgufMetadata::GetBool(std::string_view key) const {
  return Get(*this, key, "a bool", &ConvertBool);
}

absl::StatusOr<std::optional<std::string>> GgufMetadata::GetString(std::string_view key) const {
  return Get(*this, key, "a string", &ConvertString);
}

absl::StatusOr<std::optional<std::vector<uint64_t>>> GgufMetadata::GetUints(std::string_view key) const {
  return Get(*this, key, "an array of unsigned integers", &ConvertArray<uint64_t>);
}

absl::StatusOr<std::optional<std::vector<int64_t>>> GgufMetadata::GetInts(std::string_view key) const {
  return Get(*this, key, "an array of integers", &ConvertArray<int64_t>);
}

absl::StatusOr<std::optional<std::vector<float>>> GgufMetadata::GetFloats(std::string_view key) const {
  return Get(*this, key, "an array of floats", &ConvertArray<float>);
}

const std::vector<std::string>* GgufMetadata::FindStrings(std::string_view key) const {
  const Value* value = Find(key);
  return value == nullptr ? nullptr : std::get_if<std::vector<std::string>>(value);
}

void GgufMetadata::Set(std::string key, Value value) {
  if (!Has(key)) keys_.push_back(key);
  values_[std::move(key)] = std::move(value);
}

}  // namespace hearth
