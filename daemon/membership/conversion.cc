#include "daemon/membership/conversion.h"

#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "daemon/identity/host_id.h"
#include "daemon/membership/told_coordinators.h"
#include "daemon/weights/bytes_from_proto.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxRows = 8192;
constexpr uint32_t kMaxSequences = 4096;
constexpr uint32_t kMaxContext = 1 << 24;
constexpr int kMaxUnits = 1 << 20;
constexpr int kMaxDevices = 256;
// Shares of neurons that fire travel as whole numbers of these.
constexpr uint32_t kShareUnits = 100000;
constexpr int kMaxShards = 64;
constexpr int kMaxCoordinators = 64;
constexpr size_t kMaxDigestBytes = 128;
// A bundle is held in memory whole.
constexpr uint64_t kMaxBundleBytes = uint64_t{1} << 36;
constexpr int64_t kLastClock = int64_t{1} << 48;  // milliseconds

absl::Status Invalid(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }

absl::Status CheckAtMost(uint64_t value, uint64_t limit, const char* field) {
  if (value <= limit) return absl::OkStatus();
  return Invalid(field, ": ", value, " where at most ", limit, " is allowed");
}

absl::Status CheckPositive(uint64_t value, uint64_t limit, const char* field) {
  return value == 0 ? Invalid(field, ": 0") : CheckAtMost(value, limit, field);
}

absl::Status CheckFigure(double value, const char* field) {
  if (std::isfinite(value) && value >= 0) return absl::OkStatus();
  return Invalid(field, ": not a figure that can be");
}

std::string ToBytes(const std::array<uint8_t, 32>& bytes) { return std::string(bytes.begin(), bytes.end()); }

// Enums: the wire's numbers are the engine's plus one, since 0 is "unspecified".
template <class Proto, class Enum>
Proto EnumToProto(Enum value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}

template <class Enum>
absl::StatusOr<Enum> EnumFromProto(int value, Enum last, const char* field) {
  if (value < 1 || value > static_cast<int>(last) + 1) return Invalid(field, ": unknown value ", value);
  return static_cast<Enum>(value - 1);
}

// ---- Shards.

void BundleToProto(const BundleId& bundle, v1::Bundle* proto) {
  proto->set_sha256(ToBytes(bundle.sha256));
  proto->set_bytes(bundle.bytes);
}

absl::StatusOr<BundleId> BundleFromProto(const v1::Bundle& proto) {
  BundleId bundle;
  HEARTH_ASSIGN_OR_RETURN(bundle.sha256, BytesFromProto(proto.sha256(), "sha256"));
  if (proto.bytes() == 0) return Invalid("bytes: an empty bundle");
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.bytes(), kMaxBundleBytes, "bytes"));
  bundle.bytes = proto.bytes();
  return bundle;
}

void UnitToProto(const PlacedUnit& placed, v1::UnitPlacement* proto) {
  proto->set_device(placed.device);
  proto->set_kind(EnumToProto<v1::UnitKind>(placed.unit.kind));
  proto->set_layer(placed.unit.layer);
  proto->set_number(placed.unit.number);
  BundleToProto(placed.bundle, proto->mutable_bundle());
}

absl::StatusOr<PlacedUnit> UnitFromProto(const v1::UnitPlacement& proto) {
  PlacedUnit placed;
  HEARTH_RETURN_IF_ERROR(CheckName("device", proto.device()));
  placed.device = proto.device();
  HEARTH_ASSIGN_OR_RETURN(placed.unit.kind, EnumFromProto(proto.kind(), UnitKind::kLayer, "kind"));
  placed.unit.layer = proto.layer();
  placed.unit.number = proto.number();
  HEARTH_ASSIGN_OR_RETURN(placed.bundle, BundleFromProto(proto.bundle()));
  return placed;
}

// ---- Capacity and status.

