#ifndef HEARTH_ENGINE_BASE_CHECK_H_
#define HEARTH_ENGINE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

// Aborts with file and line where one of our own assumptions is wrong. Never for what a file, a peer or a
// client can cause: that is an absl::Status.
#define HEARTH_CHECK(condition)                                                          \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

#endif  // HEARTH_ENGINE_BASE_CHECK_H_
