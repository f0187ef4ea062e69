#include <cstdio>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/plan_picture.h"
#include "client/command/proto_json.h"
#include "client/command/status_text.h"
#include "client/command/timeline_picture.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

// The cluster and its models as one object.
std::string StatusJson(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models) {
  nlohmann::ordered_json json = ToJson(cluster);
  json["models"] = ToJson(models).at("models");
  for (nlohmann::ordered_json& model : json["models"]) {
    const v1::PlanStatus* plan = PlanOf(cluster, model.at("name").get<std::string>());
    if (plan == nullptr) continue;
    model["predicted_token_us"] = plan->expected_token_ms() * 1e3;
    model["measured_token_us"] = plan->measured_token_ms() * 1e3;
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

uint32_t AliveHosts(const v1::ClusterStatus& cluster) {
  uint32_t alive = 0;
  for (const v1::HostStatus& host : cluster.hosts()) alive += host.state() == v1::HOST_STATE_ALIVE;
  return alive;
}

// Hosts that hold a part of the model in the plan in use.
uint32_t SharingHosts(const v1::ClusterStatus& cluster, const std::string& model) {
  std::set<std::string> hosts;
  for (const v1::PlanStatus& plan : cluster.plans()) {
    if (!plan.active() || plan.model() != model) continue;
    for (const v1::DeviceShare& share : plan.shares()) {
      if (share.weight_bytes() > 0) hosts.insert(share.host());
    }
  }
  return static_cast<uint32_t>(hosts.size());
}

// What is missing until the cluster is as wanted; empty when nothing is.
std::string Missing(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models,
                    const StatusOptions& options) {
  if (const uint32_t alive = AliveHosts(cluster); alive < options.wait_alive) {
    return absl::StrCat(alive, " of ", options.wait_alive, " hosts are alive");
  }
  if (options.wait_hosts == 0) return "";
  if (models.models_size() == 0) return "no model is loaded";
  for (const v1::ModelStatus& model : models.models()) {
    if (model.state() != v1::MODEL_STATE_READY)
      return absl::StrCat("a model is not ready: ", ModelLine(model));
    if (const uint32_t sharing = SharingHosts(cluster, model.name()); sharing < options.wait_hosts) {
      return absl::StrCat(sharing, " of ", options.wait_hosts, " hosts hold a part of ", model.name());
    }
  }
  return "";
}

absl::Status Wait(Client& client, const StatusOptions& options) {
  std::string missing = "the daemon has not answered";
  absl::Status failure;
  const absl::Status status = client.WatchCluster(
      [&](const v1::ClusterStatus& cluster) {
        const auto models = client.ListModels();
        failure = models.status();
        if (models.ok()) missing = Missing(cluster, *models, options);
        return models.ok() && !missing.empty();
      },
      options.timeout);
  if (!failure.ok()) return failure;
  if (!absl::IsDeadlineExceeded(status)) return status;
  return absl::DeadlineExceededError(absl::StrCat("the time is up: ", missing));
}

// `shown` is what was shown last: a watcher is not shown the same again.
absl::Status Show(Client& client, const v1::ClusterStatus& cluster, const StatusOptions& options,
                  std::string& shown) {
  const auto models = client.ListModels();
  if (!models.ok()) return models.status();
  if (options.json) {
    return Print(StatusJson(cluster, *models));
  }
  std::string text = options.verbose ? DetailsText(cluster, *models) : StatusText(cluster, *models);
  if (options.neurons) {
    for (const v1::PlanStatus& plan : cluster.plans()) text += NeuronsText(plan);
  }
  if (!options.watch) return Print(text);
  if (text == shown) return absl::OkStatus();
  shown = text;
  return Print(
      absl::StrCat(absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()), "\n", text, "\n"));
}

}  // namespace

absl::Status RunStatus(Client& client, const StatusOptions& options) {
  if (options.wait_alive > 0 || options.wait_hosts > 0) {
    if (absl::Status status = Wait(client, options); !status.ok()) return status;
  }
  std::string shown;
  if (!options.watch) {
    const auto cluster = client.GetCluster();
    return cluster.ok() ? Show(client, *cluster, options, shown) : cluster.status();
  }
  absl::Status status;
  const absl::Status watched = client.WatchCluster([&](const v1::ClusterStatus& cluster) {
    status = Show(client, cluster, options, shown);
    return status.ok();
  });
  return status.ok() ? watched : status;
}

absl::Status RunTimeline(Client& client, const std::string& model, const std::string& svg_path, bool json) {
  const auto step = client.GetTimeline(model);
  if (!step.ok()) return step.status();
  const absl::Status written = WriteFile(svg_path, TimelinePicture(*step), Replace::kNever);
  if (!written.ok() || !json) return written;
  return Print(ToJsonLine(*step) + "\n");
}

absl::Status RunPlan(Client& client, const std::string& model, const std::string& svg_path, bool json) {
  const auto plan = client.GetPlan(model);
  if (!plan.ok()) return plan.status();
  if (!svg_path.empty()) {
    const absl::Status written = WriteFile(svg_path, PlanPicture(*plan), Replace::kNever);
    if (!written.ok()) return written;
  }
  return Print(json ? ToJsonLine(*plan) + "\n" : PlanText(*plan));
}

absl::Status RunModels(Client& client, bool json) {
  const auto models = client.ListModels();
  if (!models.ok()) return models.status();
  if (json) return Print(ToJsonLine(*models) + "\n");
  if (models->models_size() == 0 && models->available_size() == 0)
    std::fprintf(stderr, "No model is loaded; load one with `hearth load FILE.gguf`.\n");
  std::string text;
  for (const v1::ModelStatus& model : models->models()) absl::StrAppend(&text, ModelLine(model), "\n");
  for (const std::string& name : models->available())
    absl::StrAppend(&text, Printable(name), "  loaded when a request names it\n");
  return Print(text);
}

}  // namespace hearth
