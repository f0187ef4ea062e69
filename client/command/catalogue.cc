#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/command/commands.h"
#include "client/command/proto_json.h"
#include "client/library/bytes_text.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

using Prospect = absl::StatusOr<v1::ExpectedPlan>;  // RESOURCE_EXHAUSTED: it does not fit

absl::StatusOr<v1::ModelFigures> FiguresOf(const CatalogueModel& model) {
  v1::ModelFigures figures;
  const auto read = google::protobuf::util::JsonStringToMessage(model.figures, &figures);
  if (read.ok()) return figures;
  return absl::InvalidArgumentError(absl::StrCat("the catalogue's figures of ", model.name, ": ",
                                                 Printable(read.message().ToString()),
                                                 "; mend the file that has them"));
}

// Nobody was there to ask, or the daemon is older than the call.
bool IsUnknown(const Prospect& prospect) {
  return !prospect.ok() && !absl::IsResourceExhausted(prospect.status());
}

std::string ProspectText(const Prospect& prospect) {
  if (IsUnknown(prospect))
    return absl::StrCat("not known whether it fits: ", Printable(prospect.status().message()));
  if (!prospect.ok()) return absl::StrCat("does not fit: ", Printable(prospect.status().message()));
  const double speed = prospect->tokens_per_second();
  std::string text = absl::StrFormat("fits your home at %.*f tok/s, expected", speed < 10 ? 1 : 0, speed);
  if (prospect->hosts_size() > 1) {
    std::vector<std::string> hosts;
    for (const std::string& host : prospect->hosts()) hosts.push_back(Printable(host));
    absl::StrAppend(&text, ", on ", absl::StrJoin(hosts, " and "));
  }
  if (prospect->others_give_way()) absl::StrAppend(&text, "; models that are loaded give way");
  return text;
}

// "4.6 GiB" where that is reckoned.
std::string SizeText(const CatalogueModel& model) {
  return model.computed_bytes == 0 ? "?" : BytesText(model.computed_bytes);
}

nlohmann::ordered_json ModelJson(const CatalogueModel& model, const Prospect& prospect) {
  nlohmann::ordered_json json = {
      {"name", model.name}, {"about", model.about}, {"source", model.source}, {"sha256", model.sha256}};
  json["computed_bytes"] = model.computed_bytes;
  json["figures"] = nlohmann::ordered_json::parse(model.figures);
  if (prospect.ok()) {
    json["expected"] = ToJson(*prospect);
  } else {
    json[IsUnknown(prospect) ? "unknown" : "missing"] = std::string(prospect.status().message());
  }
  return json;
}

absl::StatusOr<Prospect> AskFor(Client& client, const CatalogueModel& model) {
  HEARTH_ASSIGN_OR_RETURN(const v1::ModelFigures figures, FiguresOf(model));
  return client.Expect(figures);
}

}  // namespace

absl::Status RunCatalogue(Client& client, const std::vector<std::string>& paths, bool json) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<CatalogueModel> models, ReadCatalogues(paths));
  size_t width = 0;
  for (const CatalogueModel& model : models) width = std::max(width, model.name.size());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::optional<Prospect> nobody;  // is there to ask
  for (const CatalogueModel& model : models) {
    absl::StatusOr<Prospect> asked = nobody ? *nobody : AskFor(client, model);
    HEARTH_RETURN_IF_ERROR(asked.status());
    const Prospect& prospect = *asked;
    if (!nobody && IsUnknown(prospect)) {
      std::fprintf(stderr, "%s\n", Printable(prospect.status().message()).c_str());
      if (absl::IsUnavailable(prospect.status())) nobody = prospect;
    }
    if (json) {
      list.push_back(ModelJson(model, prospect));
      continue;
    }
    // In a list advice is left out: it stands behind what is the matter.
    std::string outlook = IsUnknown(prospect) ? model.about : ProspectText(prospect);
    if (!prospect.ok()) outlook.resize(std::min(outlook.size(), outlook.find("; ")));
    HEARTH_RETURN_IF_ERROR(Print(absl::StrFormat("%-*s  %10s  %s\n", static_cast<int>(width), model.name,
                                                 SizeText(model), Printable(outlook))));
  }
  return json ? Print(JsonLine({{"models", list}})) : absl::OkStatus();
}

absl::Status ShowCatalogueModel(Client& client, const std::vector<std::string>& paths,
                                const std::string& name, bool json) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<CatalogueModel> models, ReadCatalogues(paths));
  HEARTH_ASSIGN_OR_RETURN(const CatalogueModel model, FindInCatalogue(models, name));
  HEARTH_ASSIGN_OR_RETURN(const Prospect prospect, AskFor(client, model));
  if (json) return Print(JsonLine(ModelJson(model, prospect)));
  return Print(absl::StrCat(model.name, ": ", Printable(model.about), "\n", "source   ",
                            Printable(model.source), "\n", "weights  ", SizeText(model),
                            ", computed from its figures\n", "digest   ",
                            model.sha256.empty() ? "as the hub tells it" : model.sha256, "\n", "here     ",
                            ProspectText(prospect), "\n"));
}

absl::Status TakeFromCatalogue(Client& client, const std::vector<std::string>& paths, PullOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<CatalogueModel> models, ReadCatalogues(paths));
  HEARTH_ASSIGN_OR_RETURN(const CatalogueModel model, FindInCatalogue(models, options.source));
  HEARTH_ASSIGN_OR_RETURN(const Prospect prospect, AskFor(client, model));
  std::fprintf(stderr, "%s, %s: %s\n", model.name.c_str(), SizeText(model).c_str(),
               ProspectText(prospect).c_str());
  options.source = model.source;
  if (options.sha256.empty()) options.sha256 = model.sha256;
  return absl::OkStatus();
}

}  // namespace hearth
