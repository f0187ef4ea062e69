#include "client/command/top_text.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/command/display.h"
#include "client/command/status_text.h"
#include "client/library/bytes_text.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr size_t kBarWidth = 20;

// "[#####...............]  25 %" of a whole.
std::string Bar(double used, double whole) {
  const double part = whole > 0 ? std::clamp(used / whole, 0.0, 1.0) : 0;
  const auto filled = static_cast<size_t>(part * kBarWidth + 0.5);
  return absl::StrFormat("[%s%s] %3.0f %%", std::string(filled, '#'), std::string(kBarWidth - filled, '.'),
                         100 * part);
}

// Loud where it is bad.
std::string StateText(const google::protobuf::Message& message, bool is_bad) {
  return is_bad ? absl::AsciiStrToUpper(StateName(message)) : StateName(message);
}

std::string SpeedOf(const v1::PlanStatus* plan) {
  if (plan == nullptr || plan->expected_token_ms() <= 0) return "";
  const double ms = plan->measured_token_ms() > 0 ? plan->measured_token_ms() : plan->expected_token_ms();
  return absl::StrFormat("%.1f", 1e3 / ms);
}

// Tokens per second of all streams between the two looks.
std::string RateOf(const v1::ModelStatus& model, const TopLook& now, const TopLook* before) {
  if (before == nullptr || now.seconds <= before->seconds) return "";
  for (const v1::ModelStatus& old : before->models.models()) {
    if (old.name() != model.name() || old.tokens_generated() > model.tokens_generated()) continue;
    return absl::StrFormat("%.1f", static_cast<double>(model.tokens_generated() - old.tokens_generated()) /
                                       (now.seconds - before->seconds));
  }
  return "";
}

void AddModels(const TopLook& now, const TopLook* before, std::string& text) {
  absl::StrAppendFormat(&text, "%-24s %-9s %8s %8s %8s %10s  %s\n", "MODEL", "STATE", "STREAMS", "WAITING",
                        "TOK/S", "1 STREAM", "CONTEXT IN USE");
  for (const v1::ModelStatus& model : now.models.models()) {
    absl::StrAppendFormat(
        &text, "%-24s %-9s %8d %8d %8s %10s  %s\n", Printable(model.name(), 24),
        StateText(model, model.state() == v1::MODEL_STATE_FAILED), model.requests_running(),
        model.requests_waiting(), RateOf(model, now, before), SpeedOf(PlanOf(now.cluster, model.name())),
        Bar(static_cast<double>(model.kv_positions()), static_cast<double>(model.kv_positions_limit())));
  }
  if (now.models.models().empty()) text += "none; load one with `hearth load FILE.gguf`\n";
}

// Microseconds that leaders have waited for a device, over all plans.
uint64_t WaitOf(const v1::ClusterStatus& cluster, const std::string& host, const std::string& device) {
  uint64_t wait_us = 0;
  for (const v1::PlanStatus& plan : cluster.plans()) {
    for (const v1::DeviceShare& share : plan.shares())
      if (share.host() == host && share.device() == device) wait_us += share.wait_us();
  }
  return wait_us;
}

std::string WaitText(const TopLook& now, const TopLook* before, const std::string& host,
                     const std::string& device) {
  if (before == nullptr || now.seconds <= before->seconds) return "";
  const uint64_t is = WaitOf(now.cluster, host, device), was = WaitOf(before->cluster, host, device);
  if (is < was) return "";  // another plan
  const double share = static_cast<double>(is - was) * 1e-6 / (now.seconds - before->seconds);
  return absl::StrFormat("%.0f %%", 100 * std::min(share, 1.0));
}

void AddHosts(const TopLook& now, const TopLook* before, std::string& text) {
  absl::StrAppendFormat(&text, "\n%-20s %-8s %-14s %-30s %10s %9s\n", "HOST", "STATE", "DEVICE", "WEIGHTS",
                        "READS", "AWAITED");
  for (const v1::HostStatus& host : now.cluster.hosts()) {
    const std::string start = absl::StrFormat("%-20s %-8s", Printable(host.name(), 20),
                                              StateText(host, host.state() == v1::HOST_STATE_LOST));
    if (host.devices().empty()) absl::StrAppend(&text, start, "\n");
    for (int i = 0; i < host.devices_size(); ++i) {
      const v1::DeviceStatus& device = host.devices(i);
      absl::StrAppendFormat(&text, "%s %-14s %-30s %8.1f G %9s\n", i == 0 ? start : std::string(29, ' '),
                            Printable(device.name(), 14),
                            Bar(static_cast<double>(device.memory_used_bytes()),
                                static_cast<double>(device.memory_budget_bytes())),
                            device.read_bytes_per_second() / 1e9,
                            WaitText(now, before, host.name(), device.name()));
    }
  }
}

void AddLinks(const v1::ClusterStatus& cluster, std::string& text) {
  if (cluster.links().empty()) return;
  absl::StrAppendFormat(&text, "\n%-42s %12s %12s\n", "LINK", "ROUND TRIP", "BANDWIDTH");
  for (const v1::LinkStatus& link : cluster.links()) {
    const std::string ends = absl::StrCat(Printable(link.from(), 18), " - ", Printable(link.to(), 18));
    absl::StrAppendFormat(&text, "%-42s %9.2f ms %7.0f MB/s\n", ends, link.round_trip_us() / 1e3,
                          link.bytes_per_second() / 1e6);
  }
}

void AddTransfers(const v1::ClusterStatus& cluster, std::string& text) {
  for (const v1::TransferStatus& transfer : cluster.transfers()) {
    absl::StrAppendFormat(
        &text, "\n%s gets %s of %s %s\n", Printable(transfer.host(), 20), BytesText(transfer.bytes_total()),
        Printable(transfer.model(), 24),
        Bar(static_cast<double>(transfer.bytes_done()), static_cast<double>(transfer.bytes_total())));
  }
}

// At most so many bytes, between two characters.
std::string_view Cut(std::string_view line, size_t bytes) {
  if (line.size() <= bytes) return line;
  while (bytes > 0 && (static_cast<unsigned char>(line[bytes]) & 0xC0) == 0x80) --bytes;
  return line.substr(0, bytes);
}

}  // namespace

std::string TopText(const TopLook& now, const TopLook* before, size_t columns, size_t rows) {
  std::string text;
  AddModels(now, before, text);
  AddHosts(now, before, text);
  AddLinks(now.cluster, text);
  AddTransfers(now.cluster, text);
  const std::vector<std::string> problems = ProblemsOf(now.cluster, now.models);
  if (!problems.empty()) text += "\n";
  for (const std::string& problem : problems) absl::StrAppend(&text, problem, "\n");
  std::string picture;
  size_t lines = 0;
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    if (rows > 0 && lines++ == rows) break;
    const std::string_view cut = Cut(std::string_view(line.data(), line.size()), columns);
    absl::StrAppend(&picture, absl::string_view(cut.data(), cut.size()), "\n");
  }
  return picture;
}

}  // namespace hearth
