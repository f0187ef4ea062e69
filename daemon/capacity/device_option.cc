#include "daemon/capacity/device_option.h"

#include <charconv>
#include <cmath>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxGpus = 64;
constexpr size_t kMaxDevices = 64;
constexpr size_t kMaxNameLength = 64;
constexpr char kExample[] = "name,memory=4GiB,kind=cpu,threads=2,bandwidth=20G";

absl::Status Bad(absl::string_view text, absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("device \"", text, "\": ", problem, "; expected for example ", kExample));
}

bool IsName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameLength) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '-' && c != '_' && c != '.' && c != ':') return false;
  }
  return true;
}

absl::Status SetKind(absl::string_view value, DeviceOption& option) {
  option.emulated = value == "emulated-gpu";
  const std::optional<placement::DeviceKind> kind =
      placement::DeviceKindOf(option.emulated ? "gpu" : std::string_view(value.data(), value.size()));
  if (!kind) return absl::InvalidArgumentError("kind is cpu, gpu, emulated-gpu or disk");
  option.kind = *kind;
  return absl::OkStatus();
}

absl::Status SetThreads(absl::string_view value, DeviceOption& option) {
  int threads = 0;
  if (!absl::SimpleAtoi(value, &threads) || threads < 1 || threads > kMaxThreads) {
    return absl::InvalidArgumentError(absl::StrCat("threads is a number from 1 to ", kMaxThreads));
  }
  option.threads = threads;
  return absl::OkStatus();
}

absl::Status SetField(absl::string_view key, absl::string_view value, DeviceOption& option) {
  const std::string_view text(value.data(), value.size());
  if (key == "kind") return SetKind(value, option);
  if (key == "threads") return SetThreads(value, option);
  if (key == "number") {
    if (!absl::SimpleAtoi(value, &option.number) || option.number < 0 || option.number >= kMaxGpus) {
      return absl::InvalidArgumentError(absl::StrCat("number is that of a GPU, from 0 to ", kMaxGpus - 1));
    }
    return absl::OkStatus();
  }
  if (key == "memory") {
    HEARTH_ASSIGN_OR_RETURN(option.memory_bytes, ParseByteCount(text));
    return absl::OkStatus();
  }
  if (key == "bandwidth" || key == "pace") {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, ParseByteCount(text));
    if (bytes == 0) return absl::InvalidArgumentError(absl::StrCat(key, " is more than 0"));
    (key == "pace" ? option.pace_bytes_per_s : option.read_bytes_per_s) = static_cast<double>(bytes);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown part \"", key, "\" (memory, kind, number, threads, bandwidth and pace are known)"));
}

std::optional<double> UnitFactor(std::string_view unit) {
  if (unit.ends_with("/s")) unit.remove_suffix(2);
  if (unit.empty() || unit == "B") return 1;
  const size_t power = std::string_view("KMGT").find(unit.front() == 'k' ? 'K' : unit.front());
  if (power == std::string_view::npos) return std::nullopt;
  unit.remove_prefix(1);
  if (unit.empty() || unit == "B") return std::pow(1000.0, static_cast<double>(power + 1));
  if (unit == "i" || unit == "iB") return std::pow(1024.0, static_cast<double>(power + 1));
  return std::nullopt;
}

absl::StatusOr<std::vector<DeviceOption>> EqualDevices(absl::string_view spec) {
  size_t count = 0;
  if (!absl::SimpleAtoi(spec, &count) || count < 1 || count > kMaxDevices) {
    return absl::InvalidArgumentError(
        absl::StrCat("devices \"", spec, "\": the number of devices is from 1 to ", kMaxDevices));
  }
  std::vector<DeviceOption> options(count);
  for (size_t i = 0; i < count; ++i) options[i].name = absl::StrCat("cpu", i);
  return options;
}

}  // namespace

absl::StatusOr<uint64_t> ParseByteCount(std::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(absl::StrCat(
      "\"", AbslView(text), "\" is no number of bytes; expected for example 4GiB, 800M or 65536"));
  // The fixed format knows neither signs nor exponents; "inf" and "nan" are refused below.
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number) || number < 0 || text.front() == '-') return bad;
  const std::optional<double> factor = UnitFactor(text.substr(static_cast<size_t>(end - text.data())));
  if (!factor) return bad;
  const double bytes = number * *factor;
  if (bytes >= 18446744073709551616.0) return bad;
  return static_cast<uint64_t>(bytes);
}

absl::StatusOr<DeviceOption> ParseDeviceOption(std::string_view spec) {
  const absl::string_view text = AbslView(spec);
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  if (!IsName(parts.front())) {
    return Bad(text, "its name comes first and consists of letters, digits and - _ . : (64 at most)");
  }
  DeviceOption option;
  option.name = std::string(parts.front());
  std::set<absl::string_view> seen;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    if (!seen.insert(field.first).second)
      return Bad(text, absl::StrCat("\"", field.first, "\" is there twice"));
    const absl::Status status = SetField(field.first, field.second, option);
    if (!status.ok()) return Bad(text, status.message());
  }
  if (option.threads && option.kind == placement::DeviceKind::kGpu) return Bad(text, "a gpu has no threads");
  if (seen.count("number") > 0 && option.kind != placement::DeviceKind::kGpu)
    return Bad(text, "only a gpu has a number");
  if (option.pace_bytes_per_s && !IsCpu(option)) return Bad(text, "only a cpu waits to keep a pace");
  if (!option.read_bytes_per_s) option.read_bytes_per_s = option.pace_bytes_per_s;
  return option;
}

absl::StatusOr<std::vector<DeviceOption>> ParseDeviceOptions(std::string_view spec) {
  if (!spec.empty() && spec.find_first_not_of("0123456789") == std::string_view::npos)
    return EqualDevices(AbslView(spec));
  std::vector<DeviceOption> options;
  std::set<std::string> names;
  for (const absl::string_view part : absl::StrSplit(AbslView(spec), ';')) {
    HEARTH_ASSIGN_OR_RETURN(DeviceOption option, ParseDeviceOption({part.data(), part.size()}));
    if (!names.insert(option.name).second) return Bad(part, "a device of this name is there already");
    options.push_back(std::move(option));
  }
  if (options.size() > kMaxDevices) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.size(), " devices are more than the ", kMaxDevices, " allowed"));
  }
  return options;
}

}  // namespace hearth
