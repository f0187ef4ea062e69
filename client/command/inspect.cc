#include <cstdio>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/interrupt.h"
#include "client/command/proto_json.h"

namespace hearth {
namespace {

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// The cluster and its models as one object.
std::string StatusJson(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models) {
  nlohmann::ordered_json json = ToJson(cluster);
  json["models"] = ToJson(models).at("models");
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// Hosts that hold neurons in plans in use, of all plans or of the model's.
size_t SharingHosts(const v1::ClusterStatus& cluster, const std::string& model) {
  std::set<std::string> hosts;
  for (const v1::PlanStatus& plan : cluster.plans()) {
    if (!plan.active() || (!model.empty() && plan.model() != model)) continue;
    for (const v1::DeviceShare& share : plan.shares()) {
      if (share.weight_bytes() > 0) hosts.insert(share.host());
    }
  }
  return hosts.size();
}

// What is missing until the cluster is as wanted; empty when nothing is.
std::string Missing(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models,
                    const WaitOptions& options) {
  uint32_t alive = 0;
  for (const v1::HostStatus& host : cluster.hosts()) alive += host.state() == v1::HOST_STATE_ALIVE;
  if (alive < options.hosts) return absl::StrCat(alive, " of ", options.hosts, " hosts are alive");
  bool found = false;
  for (const v1::ModelStatus& model : models.models()) {
    if (!options.model.empty() && model.name() != options.model) continue;
    found = true;
    if (model.state() != v1::MODEL_STATE_READY)
      return absl::StrCat("a model is not ready: ", ModelLine(model));
  }
  if (!found)
    return options.model.empty() ? "no model is loaded" : absl::StrCat("there is no model ", options.model);
  if (options.sharing && SharingHosts(cluster, options.model) < *options.sharing) {
    return absl::StrCat(SharingHosts(cluster, options.model), " of ", *options.sharing,
                        " hosts share the model");
  }
  return "";
}

}  // namespace

absl::Status RunStatus(Client& client, bool watch, bool json) {
  absl::Status failure;
  const auto show = [&](const v1::ClusterStatus& cluster) {
    const auto models = client.ListModels();
    if (!models.ok()) {
      failure = models.status();
      return false;
    }
    Print(json ? StatusJson(cluster, *models) : StatusText(cluster, *models) + (watch ? "\n" : ""));
    return true;
  };
  if (watch) {
    const absl::Status status = client.WatchCluster(show);
    return failure.ok() ? status : failure;
  }
  const auto cluster = client.GetCluster();
  if (!cluster.ok()) return cluster.status();
  show(*cluster);
  return failure;
}

absl::Status RunPlan(Client& client, const std::string& model, bool json) {
  const auto plan = client.GetPlan(model);
  if (!plan.ok()) return plan.status();
  Print(json ? ToJsonLine(*plan) + "\n" : PlanText(*plan));
  return absl::OkStatus();
}

absl::Status RunModels(Client& client, bool json) {
  const auto models = client.ListModels();
  if (!models.ok()) return models.status();
  if (json) {
    Print(ToJsonLine(*models) + "\n");
    return absl::OkStatus();
  }
  if (models->models_size() == 0)
    std::fprintf(stderr, "No model is loaded; load one with `hearth load FILE.gguf`.\n");
  for (const v1::ModelStatus& model : models->models()) Print(ModelLine(model) + "\n");
  return absl::OkStatus();
}

absl::Status RunWait(Client& client, const WaitOptions& options) {
  std::string missing = "the daemon has not answered";
  absl::Status failure;
  const absl::Status status = client.WatchCluster(
      [&](const v1::ClusterStatus& cluster) {
        const auto models = client.ListModels();
        failure = models.status();
        if (!models.ok()) return false;
        missing = Missing(cluster, *models, options);
        if (!missing.empty()) return true;
        if (options.json) Print(StatusJson(cluster, *models));
        return false;
      },
      options.timeout);
  if (!failure.ok()) return failure;
  if (absl::IsDeadlineExceeded(status)) {
    return absl::DeadlineExceededError(absl::StrCat("waited in vain: ", missing));
  }
  return status;
}

}  // namespace hearth