void CapacityToProto(const HostCapacity& capacity, v1::HostCapacity* proto) {
  proto->set_cores(capacity.cores);
  proto->set_memory_bytes(capacity.memory_bytes);
  proto->set_memory_free_bytes(capacity.memory_free_bytes);
  proto->set_disk_free_bytes(capacity.disk_free_bytes);
  for (const DeviceCapacity& device : capacity.devices) {
    v1::DeviceCapacity* out = proto->add_devices();
    out->set_name(device.name);
    out->set_kind(device.kind);
    out->set_memory_budget_bytes(device.memory_budget_bytes);
    out->set_memory_used_bytes(device.memory_used_bytes);
    out->set_threads(device.threads);
    out->set_read_bytes_per_second(device.read_bytes_per_s);
    out->set_operations_per_second(device.operations_per_s);
    out->set_dispatch_us(device.dispatch_us);
  }
}

absl::StatusOr<DeviceCapacity> DeviceFromProto(const v1::DeviceCapacity& proto) {
  HEARTH_RETURN_IF_ERROR(CheckName("device name", proto.name()));
  if (proto.kind() != "emulated-gpu" && !placement::DeviceKindOf(proto.kind())) {
    return Invalid("kind: none of \"cpu\", \"gpu\", \"emulated-gpu\" and \"disk\"");
  }
  for (const double figure :
       {proto.read_bytes_per_second(), proto.operations_per_second(), proto.dispatch_us()}) {
    HEARTH_RETURN_IF_ERROR(CheckFigure(figure, "device figures"));
  }
  if (proto.kind() == "cpu" && (proto.read_bytes_per_second() <= 0 || proto.operations_per_second() <= 0)) {
    return Invalid("device figures: ", proto.name(), " has no speed");
  }
  // Budgets are added up.
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.memory_budget_bytes(), uint64_t{1} << 50, "memory_budget_bytes"));
  return DeviceCapacity{proto.name(),
                        proto.kind(),
                        proto.memory_budget_bytes(),
                        proto.memory_used_bytes(),
                        proto.threads(),
                        proto.read_bytes_per_second(),
                        proto.operations_per_second(),
                        proto.dispatch_us()};
}

absl::StatusOr<HostCapacity> CapacityFromProto(const v1::HostCapacity& proto) {
  HostCapacity capacity;
  capacity.cores = proto.cores();
  capacity.memory_bytes = proto.memory_bytes();
  capacity.memory_free_bytes = proto.memory_free_bytes();
  capacity.disk_free_bytes = proto.disk_free_bytes();
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.devices_size(), kMaxDevices, "devices"));
  absl::flat_hash_set<std::string> names;
  bool has_cpu = false;
  for (const v1::DeviceCapacity& device : proto.devices()) {
    HEARTH_ASSIGN_OR_RETURN(DeviceCapacity converted, DeviceFromProto(device));
    if (!names.insert(converted.name).second) return Invalid("devices: two are called ", converted.name);
    has_cpu |= converted.kind == "cpu";
    capacity.devices.push_back(std::move(converted));
  }
  if (!has_cpu) return Invalid("devices: there is no CPU");
  return capacity;
}

void CardToProto(const NetworkCard& card, v1::NetworkCard* proto) {
  proto->set_mac(std::string(card.mac.begin(), card.mac.end()));
  if (card.wakes) proto->set_wakes(*card.wakes);
}

absl::StatusOr<NetworkCard> CardFromProto(const v1::NetworkCard& proto) {
  NetworkCard card;
  HEARTH_ASSIGN_OR_RETURN(card.mac,
                          BytesFromProto<std::tuple_size_v<MacAddress>>(proto.mac(), "network_cards.mac"));
  if (!IsOfOneCard(card.mac)) return Invalid("network_cards.mac: ", MacText(card.mac), " is no card's");
  if (proto.has_wakes()) card.wakes = proto.wakes();
  return card;
}

void FiringToProto(const LayerFiring& firing, v1::LayerFiring* proto) {
  proto->set_layer(firing.layer);
  proto->set_rows(firing.rows);
  proto->mutable_groups()->Add(firing.groups.begin(), firing.groups.end());
  for (const float share : firing.shares)
    proto->add_shares(static_cast<uint32_t>(std::lround(share * kShareUnits)));
}

