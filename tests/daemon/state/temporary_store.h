#ifndef HEARTH_TESTS_DAEMON_STATE_TEMPORARY_STORE_H_
#define HEARTH_TESTS_DAEMON_STATE_TEMPORARY_STORE_H_

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/state/sqlite_store.h"
#include "gtest/gtest.h"

namespace hearth {

// A database that is removed at the end.
class TemporaryStore {
 public:
  TemporaryStore() { std::filesystem::create_directory(folder_); }
  ~TemporaryStore() { std::filesystem::remove_all(folder_); }

  const std::string& folder() const { return folder_; }
  std::string path() const { return folder_ + "/state.sqlite"; }
  std::unique_ptr<StateStore> Open(SqliteStoreOptions options = {}) const {
    auto store = OpenSqliteStore(path(), options);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

 private:
  static std::string NewFolder() {
    static std::atomic<int> count = 0;
    return absl::StrCat(testing::TempDir(), "/state_", getpid(), "_", ++count);
  }
  const std::string folder_ = NewFolder();
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_STATE_TEMPORARY_STORE_H_
