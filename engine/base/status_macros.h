#ifndef HEARTH_ENGINE_BASE_STATUS_MACROS_H_
#define HEARTH_ENGINE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the current function when `expression` (an absl::Status) is not OK.
#define HEARTH_RETURN_IF_ERROR(expression)                                  \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define HEARTH_STATUS_CONCAT_INNER_(a, b) a##b
#define HEARTH_STATUS_CONCAT_(a, b) HEARTH_STATUS_CONCAT_INNER_(a, b)

// HEARTH_ASSIGN_OR_RETURN(auto value, F()): F's value, or a return with F's error.
#define HEARTH_ASSIGN_OR_RETURN(declaration, expression) \
  HEARTH_ASSIGN_OR_RETURN_INNER_(HEARTH_STATUS_CONCAT_(status_or_, __LINE__), declaration, expression)
#define HEARTH_ASSIGN_OR_RETURN_INNER_(temporary, declaration, expression) \
  auto temporary = (expression);                                           \
  if (!temporary.ok()) return std::move(temporary).status();               \
  declaration = *std::move(temporary)

#endif  // HEARTH_ENGINE_BASE_STATUS_MACROS_H_
