#ifndef HEARTH_TESTS_DAEMON_IDENTITY_TEMPORARY_STATE_H_
#define HEARTH_TESTS_DAEMON_IDENTITY_TEMPORARY_STATE_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace hearth {

// A state directory that is removed at the end.
class TemporaryState {
 public:
  TemporaryState() : path_(::testing::TempDir() + "/identity-XXXXXX") { mkdtemp(path_.data()); }
  ~TemporaryState() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_IDENTITY_TEMPORARY_STATE_H_
