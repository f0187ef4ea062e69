#ifndef HEARTH_ENGINE_BASE_CHECKED_H_
#define HEARTH_ENGINE_BASE_CHECKED_H_

#include <concepts>
#include <optional>

namespace hearth {

// Arithmetic on sizes that come from files and wires: nullopt where the result does not fit T.
template <std::unsigned_integral T>
std::optional<T> CheckedMul(T a, T b) {
  T result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

template <std::unsigned_integral T>
std::optional<T> CheckedAdd(T a, T b) {
  T result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_CHECKED_H_
