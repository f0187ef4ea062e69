#include "daemon/remembered_models.h"

#include <spdlog/spdlog.h>

#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;

absl::StatusOr<std::map<std::string, std::string>> ReadPaths(const std::string& file) {
  std::map<std::string, std::string> paths;
  const absl::StatusOr<std::string> text = ReadInputFile(file, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) return paths;
  HEARTH_RETURN_IF_ERROR(text.status());
  std::istringstream lines(*text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const size_t tab = line.find('\t');
    const std::string name = line.substr(0, tab);
    const std::string path = tab == std::string::npos ? "" : line.substr(tab + 1);
    if (!CheckName("name", name).ok() || !CheckPath("path", path).ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ":", number, ": is no name and path of a model; mend the line or remove the file"));
    }
    paths[name] = path;
  }
  return paths;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RememberedModels>> RememberedModels::Open(ModelHost& host,
                                                                         const std::string& file) {
  HEARTH_ASSIGN_OR_RETURN(auto paths, ReadPaths(file));
  auto models = std::unique_ptr<RememberedModels>(new RememberedModels(host, file));
  MutexLock lock(&models->mutex_);
  models->paths_ = std::move(paths);
  lock.Unlock();
  return models;
}

void RememberedModels::LoadAll() {
  MutexLock lock(&mutex_);
  for (const auto& [name, path] : paths_) {
    const absl::Status status = host_.Load(name, path).status();
    if (status.ok() || absl::IsAlreadyExists(status)) continue;
    spdlog::warn("model {}, which was loaded before, is not loaded again: {}", name,
                 std::string(status.message()));
  }
}

absl::StatusOr<std::string> RememberedModels::Load(const std::string& name, const std::string& path) {
  MutexLock lock(&mutex_);
  HEARTH_ASSIGN_OR_RETURN(std::string given, host_.Load(name, path));
  paths_[given] = path;
  Save();
  return given;
}

absl::Status RememberedModels::Unload(const std::string& name) {
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(host_.Unload(name));
  if (paths_.erase(name) > 0) Save();
  return absl::OkStatus();
}

void RememberedModels::Save() const {
  std::string text;
  for (const auto& [name, path] : paths_) absl::StrAppend(&text, name, "\t", path, "\n");
  const absl::Status status = WriteFile(file_, text, Replace::kRegularFile, 0600);
  if (!status.ok()) spdlog::warn("models are not remembered: {}", std::string(status.message()));
}

}  // namespace hearth
