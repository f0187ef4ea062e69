#ifndef HEARTH_ENGINE_BASE_SYSTEM_FILES_H_
#define HEARTH_ENGINE_BASE_SYSTEM_FILES_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth {

// The small files in which a system tells of itself, such as those of /proc and /sys. `root` stands before
// all paths: "" but for tests. What cannot be read is empty. Thread-safe.
class SystemFiles {
 public:
  explicit SystemFiles(std::string root = "") : root_(std::move(root)) {}

  // At most the first megabyte.
  std::string Text(const std::string& path) const;
  // The first word.
  std::string Word(const std::string& path) const;
  // What follows "name:" or "name " at a line's beginning, without blanks around it.
  std::string Named(const std::string& path, std::string_view name) const;
  // The names in a directory, in their order, those that begin so.
  std::vector<std::string> Names(const std::string& directory, std::string_view prefix = "") const;
  bool Exists(const std::string& path) const;
  // The last name in the path that a symbolic link leads to.
  std::string LinkedName(const std::string& path) const;

  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_SYSTEM_FILES_H_
