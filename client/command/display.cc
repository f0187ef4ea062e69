#include "client/command/display.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/command/proto_json.h"
#include "client/library/bytes_text.h"
#include "engine/base/printable.h"
#include "proto/certificates.h"

namespace hearth {
namespace {

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string ProgressText(uint64_t done, uint64_t total) {
  return absl::StrCat(BytesText(done), " of ", BytesText(total),
                      absl::StrFormat(" (%.0f %%)", Percent(done, total)));
}

std::string DeviceLine(const v1::DeviceStatus& device) {
  std::string line =
      absl::StrFormat("    %-12s %s, %s of %s used", Printable(device.name()), Printable(device.kind()),
                      BytesText(device.memory_used_bytes()), BytesText(device.memory_budget_bytes()));
  if (device.threads() > 0) absl::StrAppend(&line, ", ", device.threads(), " threads");
  if (device.read_bytes_per_second() > 0) {
    absl::StrAppendFormat(&line, ", reads %.1f GB/s", device.read_bytes_per_second() / 1e9);
  }
  if (device.operations_per_second() > 0) {
    absl::StrAppendFormat(&line, ", %.1f GFLOP/s", device.operations_per_second() / 1e9);
  }
  return line + "\n";
}

std::string HostText(const v1::HostStatus& host) {
  std::string text = absl::StrFormat("  %-14s %s, %s", Printable(host.name()),
                                     host.coordinator() ? "coordinator" : "worker", StateName(host));
  if (!host.coordinator())
    absl::StrAppendFormat(&text, ", last heard of %.1f s ago", host.last_sync_ms() / 1e3);
  absl::StrAppend(&text, ", ", host.cores(), " cores, ", BytesText(host.memory_free_bytes()), " of ",
                  BytesText(host.memory_bytes()), " memory free");
  if (!host.detail().empty()) absl::StrAppend(&text, "; ", Printable(host.detail()));
  text += "\n";
  if (host.weights_fetched_bytes() > 0 || host.groups_from_cache() > 0) {
    absl::StrAppend(&text, "    fetched ", BytesText(host.weights_fetched_bytes()), " of weights, had ",
                    host.groups_from_cache(), " neuron groups in its cache\n");
  }
  for (const v1::DeviceStatus& device : host.devices()) text += DeviceLine(device);
  return text;
}

std::string CardText(const v1::AwayHost& host) {
  const char* set = host.wakes() ? "set to wake it" : "not set to wake it";
  return absl::StrCat("network card ", Printable(absl::StrJoin(host.macs(), ", ")), ", ",
                      host.has_wakes() ? set : "not known whether set to wake it", "; ",
                      WakeAdvice(host.name()), "\n");
}

std::string HostsText(const v1::ClusterStatus& cluster) {
  std::string text;
  for (const v1::HostStatus& host : cluster.hosts()) {
    text += HostText(host);
    if (const v1::AwayHost* away = FindAway(cluster, host.name())) text += "    " + CardText(*away);
  }
  for (const v1::AwayHost* away : AwayAlone(cluster))
    absl::StrAppend(&text, absl::StrFormat("  %-14s away; ", Printable(away->name())), CardText(*away));
  return text;
}

std::string LinkLine(const v1::LinkStatus& link) {
  return absl::StrFormat("  %s - %s: round trip %.0f us, %.0f MB/s\n", Printable(link.from()),
                         Printable(link.to()), link.round_trip_us(), link.bytes_per_second() / 1e6);
}

// What fires, beside what the profile says. Drift: the share of firing that hot neurons have lost.
std::string FiringLine(const v1::PlanStatus& plan) {
  constexpr double kSome = 0.05, kMuch = 0.15;
  const v1::FiringStatus& firing = plan.firing();
  std::string line = absl::StrFormat("  %s: %.1f %% of the neurons fire (%d rows looked at)",
                                     Printable(plan.model()), 100 * firing.firing_share(), firing.rows());
  if (firing.hot_share_expected() <= 0) return line + "\n";
  const double drift = firing.hot_share_expected() - firing.hot_share_seen();
  const char* words = drift < kSome   ? "as the profile says"
                      : drift < kMuch ? "somewhat other than the profile says"
                                      : "the profile is of other text: make one of text like this";
  absl::StrAppendFormat(&line, "; hot neurons have %.0f %% of that, by the profile %.0f %%: %s\n",
                        100 * firing.hot_share_seen(), 100 * firing.hot_share_expected(), words);
  return line;
}

const char* ReasonText(v1::FinishReason reason) {
  switch (reason) {
    case v1::FINISH_REASON_STOP_TOKEN:
      return "ended by the model";
    case v1::FINISH_REASON_STOP_STRING:
      return "ended by a stop string";
    case v1::FINISH_REASON_LENGTH:
      return "ended by the length limit";
    case v1::FINISH_REASON_DEADLINE:
      return "ended by the deadline";
    case v1::FINISH_REASON_CANCELLED:
      return "cancelled";
    default:
      return "ended";
  }
}

}  // namespace

std::string StateName(const google::protobuf::Message& message) {
  return ToJson(message).at("state").get<std::string>();
}

std::string ModelLine(const v1::ModelStatus& model) {
  std::string line = absl::StrCat(Printable(model.name()), "  ", StateName(model));
  if (model.state() == v1::MODEL_STATE_LOADING && model.bytes_total() > 0) {
    absl::StrAppend(&line, " ", ProgressText(model.bytes_done(), model.bytes_total()));
  }
  if (!model.detail().empty()) absl::StrAppend(&line, ": ", Printable(model.detail()));
  if (!model.architecture().empty()) {
    absl::StrAppend(&line, "  (", Printable(model.architecture()), ", ", Printable(model.quantisation()),
                    ", ", Printable(model.sparsity()), ", context ", model.context_length(), ")");
  }
  for (const std::string& adapter : model.adapters()) absl::StrAppend(&line, ", with ", Printable(adapter));
  return line;
}

std::string SparsityLine(const v1::ModelStatus& model) {
  if (model.sparsity_why().empty()) return "";
  return absl::StrCat(Printable(model.sparsity()), ": ", Printable(model.sparsity_why()));
}

std::string LoadingText(const v1::ModelStatus& model) {
  std::vector<std::string> parts;
  if (model.bytes_total() > 0) {
    parts.push_back(absl::StrCat(BytesText(model.bytes_done()), " of ", BytesText(model.bytes_total())));
  }
  if (!model.detail().empty()) parts.push_back(Printable(model.detail()));
  return absl::StrJoin(parts, "  ");
}

std::string DetailsText(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models) {
  std::string text = absl::StrCat("Hosts\n", HostsText(cluster));
  if (cluster.links_size() > 0) text += "Links\n";
  for (const v1::LinkStatus& link : cluster.links()) text += LinkLine(link);
  if (cluster.transfers_size() > 0) text += "Transfers\n";
  for (const v1::TransferStatus& transfer : cluster.transfers()) {
    absl::StrAppend(&text, "  ", Printable(transfer.model()), " to ", Printable(transfer.host()), ": ",
                    ProgressText(transfer.bytes_done(), transfer.bytes_total()),
                    transfer.detail().empty() ? "" : "; ", Printable(transfer.detail()), "\n");
  }
  text += "Models\n";
  for (const v1::ModelStatus& model : models.models()) {
    absl::StrAppend(&text, "  ", ModelLine(model), "\n");
    if (const std::string line = SparsityLine(model); !line.empty())
      absl::StrAppend(&text, "    ", line, "\n");
  }
  if (models.models_size() == 0) text += "  none; load one with `hearth load FILE.gguf`\n";
  if (cluster.plans_size() > 0) text += "Plans\n";
  for (const v1::PlanStatus& plan : cluster.plans()) {
    absl::StrAppend(&text, "  ", Printable(plan.model()), ": plan ", plan.epoch(), ", ", ObjectiveText(plan),
                    "\n");
  }
  std::string firing;
  for (const v1::PlanStatus& plan : cluster.plans()) {
    if (plan.has_firing()) firing += FiringLine(plan);
  }
  if (!firing.empty()) absl::StrAppend(&text, "Neurons\n", firing);
  return text;
}

bool IsForOtherThanLatency(const v1::PlanStatus& plan) {
  return !plan.objective().empty() && plan.objective() != "latency";
}

std::string ObjectiveText(const v1::PlanStatus& plan) {
  std::string text = absl::StrCat("for ", plan.objective().empty() ? "latency" : Printable(plan.objective()));
  if (plan.expected_tokens_per_second() > 0)
    absl::StrAppendFormat(&text, ": %.1f tokens/s expected", plan.expected_tokens_per_second());
  if (plan.measured_tokens_per_second() > 0)
    absl::StrAppendFormat(&text, ", %.1f measured", plan.measured_tokens_per_second());
  return text;
}

std::string NeuronsText(const v1::PlanStatus& plan) {
  std::string text =
      absl::StrCat("Neurons of ", Printable(plan.model()), " computed with plan ", plan.epoch(), "\n  layer");
  for (const v1::DeviceShare& share : plan.shares()) {
    absl::StrAppendFormat(&text, "  %26s",
                          absl::StrCat(Printable(share.host()), "/", Printable(share.device())));
  }
  text += "\n";
  for (uint32_t layer = 0; layer < plan.layers(); ++layer) {
    absl::StrAppendFormat(&text, "  %5d", layer);
    for (const v1::DeviceShare& share : plan.shares()) {
      const auto at = [layer](const auto& values) {
        return layer < static_cast<uint32_t>(values.size()) ? values[static_cast<int>(layer)] : 0;
      };
      const uint64_t computed = at(share.neurons_computed());
      const uint64_t offered = at(share.neurons_offered());
      absl::StrAppendFormat(
          &text, "  %26s",
          absl::StrFormat("%d (%.1f %% of %d)", computed, Percent(computed, offered), offered));
    }
    text += "\n";
  }
  return text;
}

// What a device reads from a disk; empty where it does not.
std::string DiskLine(const v1::DeviceShare& share) {
  const v1::DiskWork& disk = share.disk();
  if (!share.has_disk() || disk.hits() + disk.misses() == 0) return "";
  return absl::StrFormat(
      "%s/%s found %.1f %% of the neurons that fired in memory, and read %s from the disk for the others.\n",
      Printable(share.host()), Printable(share.device()), Percent(disk.hits(), disk.hits() + disk.misses()),
      BytesText(disk.bytes_read()));
}

std::string PlanText(const v1::PlanStatus& plan) {
  std::string text =
      absl::StrFormat("Plan %d of %s, %s, %.2f ms per token expected", plan.epoch(), Printable(plan.model()),
                      plan.active() ? "in use" : "being set up", plan.expected_token_ms());
  if (plan.measured_token_ms() > 0)
    absl::StrAppendFormat(&text, ", %.2f ms measured", plan.measured_token_ms());
  if (IsForOtherThanLatency(plan)) absl::StrAppend(&text, "; ", ObjectiveText(plan));
  text += "\n";
  const absl::string_view explanation = absl::StripSuffix(plan.explanation(), "\n");
  for (const absl::string_view line : absl::StrSplit(explanation, '\n')) {
    absl::StrAppend(&text, Printable(line), "\n");
  }
  for (const v1::DeviceShare& share : plan.shares()) text += DiskLine(share);
  return text;
}

std::string SummaryText(const v1::Finished& finished) {
  const v1::Usage& usage = finished.usage();
  const v1::Timings& timings = finished.timings();
  std::string text = absl::StrCat(usage.generated_tokens(), " tokens");
  // The first token belongs to the prompt's time.
  if (usage.generated_tokens() > 1 && timings.generate_ms() > 0) {
    absl::StrAppendFormat(&text, " at %.1f tokens/s",
                          (usage.generated_tokens() - 1) / timings.generate_ms() * 1e3);
  }
  absl::StrAppendFormat(&text, "; prompt of %d tokens read in %.2f s; %s", usage.prompt_tokens(),
                        timings.prompt_ms() / 1e3, ReasonText(finished.reason()));
  return text;
}

std::string ApplicantsText(const v1::ListApplicantsResponse& response) {
  if (response.applicants().empty())
    return "no host waits to be let in: start `hearthd --join` on the other machine\n";
  std::string text;
  for (const v1::Applicant& applicant : response.applicants()) {
    absl::StrAppend(&text,
                    absl::StrFormat("%-20s %s  %-15s  waits for %s\n", Printable(applicant.name()),
                                    Printable(applicant.id().substr(0, 7)), Printable(applicant.address()),
                                    absl::FormatDuration(absl::Seconds(applicant.waiting_seconds()))));
  }
  return text + "`hearth approve CODE` lets the one in that shows this code\n";
}

std::string MembersText(const v1::ListMembersResponse& members, bool hosts,
                        const v1::ClusterStatus* cluster) {
  std::string text;
  for (const v1::Member& member : members.members()) {
    if ((member.role() == v1::ROLE_HOST) != hosts) continue;
    std::string state =
        absl::StrCat(member.role() == v1::ROLE_ADMIN ? "admin" : "client", member.api_key() ? ", API" : "");
    if (cluster != nullptr) state = "not connected";
    for (int i = 0; cluster != nullptr && i < cluster->hosts_size(); ++i) {
      if (cluster->hosts(i).name() == member.name()) state = StateName(cluster->hosts(i));
    }
    const absl::Time expires = absl::FromUnixSeconds(member.expires_unix_seconds());
    absl::StrAppend(
        &text,
        absl::StrFormat(
            "%-20s %s  %-13s  until %s", Printable(member.name()), Printable(member.id().substr(0, 7)), state,
            member.api_key() ? "revoked" : absl::FormatTime("%Y-%m-%d", expires, absl::UTCTimeZone())));
    const bool wakes = cluster != nullptr && FindAway(*cluster, member.name()) != nullptr;
    text += wakes ? absl::StrCat("; ", WakeAdvice(member.name()), "\n") : "\n";
  }
  if (!text.empty()) return text;
  return hosts ? "no host has joined: `hearth invite` prints the command for another machine\n"
               : "there are no keys: make one with `hearth key create --client NAME`, for HTTP --api NAME\n";
}

const v1::AwayHost* FindAway(const v1::ClusterStatus& cluster, const std::string& host) {
  for (const v1::AwayHost& away : cluster.away()) {
    if (away.name() == host) return &away;
  }
  return nullptr;
}

std::vector<const v1::AwayHost*> AwayAlone(const v1::ClusterStatus& cluster) {
  std::vector<const v1::AwayHost*> alone;
  for (const v1::AwayHost& away : cluster.away()) {
    const bool listed = std::any_of(cluster.hosts().begin(), cluster.hosts().end(),
                                    [&](const v1::HostStatus& host) { return host.name() == away.name(); });
    if (!listed) alone.push_back(&away);
  }
  return alone;
}

std::string WakeAdvice(const std::string& host) {
  return absl::StrCat("`hearth wake ", Printable(host), "` wakes it");
}

std::string WokenText(const v1::WakeResponse& response) {
  std::string text;
  const auto where = absl::StrJoin(response.broadcasts(), ", ");
  for (const v1::AwayHost& host : response.hosts()) {
    absl::StrAppend(&text, "sent to ", Printable(host.name()), " (",
                    Printable(absl::StrJoin(host.macs(), ", ")), ") by ", Printable(where));
    if (host.has_wakes() && !host.wakes()) {
      absl::StrAppend(&text, "; it said that its network card is not set to wake it (ethtool -s CARD wol g)");
    }
    text += "\n";
  }
  return text;
}

std::string KeyWarning(const ConnectionKey& key, absl::Time now) {
  constexpr absl::Duration kSoon = absl::Hours(30 * 24);
  const char kRemedy[] = "make another with `hearth key create` on the coordinator's machine";
  const std::optional<CertificateLife> life = LifeOf(key.certificate_pem);
  if (!life) return "";
  const absl::Status holds = CheckLife(*life, now, {.certificate = "this key", .remedy = kRemedy});
  if (!holds.ok()) return std::string(holds.message());
  if (now < life->until - kSoon) return "";
  return absl::StrCat("this key is good until ", DayText(life->until), ": ", kRemedy);
}

}  // namespace hearth
