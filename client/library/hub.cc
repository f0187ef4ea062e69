#include "client/library/hub.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/library/bytes_text.h"
#include "client/library/prefix_digest.h"
#include "client/library/url.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/split_name.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr size_t kMostListed = 40;

// A model of the repository: one file, or the parts of one.
struct HubModel {
  std::string stem;                   // the path without ".gguf" and the part's number
  uint32_t parts = 1;                 // that there are to be
  std::map<uint32_t, HubFile> files;  // by part, from 1

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto& [part, file] : files) sum += file.bytes;
    return sum;
  }
};

std::string BaseName(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

// What accompanies models: pictures' projectors, statistics of weights.
bool IsModel(std::string_view path) {
  const std::string name = absl::AsciiStrToLower(BaseName(path));
  return absl::EndsWith(name, ".gguf") && !absl::StrContains(name, "mmproj") &&
         !absl::StrContains(name, "imatrix");
}

std::vector<HubModel> ModelsIn(const std::vector<HubFile>& files) {
  std::map<std::pair<std::string, uint32_t>, HubModel> models;
  for (const HubFile& file : files) {
    if (!absl::EndsWithIgnoreCase(file.path, ".gguf")) continue;
    const std::optional<SplitName> split = ParseSplitName(file.path);
    const std::string stem = split ? split->stem : file.path.substr(0, file.path.rfind('.'));
    HubModel& model = models[{stem, split ? split->parts : 0}];
    model.stem = stem;
    model.parts = split ? split->parts : 1;
    model.files.emplace(split ? split->part : 1, file);
  }
  std::vector<HubModel> found;
  for (auto& [key, model] : models) found.push_back(std::move(model));
  return found;
}

// Whether `quantisation` stands in `stem` as a whole: Q4_K is not in "m-Q4_K_M", nor Q4_XS in "m-IQ4_XS".
bool HasQuantisation(std::string_view stem, std::string_view quantisation) {
  const std::string text = absl::AsciiStrToUpper(AbslView(stem));
  const std::string wanted = absl::AsciiStrToUpper(AbslView(quantisation));
  for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) {
    const size_t end = at + wanted.size();
    const bool begins = at == 0 || !absl::ascii_isalnum(static_cast<unsigned char>(text[at - 1]));
    const bool ends = end == text.size() ||
                      (!absl::ascii_isalnum(static_cast<unsigned char>(text[end])) && text[end] != '_');
    if (begins && ends) return true;
  }
  return false;
}

// The models that `wanted` means, by the first way in which it means any.
std::vector<HubModel> Meant(const std::vector<HubModel>& models, const std::string& wanted) {
  const auto has_file = [&](const HubModel& model, auto matches) {
    return std::any_of(model.files.begin(), model.files.end(),
                       [&](const auto& part) { return matches(part.second.path); });
  };
  const auto is_path = [&](const HubModel& model) {
    return has_file(model, [&](const std::string& path) { return path == wanted; });
  };
  const auto is_name = [&](const HubModel& model) {
    return absl::EqualsIgnoreCase(BaseName(model.stem), wanted) ||
           has_file(model, [&](const std::string& path) {
             return absl::EqualsIgnoreCase(path, wanted) || absl::EqualsIgnoreCase(BaseName(path), wanted);
           });
  };
  const auto is_quantisation = [&](const HubModel& model) {
    return IsModel(model.files.begin()->second.path) && HasQuantisation(model.stem, wanted);
  };
  std::vector<HubModel> meant;
  const auto collect = [&](auto matches) {
    if (meant.empty()) std::copy_if(models.begin(), models.end(), std::back_inserter(meant), matches);
  };
  if (wanted.empty()) {
    collect([](const HubModel& model) { return IsModel(model.files.begin()->second.path); });
    return meant;
  }
  collect(is_path);
  collect(is_name);
  collect(is_quantisation);
  return meant;
}

std::string ListText(const std::vector<HubModel>& models) {
  std::vector<std::string> names;
  for (const HubModel& model : models) {
    if (names.size() == kMostListed) {
      names.push_back(absl::StrCat("and ", models.size() - kMostListed, " more"));
      break;
    }
    names.push_back(absl::StrCat(Printable(model.files.begin()->second.path, kMaxNameBytes), " (",
                                 model.parts > 1 ? absl::StrCat(model.parts, " files, ") : "",
                                 BytesText(model.bytes()), ")"));
  }
  return absl::StrJoin(names, ", ");
}

// One that ParseHubName takes.
std::string ExampleText(const HubName& name, const HubModel& model) {
  return absl::StrCat("`hearth pull hf:", name.repository, ":",
                      Printable(model.files.begin()->second.path, kMaxNameBytes), "`");
}