absl::StatusOr<LayerFiring> FiringFromProto(const v1::LayerFiring& proto) {
  if (proto.layer() >= kMaxLayers) return Invalid("firing.layer");
  if (proto.rows() == 0) return Invalid("firing.rows");
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.groups_size(), kMaxUnits, "firing.groups"));
  if (proto.shares_size() != proto.groups_size()) return Invalid("firing.shares: not as many as groups");
  LayerFiring firing{proto.layer(), proto.rows(), {proto.groups().begin(), proto.groups().end()}, {}};
  for (const uint32_t share : proto.shares()) {
    if (share > kShareUnits) return Invalid("firing.shares: more than all");
    firing.shares.push_back(static_cast<float>(share) / kShareUnits);
  }
  return firing;
}

void StatusToProto(const ShardStatus& status, v1::ShardState* proto) {
  proto->set_epoch(status.epoch);
  proto->set_model(status.model);
  proto->set_phase(EnumToProto<v1::ShardPhase>(status.phase));
  proto->set_detail(status.detail);
  proto->set_bytes_done(status.bytes_done);
  proto->set_bytes_total(status.bytes_total);
  proto->set_short_bytes(status.short_bytes);
  for (const DeviceWork& device : status.devices) {
    v1::DeviceCounters* out = proto->add_devices();
    out->set_device(device.device);
    out->mutable_neurons_computed()->Add(device.neurons_computed.begin(), device.neurons_computed.end());
    out->mutable_neurons_offered()->Add(device.neurons_offered.begin(), device.neurons_offered.end());
    out->set_bytes_touched(device.bytes_touched);
    out->set_single_row_bytes(device.single_row_bytes);
    out->set_single_row_ns(device.single_row_ns);
    for (const LayerFiring& firing : device.firing) FiringToProto(firing, out->add_firing());
  }
}

absl::StatusOr<ShardStatus> StatusFromProto(const v1::ShardState& proto) {
  ShardStatus status;
  status.epoch = proto.epoch();
  HEARTH_RETURN_IF_ERROR(CheckName("shards.model", proto.model()));
  status.model = proto.model();
  HEARTH_ASSIGN_OR_RETURN(status.phase, EnumFromProto(proto.phase(), ShardPhase::kFailed, "phase"));
  status.detail = Printable(proto.detail());
  status.bytes_done = proto.bytes_done();
  status.bytes_total = proto.bytes_total();
  status.short_bytes = proto.short_bytes();
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.devices_size(), kMaxDevices, "shards.devices"));
  for (const v1::DeviceCounters& device : proto.devices()) {
    HEARTH_RETURN_IF_ERROR(CheckAtMost(device.neurons_computed_size(), kMaxLayers, "neurons_computed"));
    HEARTH_RETURN_IF_ERROR(CheckAtMost(device.neurons_offered_size(), kMaxLayers, "neurons_offered"));
    HEARTH_RETURN_IF_ERROR(CheckName("shards.devices.device", device.device()));
    HEARTH_RETURN_IF_ERROR(CheckAtMost(device.firing_size(), kMaxLayers, "firing"));
    DeviceWork& work = status.devices.emplace_back(
        DeviceWork{device.device(),
                   {device.neurons_computed().begin(), device.neurons_computed().end()},
                   {device.neurons_offered().begin(), device.neurons_offered().end()},
                   device.bytes_touched(),
                   device.single_row_bytes(),
                   device.single_row_ns(),
                   {}});
    for (const v1::LayerFiring& proto_firing : device.firing()) {
      HEARTH_ASSIGN_OR_RETURN(LayerFiring firing, FiringFromProto(proto_firing));
      work.firing.push_back(std::move(firing));
    }
  }
  return status;
}

}  // namespace

