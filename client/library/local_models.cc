#include "client/library/local_models.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/library/prefix_digest.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/split_name.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFiles = 100'000;  // that are looked at in a folder and those below it
constexpr uint64_t kMostManifestBytes = 1 << 20;
constexpr char kPart[] = ".part";
constexpr char kHowToList[] = "; `hearth models --local` lists those there are";

std::string FirstOf(const std::string& value, const std::string& otherwise) {
  return value.empty() ? otherwise : value;
}

// Regular files in `folder` (and below it), whose names can be shown.
std::vector<FoundFile> FilesIn(const std::string& folder, bool below) {
  std::vector<FoundFile> files;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (size_t seen = 0; !error && at != fs::recursive_directory_iterator() && seen < kMostFiles;
       at.increment(error), ++seen) {
    if (!below) at.disable_recursion_pending();
    std::error_code unreadable;
    const std::string path = at->path().string();
    if (!at->is_regular_file(unreadable) || !CheckPath("path", path).ok()) continue;
    const uint64_t bytes = at->file_size(unreadable);
    if (!unreadable) files.push_back({path, bytes});
  }
  return files;
}

std::vector<LocalModel> ModelsDirectory(const std::string& folder) {
  return GroupFiles(FilesIn(folder, false), "models");
}

// hub/models--USER--REPO/snapshots/REVISION/FILE, links to blobs: a file that several revisions have is
// listed once.
std::vector<LocalModel> HubCache(const std::string& folder) {
  std::set<std::string> seen;
  std::vector<FoundFile> files;
  for (const FoundFile& file : FilesIn(folder, true)) {
    std::error_code error;
    if (!absl::StrContains(file.path, "/snapshots/")) continue;
    if (seen.insert(fs::canonical(file.path, error).string()).second && !error) files.push_back(file);
  }
  return GroupFiles(files, "huggingface");
}

// manifests/REGISTRY/NAMESPACE/MODEL/TAG, each a JSON that names blobs.
std::vector<LocalModel> OllamaModels(const std::string& folder) {
  std::vector<LocalModel> models;
  for (const FoundFile& file : FilesIn(folder + "/manifests", true)) {
    const absl::StatusOr<std::string> manifest = ReadInputFile(file.path, kMostManifestBytes);
    const std::optional<std::string> blob = manifest.ok() ? OllamaBlobOf(*manifest) : std::nullopt;
    if (!blob) continue;
    const fs::path path = fs::path(folder) / "blobs" / *blob;
    std::error_code error;
    const uint64_t bytes = fs::file_size(path, error);
    if (error) continue;
    const fs::path named = file.path;
    const std::string owner = named.parent_path().parent_path().filename();
    LocalModel& model = models.emplace_back();
    model.name = absl::StrCat(owner == "library" ? "" : owner + "/", named.parent_path().filename().string(),
                              ":", named.filename().string());
    model.source = "ollama";
    model.path = path;
    model.bytes = bytes;
    model.files = {path};
  }
  std::sort(models.begin(), models.end(),
            [](const LocalModel& a, const LocalModel& b) { return a.name < b.name; });
  return models;
}

// Whether `wanted` is the model's name, or that of its first file.
bool IsCalled(const LocalModel& model, const std::string& wanted) {
  return model.name == wanted || fs::path(model.path).filename() == wanted;
}

// Why a model cannot be loaded as it is.
std::string LackOf(const LocalModel& model) {
  if (model.missing_parts.empty()) return "has not come completely; go on with the same `hearth pull`";
  std::vector<std::string> parts;
  for (const uint32_t part : model.missing_parts) parts.push_back(absl::StrCat(part));
  return absl::StrCat("lacks part ", NameList(parts), "; fetch it into the same folder");
}

// Removes a file, unless somebody is fetching it.
absl::Status RemoveFile(const std::string& path) {
  if (absl::EndsWith(path, kPart)) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const bool fetched = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0) close(fd);
    if (fetched) return absl::UnavailableError(absl::StrCat(path, " is being fetched; stop that first"));
  }
  if (unlink(path.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot remove ", path));
}

}  // namespace

LibraryFolders FoldersOf(const std::function<std::string(const char*)>& variable,
                         const std::string& service_models) {
  const std::string home = variable("HOME");
  const std::string data = FirstOf(variable("XDG_DATA_HOME"), home + "/.local/share");
  const std::string cache = FirstOf(variable("XDG_CACHE_HOME"), home + "/.cache");
  const std::string hub_home = FirstOf(variable("HF_HOME"), cache + "/huggingface");
  return {.models = FirstOf(variable("HEARTH_MODELS"), FirstOf(service_models, data + "/hearth/models")),
          .hub_cache = FirstOf(variable("HF_HUB_CACHE"), hub_home + "/hub"),
          .ollama = FirstOf(variable("OLLAMA_MODELS"), home + "/.ollama/models")};
}

