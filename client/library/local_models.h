#ifndef HEARTH_CLIENT_LIBRARY_LOCAL_MODELS_H_
#define HEARTH_CLIENT_LIBRARY_LOCAL_MODELS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hearth {

// Models on this machine's disk: those of the models directory, and those that Hugging Face's and Ollama's
// programs have fetched, which are used where they lie.

struct LibraryFolders {
  std::string models;
  std::string hub_cache;
  std::string ollama;
};
// `variable`: the value of a variable of the environment, empty where there is none. `service_models`: the
// models directory of the service, which root takes where it exists; empty: it does not.
LibraryFolders FoldersOf(const std::function<std::string(const char*)>& variable,
                         const std::string& service_models);

struct LocalModel {
  std::string name;                     // as `hearth load` takes it
  std::string source;                   // "models", "huggingface" or "ollama"
  std::string path;                     // of its first file
  uint64_t bytes = 0;                   // of all of them
  std::vector<uint32_t> missing_parts;  // from 1
  bool unfinished = false;              // some of it is still to be fetched (NAME.part)
  std::vector<std::string> files;

  bool whole() const { return missing_parts.empty() && !unfinished; }
};

struct FoundFile {
  std::string path;
  uint64_t bytes = 0;
};
// The models that these files of one folder are, by name: parts of one together, NAME.part with NAME. Pure.
std::vector<LocalModel> GroupFiles(const std::vector<FoundFile>& files, std::string_view source);

// The name of the blob that has the model's weights, "sha256-HEX", of one of Ollama's manifests; nullopt
// where there is none. Pure.
std::optional<std::string> OllamaBlobOf(std::string_view manifest);

// All of them, those of the models directory first; what cannot be read is left out.
std::vector<LocalModel> ListLocalModels(const LibraryFolders& folders);

// The whole model of that name, or of the file's name. NOT_FOUND, also for one that is not whole;
// INVALID_ARGUMENT where several have it, with their paths.
absl::StatusOr<LocalModel> FindLocalModel(const LibraryFolders& folders, const std::string& name);

// Removes the files of the model from the models directory, also of one that is not whole, and tells what it
// was. NOT_FOUND; INVALID_ARGUMENT for a path; UNAVAILABLE while it is being fetched.
absl::StatusOr<LocalModel> RemoveLocalModel(const LibraryFolders& folders, const std::string& name);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_LOCAL_MODELS_H_