v1::Shard ToProto(const ShardDescription& shard) {
  v1::Shard proto;
  proto.set_epoch(shard.epoch);
  proto.set_model(shard.model);
  proto.set_model_digest(shard.model_digest);
  BundleToProto(shard.skeleton, proto.mutable_skeleton());
  proto.set_sparsity(EnumToProto<v1::Sparsity>(shard.options.sparsity));
  proto.set_arithmetic(EnumToProto<v1::Arithmetic>(shard.options.arithmetic));
  proto.set_model_context_length(shard.options.context_length);
  proto.set_rope_scaling(shard.options.rope_scaling);
  proto.set_sequences(shard.decoder.sequences);
  proto.set_context_length(shard.decoder.context_length);
  proto.set_max_rows(shard.decoder.max_rows);
  proto.set_kv_type(EnumToProto<v1::KvType>(shard.decoder.kv_type));
  for (const PlacedUnit& placed : shard.units) UnitToProto(placed, proto.add_units());
  return proto;
}

absl::StatusOr<ShardDescription> FromProto(const v1::Shard& proto) {
  ShardDescription shard;
  if (proto.epoch() == 0) return Invalid("epoch: 0 is no plan");
  HEARTH_RETURN_IF_ERROR(CheckName("model", proto.model()));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.model_digest().size(), kMaxDigestBytes, "model_digest"));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.rope_scaling().size(), kMaxNameBytes, "rope_scaling"));
  HEARTH_RETURN_IF_ERROR(CheckPositive(proto.model_context_length(), kMaxContext, "model_context_length"));
  HEARTH_RETURN_IF_ERROR(CheckPositive(proto.sequences(), kMaxSequences, "sequences"));
  HEARTH_RETURN_IF_ERROR(CheckPositive(proto.context_length(), kMaxContext, "context_length"));
  HEARTH_RETURN_IF_ERROR(CheckPositive(proto.max_rows(), kMaxRows, "max_rows"));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.units_size(), kMaxUnits, "units"));
  shard.epoch = proto.epoch();
  shard.model = proto.model();
  shard.model_digest = proto.model_digest();
  HEARTH_ASSIGN_OR_RETURN(shard.skeleton, BundleFromProto(proto.skeleton()));
  HEARTH_ASSIGN_OR_RETURN(shard.options.sparsity,
                          EnumFromProto(proto.sparsity(), SparsityMode::kPredicted, "sparsity"));
  HEARTH_ASSIGN_OR_RETURN(shard.options.arithmetic,
                          EnumFromProto(proto.arithmetic(), Arithmetic::kFloat32, "arithmetic"));
  shard.options.context_length = proto.model_context_length();
  shard.options.rope_scaling = proto.rope_scaling();
  HEARTH_ASSIGN_OR_RETURN(shard.decoder.kv_type, EnumFromProto(proto.kv_type(), KvType::kQ8_0, "kv_type"));
  shard.decoder.sequences = proto.sequences();
  shard.decoder.context_length = proto.context_length();
  shard.decoder.max_rows = proto.max_rows();
  for (const v1::UnitPlacement& unit : proto.units()) {
    HEARTH_ASSIGN_OR_RETURN(PlacedUnit placed, UnitFromProto(unit));
    shard.units.push_back(std::move(placed));
  }
  return shard;
}

v1::WorkerState ToProto(const WorkerReport& report) {
  v1::WorkerState proto;
  proto.set_host(report.host);
  proto.set_version(report.version);
  proto.set_tensor_address(report.tensor_address);
  CapacityToProto(report.capacity, proto.mutable_capacity());
  proto.set_revision(report.revision);
  for (const ShardStatus& shard : report.shards) StatusToProto(shard, proto.add_shards());
  v1::StoreCounters* store = proto.mutable_store();
  store->set_fetched_bytes(report.store.fetched_bytes);
  store->set_fetched_bundles(report.store.fetched_bundles);
  store->set_cached_bundles(report.store.cached_bundles);
  store->set_discarded_bundles(report.store.discarded_bundles);
  proto.set_host_id(report.identity.id);
  proto.set_machine(report.identity.machine);
  proto.set_home(report.identity.home);
  proto.set_problem(report.problem);
  proto.set_clock_unix_ms(report.clock_unix_ms);
  for (const NetworkCard& card : report.network_cards) CardToProto(card, proto.add_network_cards());
  return proto;
}

