#include "daemon/planning/cluster_file.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/capacity/device_option.h"
#include "engine/base/absl_view.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxFileBytes = uint64_t{16} << 20;

absl::Status Bad(const std::string& where, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("cluster description, ", where, ": ", problem));
}

// Typed access to the fields of one object, with errors that say where.
class Fields {
 public:
  // `known`: every field that may occur.
  static absl::StatusOr<Fields> Of(const json& value, std::string where,
                                   std::initializer_list<const char*> known) {
    if (!value.is_object()) return Bad(where, "expected an object");
    for (const auto& [key, field] : value.items()) {
      bool is_known = false;
      for (const char* name : known) is_known |= key == name;
      if (!is_known) return Bad(where, absl::StrCat("unknown field \"", key, "\""));
    }
    return Fields(value, std::move(where));
  }

  bool Has(const char* name) const { return value_.contains(name); }
  const json& operator[](const char* name) const { return value_.at(name); }

  absl::StatusOr<std::string> Text(const char* name) const {
    if (!Has(name) || !value_.at(name).is_string())
      return Bad(where_, absl::StrCat("\"", name, "\" must be a text"));
    return value_.at(name).get<std::string>();
  }

  // Of what people read: printable and not too long.
  absl::StatusOr<std::string> Name() const {
    HEARTH_ASSIGN_OR_RETURN(std::string name, Text("name"));
    const absl::Status status = CheckName("\"name\"", name);
    if (!status.ok()) return Bad(where_, status.message());
    return name;
  }

  absl::StatusOr<double> Number(const char* name) const {
    if (!Has(name) || !value_.at(name).is_number())
      return Bad(where_, absl::StrCat("\"", name, "\" must be a number"));
    return value_.at(name).get<double>();
  }

  absl::StatusOr<uint64_t> Bytes(const char* name) const {
    if (Has(name) && value_.at(name).is_number_unsigned()) return value_.at(name).get<uint64_t>();
    if (Has(name) && value_.at(name).is_string()) {
      absl::StatusOr<uint64_t> bytes = ParseByteCount(value_.at(name).get<std::string>());
      if (!bytes.ok()) return Bad(where_, bytes.status().message());
      return bytes;
    }
    return Bad(where_, absl::StrCat("\"", name, "\" must be a number of bytes or a text such as \"8GiB\""));
  }

  absl::StatusOr<const json*> Array(const char* name) const {
    if (!Has(name) || !value_.at(name).is_array())
      return Bad(where_, absl::StrCat("\"", name, "\" must be an array"));
    return &value_.at(name);
  }

  const std::string& where() const { return where_; }

 private:
  Fields(const json& value, std::string where) : value_(value), where_(std::move(where)) {}

  const json& value_;
  std::string where_;
};

absl::StatusOr<placement::Device> ReadDevice(const json& value, const std::string& where) {
  HEARTH_ASSIGN_OR_RETURN(const Fields fields, Fields::Of(value, where,
                                                          {"name", "kind", "memory", "read_bytes_per_s",
                                                           "operations_per_s", "dispatch_us"}));
  placement::Device device;
  HEARTH_ASSIGN_OR_RETURN(device.name, fields.Name());
  HEARTH_ASSIGN_OR_RETURN(const std::string kind, fields.Text("kind"));
  const std::optional<placement::DeviceKind> known = placement::DeviceKindOf(kind);
  if (!known) return Bad(where, "\"kind\" must be \"cpu\", \"gpu\" or \"disk\"");
  device.kind = *known;
  HEARTH_ASSIGN_OR_RETURN(device.memory_bytes, fields.Bytes("memory"));
  HEARTH_ASSIGN_OR_RETURN(device.read_bytes_per_s, fields.Number("read_bytes_per_s"));
  HEARTH_ASSIGN_OR_RETURN(device.operations_per_s, fields.Number("operations_per_s"));
  if (fields.Has("dispatch_us")) {
    HEARTH_ASSIGN_OR_RETURN(device.dispatch_us, fields.Number("dispatch_us"));
  }
  return device;
}

absl::StatusOr<placement::Link> ReadLink(const json& value, const std::string& where) {
  HEARTH_ASSIGN_OR_RETURN(const Fields fields, Fields::Of(value, where, {"round_trip_us", "bytes_per_s"}));
  placement::Link link;
  HEARTH_ASSIGN_OR_RETURN(link.round_trip_us, fields.Number("round_trip_us"));
  HEARTH_ASSIGN_OR_RETURN(link.bytes_per_s, fields.Number("bytes_per_s"));
  return link;
}

