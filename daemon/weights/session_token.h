#ifndef HEARTH_DAEMON_WEIGHTS_SESSION_TOKEN_H_
#define HEARTH_DAEMON_WEIGHTS_SESSION_TOKEN_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace hearth {

// What a worker's session is known by: drawn by the coordinator when the worker joins, shown by the worker
// when it fetches weights and by the coordinator when it opens a tensor connection.
inline constexpr size_t kSessionTokenBytes = 32;
using SessionToken = std::array<uint8_t, kSessionTokenBytes>;

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SESSION_TOKEN_H_
