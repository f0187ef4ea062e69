#include "client/library/catalogue.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/library/prefix_digest.h"
#include "engine/base/absl_view.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = 4 << 20;
constexpr size_t kMaxModels = 10000;

absl::Status Wrong(const std::string& model, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("model \"", Printable(model, kMaxNameBytes), "\": ", what));
}

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
         });
}

bool IsSource(std::string_view source) {
  return source.starts_with("hf:") || source.starts_with("https://") || source.starts_with("http://");
}

// A text of the entry; `wanted`: it must be there.
absl::StatusOr<std::string> TextOf(const nlohmann::json& entry, const char* key, bool wanted) {
  const auto found = entry.find(key);
  if (found != entry.end() && found->is_string()) return found->get<std::string>();
  if (found == entry.end() && !wanted) return "";
  return absl::InvalidArgumentError(absl::StrCat(key, " is ", found == entry.end() ? "missing" : "no text"));
}

absl::StatusOr<CatalogueModel> ParseModel(const nlohmann::json& entry) {
  CatalogueModel model;
  if (!entry.is_object()) return absl::InvalidArgumentError("an entry of \"models\" is no object");
  HEARTH_ASSIGN_OR_RETURN(model.name, TextOf(entry, "name", true));
  if (!IsName(model.name)) return Wrong(model.name, "its name has other signs than letters, digits, - . _");
  for (const auto& [key, text, wanted] :
       {std::tuple("about", &model.about, false), std::tuple("source", &model.source, true),
        std::tuple("sha256", &model.sha256, false)}) {
    absl::StatusOr<std::string> value = TextOf(entry, key, wanted);
    if (!value.ok()) return Wrong(model.name, value.status().message());
    *text = *std::move(value);
  }
  if (!IsSource(model.source)) return Wrong(model.name, "source is neither hf:USER/REPO:FILE nor a URL");
  if (!model.sha256.empty() && !IsSha256(model.sha256))
    return Wrong(model.name, "sha256 has other than 64 hexadecimal digits");
  if (const auto bytes = entry.find("computed_bytes"); bytes != entry.end()) {
    if (!bytes->is_number_unsigned()) return Wrong(model.name, "computed_bytes is no whole number");
    model.computed_bytes = bytes->get<uint64_t>();
  }
  const auto figures = entry.find("figures");
  if (figures == entry.end() || !figures->is_object()) return Wrong(model.name, "figures is no object");
  model.figures = figures->dump();
  for (const auto& [key, value] : entry.items()) {
    constexpr std::string_view kKeys[] = {"name", "about", "source", "sha256", "computed_bytes", "figures"};
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
      return Wrong(model.name,
                   absl::StrCat("\"", Printable(key, kMaxNameBytes), "\" is nothing that is known"));
  }
  return model;
}

// The files of a path, in the order in which they count.
absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector{path};
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path().string());
  }
  if (error) return absl::UnavailableError(absl::StrCat("cannot read ", path, ": ", error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

void Merge(std::vector<CatalogueModel> more, std::vector<CatalogueModel>& models) {
  for (CatalogueModel& model : more) {
    const auto same = std::find_if(models.begin(), models.end(),
                                   [&](const CatalogueModel& other) { return other.name == model.name; });
    if (same == models.end()) {
      models.push_back(std::move(model));
    } else {
      *same = std::move(model);
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<CatalogueModel>> ParseCatalogue(std::string_view json) {
  const nlohmann::json file = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded()) return absl::InvalidArgumentError("it is no JSON");
  if (!file.is_object() || !file.contains("models") || !file["models"].is_array())
    return absl::InvalidArgumentError("it has no list \"models\"");
  if (file["models"].size() > kMaxModels)
    return absl::InvalidArgumentError(absl::StrCat("it has more than ", kMaxModels, " models"));
  std::vector<CatalogueModel> models;
  for (const nlohmann::json& entry : file["models"]) {
    HEARTH_ASSIGN_OR_RETURN(CatalogueModel model, ParseModel(entry));
    models.push_back(std::move(model));
  }
  return models;
}

absl::StatusOr<std::vector<CatalogueModel>> ReadCatalogues(const std::vector<std::string>& paths) {
  std::vector<CatalogueModel> models;
  for (const std::string& path : paths) {
    HEARTH_ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(path));
    for (const std::string& file : files) {
      HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadInputFile(file, kMaxFileBytes));
      absl::StatusOr<std::vector<CatalogueModel>> more = ParseCatalogue(text);
      if (!more.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("the catalogue ", file, ": ", more.status().message(),
                                                       "; mend it, or take it away"));
      }
      Merge(*std::move(more), models);
    }
  }
  return models;
}

bool IsCatalogueName(std::string_view source) { return IsName(source); }

absl::StatusOr<CatalogueModel> FindInCatalogue(const std::vector<CatalogueModel>& models,
                                               std::string_view name) {
  for (const CatalogueModel& model : models) {
    if (model.name == name) return model;
  }
  return absl::NotFoundError(absl::StrCat("the catalogue has no model called \"",
                                          Printable(AbslView(name), kMaxNameBytes),
                                          "\"; `hearth models --catalogue` lists those it has"));
}

}  // namespace hearth
