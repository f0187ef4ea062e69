#ifndef HEARTH_DAEMON_WEIGHTS_FILE_HASH_H_
#define HEARTH_DAEMON_WEIGHTS_FILE_HASH_H_

#include <cstdint>

#include "engine/base/sha256.h"

namespace hearth {

// Adds a file of exactly `bytes` bytes, read in pieces from where the descriptor stands. False when it cannot
// be read or has another size.
bool HashFile(int fd, uint64_t bytes, Sha256& sha);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_FILE_HASH_H_