absl::StatusOr<WorkerReport> FromProto(const v1::WorkerState& proto) {
  WorkerReport report;
  HEARTH_RETURN_IF_ERROR(CheckName("host", proto.host()));
  HEARTH_RETURN_IF_ERROR(CheckName("tensor_address", proto.tensor_address()));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.shards_size(), kMaxShards, "shards"));
  report.host = proto.host();
  report.version = Printable(proto.version(), kMaxNameBytes);
  report.tensor_address = proto.tensor_address();
  HEARTH_ASSIGN_OR_RETURN(report.capacity, CapacityFromProto(proto.capacity()));
  report.revision = proto.revision();
  for (const v1::ShardState& shard : proto.shards()) {
    HEARTH_ASSIGN_OR_RETURN(ShardStatus status, StatusFromProto(shard));
    report.shards.push_back(std::move(status));
  }
  for (const std::string* part : {&proto.host_id(), &proto.machine(), &proto.home()}) {
    if (!part->empty()) HEARTH_RETURN_IF_ERROR(CheckName("host_id, machine, home", *part));
  }
  report.identity = {proto.host_id(), proto.machine(), proto.home()};
  report.problem = Printable(proto.problem());
  if (proto.clock_unix_ms() > 0 && proto.clock_unix_ms() <= kLastClock)
    report.clock_unix_ms = proto.clock_unix_ms();
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.network_cards_size(), kMostNetworkCards, "network_cards"));
  for (const v1::NetworkCard& proto_card : proto.network_cards()) {
    HEARTH_ASSIGN_OR_RETURN(const NetworkCard card, CardFromProto(proto_card));
    report.network_cards.push_back(card);
  }
  report.store = {proto.store().fetched_bytes(), proto.store().fetched_bundles(),
                  proto.store().cached_bundles(), proto.store().discarded_bundles()};
  return report;
}

v1::DesiredState ToProto(const DesiredShards& desired) {
  v1::DesiredState proto;
  proto.set_revision(desired.revision);
  proto.set_unchanged(desired.unchanged);
  proto.set_sync_interval_ms(desired.sync_interval_ms);
  proto.set_lost_after_ms(desired.lost_after_ms);
  for (const std::string& address : desired.coordinators) proto.add_coordinators(address);
  proto.set_home(desired.term.home);
  proto.set_term(desired.term.number);
  if (desired.unchanged) return proto;
  proto.set_session_token(ToBytes(desired.token));
  for (const ShardDescription& shard : desired.shards) *proto.add_shards() = ToProto(shard);
  return proto;
}

absl::StatusOr<DesiredShards> FromProto(const v1::DesiredState& proto) {
  DesiredShards desired;
  if (proto.revision() == 0) return Invalid("revision: 0");
  desired.revision = proto.revision();
  desired.unchanged = proto.unchanged();
  // Bounds that keep a worker from flooding its coordinator or from never giving it up.
  if (proto.sync_interval_ms() < 10 || proto.sync_interval_ms() > 10000) return Invalid("sync_interval_ms");
  if (proto.lost_after_ms() < proto.sync_interval_ms() || proto.lost_after_ms() > 60000)
    return Invalid("lost_after_ms");
  desired.sync_interval_ms = proto.sync_interval_ms();
  desired.lost_after_ms = proto.lost_after_ms();
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.coordinators_size(), kMaxCoordinators, "coordinators"));
  for (const std::string& address : proto.coordinators()) {
    if (!IsPlaceToLead(address)) return Invalid("coordinators: no address HOST:PORT");
    desired.coordinators.push_back(address);
  }
  if (!proto.home().empty()) {
    HEARTH_ASSIGN_OR_RETURN(const HostId home, ParseHostId(proto.home()));
    desired.term = {home.Text(), proto.term()};
  }
  if (desired.unchanged) return desired;
  HEARTH_ASSIGN_OR_RETURN(desired.token, BytesFromProto(proto.session_token(), "session_token"));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.shards_size(), kMaxShards, "shards"));
  for (const v1::Shard& shard : proto.shards()) {
    HEARTH_ASSIGN_OR_RETURN(ShardDescription converted, FromProto(shard));
    desired.shards.push_back(std::move(converted));
  }
  return desired;
}

}  // namespace hearth
