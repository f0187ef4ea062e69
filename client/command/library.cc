#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/command/commands.h"
#include "client/command/proto_json.h"
#include "client/library/bytes_text.h"
#include "client/library/local_models.h"
#include "engine/base/printable.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

nlohmann::ordered_json ModelJson(const LocalModel& model) {
  return {{"name", model.name},
          {"source", model.source},
          {"path", model.path},
          {"bytes", model.bytes},
          {"files", model.files},
          {"missing_parts", model.missing_parts},
          {"unfinished", model.unfinished}};
}

std::string RemarkOn(const LocalModel& model) {
  std::string remark;
  if (model.files.size() > 1) absl::StrAppend(&remark, "  ", model.files.size(), " files");
  if (model.unfinished) absl::StrAppend(&remark, "  unfinished");
  if (!model.missing_parts.empty())
    absl::StrAppend(&remark, "  missing: part ", absl::StrJoin(model.missing_parts, ", "));
  return Printable(remark, kMaxNameBytes);
}

std::string ModelsTable(const std::vector<LocalModel>& models) {
  size_t width = 0;
  for (const LocalModel& model : models) width = std::max(width, model.name.size());
  std::string text;
  for (const LocalModel& model : models) {
    absl::StrAppendFormat(&text, "%-*s  %10s  %s%s\n", static_cast<int>(width), Printable(model.name),
                          BytesText(model.bytes), Printable(model.path, kMaxPathBytes), RemarkOn(model));
  }
  return text;
}

}  // namespace

absl::Status RunLocalModels(const LibraryFolders& folders, bool json) {
  const std::vector<LocalModel> models = ListLocalModels(folders);
  if (json) {
    nlohmann::ordered_json list = {{"models_directory", folders.models},
                                   {"models", nlohmann::ordered_json::array()}};
    for (const LocalModel& model : models) list["models"].push_back(ModelJson(model));
    return Print(JsonLine(list));
  }
  if (models.empty()) {
    std::fprintf(stderr, "There is no model yet in %s; fetch one with `hearth pull`.\n",
                 Printable(folders.models).c_str());
  }
  return Print(ModelsTable(models));
}

absl::Status ShowLocalModel(const LibraryFolders& folders, const std::string& name, bool json) {
  for (const LocalModel& model : ListLocalModels(folders)) {
    if (model.name != name) continue;
    if (json) return Print(JsonLine(ModelJson(model)));
    return Print(absl::StrCat(Printable(model.name), ": ", BytesText(model.bytes), RemarkOn(model), "\n",
                              "file     ", Printable(model.path, kMaxPathBytes), "\n", "from     ",
                              model.source, "\n"));
  }
  return absl::NotFoundError(absl::StrCat("there is no local model \"", Printable(name), "\""));
}

absl::Status RunRemoveModel(const LibraryFolders& folders, const std::string& name, bool json) {
  const absl::StatusOr<LocalModel> removed = RemoveLocalModel(folders, name);
  if (!removed.ok()) return removed.status();
  if (json) return Print(JsonLine(ModelJson(*removed)));
  return Print(absl::StrCat("removed ", removed->name, ": ", BytesText(removed->bytes), " freed\n"));
}

}  // namespace hearth