std::vector<LocalModel> GroupFiles(const std::vector<FoundFile>& files, std::string_view source) {
  struct Group {
    LocalModel model;
    uint32_t parts = 1;
    std::map<uint32_t, std::string> paths;  // by part; of files that are whole
  };
  std::map<std::string, Group> groups;
  for (const FoundFile& file : files) {
    const std::string path(absl::StripSuffix(file.path, kPart));
    if (!absl::EndsWithIgnoreCase(path, ".gguf")) continue;
    const std::optional<SplitName> split = ParseSplitName(path);
    Group& group = groups[split ? split->Of(1) : path];
    group.parts = split ? split->parts : 1;
    group.model.name = NameOfModelFile(path);
    group.model.bytes += file.bytes;
    group.model.files.push_back(file.path);
    if (path == file.path) group.paths.emplace(split ? split->part : 1, path);
    group.model.unfinished |= path != file.path;
  }
  std::vector<LocalModel> models;
  for (auto& [path, group] : groups) {
    for (uint32_t part = 1; part <= group.parts && group.parts > 1; ++part) {
      if (!group.paths.contains(part)) group.model.missing_parts.push_back(part);
    }
    group.model.path = group.paths.empty() ? path : group.paths.begin()->second;
    group.model.source = source;
    models.push_back(std::move(group.model));
  }
  return models;
}

std::optional<std::string> OllamaBlobOf(std::string_view manifest) {
  const nlohmann::json json = nlohmann::json::parse(manifest, nullptr, /*allow_exceptions=*/false);
  const auto layers = json.is_object() ? json.find("layers") : json.end();
  if (!json.is_object() || layers == json.end() || !layers->is_array()) return std::nullopt;
  for (const nlohmann::json& layer : *layers) {
    if (!layer.is_object() ||
        layer.value("mediaType", nlohmann::json()) != "application/vnd.ollama.image.model")
      continue;
    const nlohmann::json digest = layer.value("digest", nlohmann::json());
    if (!digest.is_string()) continue;
    const auto& text = digest.get_ref<const std::string&>();
    if (text.starts_with("sha256:") && IsSha256(text.substr(7))) return "sha256-" + text.substr(7);
  }
  return std::nullopt;
}

std::vector<LocalModel> ListLocalModels(const LibraryFolders& folders) {
  std::vector<LocalModel> models = ModelsDirectory(folders.models);
  for (auto& found : {HubCache(folders.hub_cache), OllamaModels(folders.ollama)}) {
    models.insert(models.end(), found.begin(), found.end());
  }
  return models;
}

absl::StatusOr<LocalModel> FindLocalModel(const LibraryFolders& folders, const std::string& name) {
  std::vector<LocalModel> found;
  for (LocalModel& model : ListLocalModels(folders)) {
    // One of the models directory goes before those of others.
    if (!IsCalled(model, name) || (!found.empty() && model.source != found.front().source)) continue;
    found.push_back(std::move(model));
  }
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no file and no local model \"",
                                            Printable(name, kMaxNameBytes), "\"", kHowToList));
  }
  if (found.size() > 1) {
    std::vector<std::string> paths;
    for (const LocalModel& model : found) paths.push_back(model.path);
    return absl::InvalidArgumentError(
        absl::StrCat("several local models are called ", name, "; give the path of one: ", NameList(paths)));
  }
  if (!found.front().whole()) return absl::NotFoundError(absl::StrCat(name, " ", LackOf(found.front())));
  return found.front();
}

absl::StatusOr<LocalModel> RemoveLocalModel(const LibraryFolders& folders, const std::string& name) {
  HEARTH_RETURN_IF_ERROR(CheckName("the model", name));
  if (absl::StrContains(name, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is a path; only models of ",
                                                   folders.models, " are removed, by their names",
                                                   kHowToList));
  }
  for (const LocalModel& model : ModelsDirectory(folders.models)) {
    if (!IsCalled(model, name)) continue;
    for (const std::string& file : model.files) HEARTH_RETURN_IF_ERROR(RemoveFile(file));
    return model;
  }
  return absl::NotFoundError(
      absl::StrCat("there is no model \"", name, "\" in ", folders.models, kHowToList));
}

}  // namespace hearth