absl::StatusOr<placement::Host> ReadHost(const json& value, const std::string& where) {
  HEARTH_ASSIGN_OR_RETURN(const Fields fields, Fields::Of(value, where, {"name", "devices", "link"}));
  placement::Host host;
  HEARTH_ASSIGN_OR_RETURN(host.name, fields.Name());
  HEARTH_ASSIGN_OR_RETURN(const json* devices, fields.Array("devices"));
  for (size_t i = 0; i < devices->size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(placement::Device device,
                            ReadDevice((*devices)[i], absl::StrCat(where, ".devices[", i, "]")));
    host.devices.push_back(std::move(device));
  }
  // As a daemon has them: what belongs to no unit is the first CPU's work.
  std::stable_partition(host.devices.begin(), host.devices.end(), [](const placement::Device& device) {
    return device.kind == placement::DeviceKind::kCpu;
  });
  if (fields.Has("link")) {
    HEARTH_ASSIGN_OR_RETURN(host.link, ReadLink(fields["link"], where + ".link"));
  }
  return host;
}

absl::StatusOr<size_t> FindLeader(const Fields& fields, const placement::Cluster& cluster) {
  if (!fields.Has("leader")) return 0;
  HEARTH_ASSIGN_OR_RETURN(const std::string name, fields.Text("leader"));
  for (size_t i = 0; i < cluster.hosts.size(); ++i) {
    if (cluster.hosts[i].name == name) return i;
  }
  return Bad(fields.where(), absl::StrCat("the leader \"", name, "\" is none of the hosts"));
}

}  // namespace

absl::StatusOr<placement::Cluster> ParseClusterJson(std::string_view text) {
  const json document = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return Bad("top level", "this is not valid JSON");
  HEARTH_ASSIGN_OR_RETURN(const Fields fields, Fields::Of(document, "top level", {"leader", "hosts"}));
  HEARTH_ASSIGN_OR_RETURN(const json* hosts, fields.Array("hosts"));
  placement::Cluster cluster;
  for (size_t i = 0; i < hosts->size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(placement::Host host, ReadHost((*hosts)[i], absl::StrCat("hosts[", i, "]")));
    cluster.hosts.push_back(std::move(host));
  }
  HEARTH_ASSIGN_OR_RETURN(cluster.leader, FindLeader(fields, cluster));
  for (size_t i = 0; i < cluster.hosts.size(); ++i) {
    if (i != cluster.leader && !(*hosts)[i].contains("link")) {
      return Bad(absl::StrCat("hosts[", i, "]"), "every host but the leader needs a \"link\" to it");
    }
  }
  HEARTH_RETURN_IF_ERROR(placement::ValidateCluster(cluster));
  return cluster;
}

absl::StatusOr<placement::Cluster> ReadClusterFile(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadInputFile(path, kMaxFileBytes));
  absl::StatusOr<placement::Cluster> cluster = ParseClusterJson(text);
  if (!cluster.ok())
    return absl::Status(cluster.status().code(), absl::StrCat(path, ": ", cluster.status().message()));
  return cluster;
}

std::string ClusterToJson(const placement::Cluster& cluster) {
  json document = {{"hosts", json::array()}};
  if (cluster.leader < cluster.hosts.size()) document["leader"] = cluster.hosts[cluster.leader].name;
  for (size_t i = 0; i < cluster.hosts.size(); ++i) {
    const placement::Host& host = cluster.hosts[i];
    json entry = {{"name", host.name}, {"devices", json::array()}};
    for (const placement::Device& device : host.devices) {
      entry["devices"].push_back({{"name", device.name},
                                  {"kind", std::string(placement::DeviceKindName(device.kind))},
                                  {"memory", device.memory_bytes},
                                  {"read_bytes_per_s", device.read_bytes_per_s},
                                  {"operations_per_s", device.operations_per_s},
                                  {"dispatch_us", device.dispatch_us}});
    }
    if (i != cluster.leader) {
      entry["link"] = {{"round_trip_us", host.link.round_trip_us}, {"bytes_per_s", host.link.bytes_per_s}};
    }
    document["hosts"].push_back(std::move(entry));
  }
  return document.dump(2);
}

std::string_view ClusterFileHelp() {
  return R"(A cluster description is a JSON file:
  {"leader": "a",
   "hosts": [
     {"name": "a",
      "devices": [{"name": "gpu", "kind": "gpu", "memory": "8GiB", "read_bytes_per_s": 9e11,
                   "operations_per_s": 4e13, "dispatch_us": 10},
                  {"name": "cpu", "kind": "cpu", "memory": "32GiB", "read_bytes_per_s": 4e10,
                   "operations_per_s": 1e12}]},
     {"name": "b",
      "devices": [{"name": "cpu", "kind": "cpu", "memory": "16GiB", "read_bytes_per_s": 3e10,
                   "operations_per_s": 8e11}],
      "link": {"round_trip_us": 180, "bytes_per_s": 1.17e8}}]}
The leader (the first host unless named) runs attention on its first device; "link" is a host's network to the
leader. Memory is a number of bytes or a text such as "8GiB"; "dispatch_us" may be left out.)";
}

}  // namespace hearth
