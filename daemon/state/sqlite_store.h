#ifndef HEARTH_DAEMON_STATE_SQLITE_STORE_H_
#define HEARTH_DAEMON_STATE_SQLITE_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/state/state_store.h"

namespace hearth {

struct SqliteStoreOptions {
  int64_t max_bytes = int64_t{256} << 20;  // of the file
  size_t max_requests = 1024;              // that are read
};

// Opens the database `path` (SQLite, write-ahead log), or makes it, readable by its owner alone; the caller
// is the only one who has it open. What was written and not yet flushed to the disk is lost with the
// machine's power, and with nothing less. What is removed is overwritten. FAILED_PRECONDITION for a file that
// is damaged, of another program or of a newer Hearth; PERMISSION_DENIED, RESOURCE_EXHAUSTED for what the
// disk says.
absl::StatusOr<std::unique_ptr<StateStore>> OpenSqliteStore(const std::string& path,
                                                            SqliteStoreOptions options = {});

}  // namespace hearth

#endif  // HEARTH_DAEMON_STATE_SQLITE_STORE_H_