const nlohmann::json* Member(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string TextMember(const nlohmann::json& object, const char* name) {
  const nlohmann::json* member = Member(object, name);
  return member != nullptr && member->is_string() ? member->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<HubName> ParseHubName(std::string_view text) {
  HEARTH_RETURN_IF_ERROR(CheckPath("hf:", AbslView(text)));
  const size_t colon = text.find(':');
  HubName name{std::string(text.substr(0, colon)), ""};
  if (colon != std::string_view::npos) name.wanted = text.substr(colon + 1);
  const std::vector<std::string> parts = absl::StrSplit(name.repository, '/');
  const bool good = parts.size() == 2 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
                      return !part.empty() && part.front() != '.' &&
                             std::all_of(part.begin(), part.end(), [](unsigned char c) {
                               return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
                             });
                    });
  if (good && (colon == std::string_view::npos || !name.wanted.empty())) return name;
  return absl::InvalidArgumentError(
      absl::StrCat("\"hf:", Printable(AbslView(text), kMaxNameBytes),
                   "\" is no model of Hugging Face; it is written hf:USER/REPO, hf:USER/REPO:FILE.gguf or "
                   "hf:USER/REPO:Q4_K_M"));
}

std::string HubListUrl(std::string_view endpoint, std::string_view repository) {
  return absl::StrCat(AbslView(endpoint), "/api/models/", AbslView(repository), "/tree/main?recursive=true");
}

std::string HubFileUrl(std::string_view endpoint, std::string_view repository, std::string_view path) {
  return absl::StrCat(AbslView(endpoint), "/", AbslView(repository), "/resolve/main/", EscapedPath(path));
}

absl::StatusOr<std::vector<HubFile>> ParseHubList(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array())
    return absl::DataLossError("the hub's list of files is not the JSON that it should be");
  std::vector<HubFile> files;
  for (const nlohmann::json& entry : json) {
    if (!entry.is_object() || TextMember(entry, "type") != "file") continue;
    HubFile file{TextMember(entry, "path"), 0, ""};
    if (const nlohmann::json* lfs = Member(entry, "lfs"); lfs != nullptr && lfs->is_object()) {
      file.sha256 = absl::AsciiStrToLower(TextMember(*lfs, "oid"));
    }
    const nlohmann::json* bytes = Member(entry, "size");
    if (bytes == nullptr || !bytes->is_number_unsigned() ||
        (!file.sha256.empty() && !IsSha256(file.sha256))) {
      return absl::DataLossError(absl::StrCat("the hub's list of files says no sensible size or digest of \"",
                                              Printable(file.path, kMaxNameBytes), "\""));
    }
    file.bytes = bytes->get<uint64_t>();
    files.push_back(std::move(file));
  }
  return files;
}

std::optional<std::string> NextPageOf(std::string_view link) {
  for (const absl::string_view entry : absl::StrSplit(AbslView(link), ',')) {
    const size_t begin = entry.find('<'), end = entry.find('>');
    if (begin == absl::string_view::npos || end == absl::string_view::npos || end < begin) continue;
    if (absl::StrContains(entry.substr(end), "rel=\"next\""))
      return std::string(entry.substr(begin + 1, end - begin - 1));
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<HubFile>> ChooseHubFiles(const std::vector<HubFile>& files, const HubName& name) {
  const std::vector<HubModel> models = ModelsIn(files);
  if (models.empty()) {
    return absl::NotFoundError(
        absl::StrCat("hf:", name.repository, " has no GGUF file; look for a repository that has"));
  }
  const std::vector<HubModel> meant = Meant(models, name.wanted);
  if (meant.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "hf:", name.repository, " has no \"", Printable(name.wanted, kMaxNameBytes), "\"; type for example ",
        ExampleText(name, models.front()), "; there are: ", ListText(models)));
  }
  if (meant.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "hf:", name.repository, " has several models", name.wanted.empty() ? "" : " of that name",
        "; type for example ", ExampleText(name, meant.front()), "; there are: ", ListText(meant)));
  }
  const HubModel& model = meant.front();
  std::vector<HubFile> chosen;
  for (uint32_t part = 1; part <= model.parts; ++part) {
    const auto file = model.files.find(part);
    if (file == model.files.end()) {
      return absl::DataLossError(absl::StrCat(
          "hf:", name.repository, " lacks part ", part, " of ", model.parts, " of ",
          Printable(BaseName(model.stem), kMaxNameBytes), "; whoever keeps the repository has to add it"));
    }
    chosen.push_back(file->second);
  }
  return chosen;
}

}  // namespace hearth
