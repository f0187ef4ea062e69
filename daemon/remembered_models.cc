#include "daemon/remembered_models.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <map>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/input_file.h"
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

void WarnUnlessRemembered(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("models are not remembered: {}", Printable(status.message()));
}

absl::Status LoadAgain(ModelHost& host, const std::string& name, const KeptModel& model) {
  ModelSource source{.name = name, .path = model.path, .draft = model.draft};
  if (!model.objective.empty()) {
    HEARTH_ASSIGN_OR_RETURN(source.objective, placement::ParseObjective(model.objective));
  }
  for (const std::string& adapter : model.adapters) {
    HEARTH_ASSIGN_OR_RETURN(source.adapters.emplace_back(), ParseAdapterSource(adapter));
  }
  return host.Load(source).status();
}

// Takes over what an earlier version has remembered.
absl::Status TakeOver(const std::string& file, StateStore& store) {
  HEARTH_ASSIGN_OR_RETURN(const auto paths, ReadPaths(file));
  for (const auto& [name, path] : paths) {
    if (const absl::Status status = store.PutModel(name, {path}); !status.ok()) {
      WarnUnlessRemembered(status);
      return absl::OkStatus();  // the file stays, for the next time
    }
  }
  unlink(file.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RememberedModels>> RememberedModels::Open(ModelHost& host, StateStore& store,
                                                                         const std::string& former_file) {
  HEARTH_RETURN_IF_ERROR(TakeOver(former_file, store));
  return std::unique_ptr<RememberedModels>(new RememberedModels(host, store));
}

void RememberedModels::LoadAll() {
  MutexLock lock(&mutex_);
  const auto models = store_.Models();
  if (!models.ok()) return WarnUnlessRemembered(models.status());
  for (const auto& [name, model] : *models) {
    const absl::Status status = LoadAgain(host_, name, model);
    if (status.ok() || absl::IsAlreadyExists(status)) continue;
    spdlog::warn("model {}, which was loaded before, is not loaded again: {}", name,
                 std::string(status.message()));
  }
}

absl::StatusOr<std::string> RememberedModels::Load(const ModelSource& source) {
  MutexLock lock(&mutex_);
  HEARTH_ASSIGN_OR_RETURN(std::string given, host_.Load(source));
  KeptModel model{source.path, source.objective ? placement::ObjectiveText(*source.objective) : "",
                  source.draft};
  for (const AdapterSource& adapter : source.adapters) model.adapters.push_back(AdapterText(adapter));
  WarnUnlessRemembered(store_.PutModel(given, model));
  return given;
}

absl::Status RememberedModels::Unload(const std::string& name) {
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(host_.Unload(name));
  WarnUnlessRemembered(store_.RemoveModel(name));
  return absl::OkStatus();
}

}  // namespace hearth
