#include "daemon/membership/conversion.h"

#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "daemon/weights/bytes_from_proto.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/bundle.h"

namespace hearth {
namespace {

constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxRows = 8192;
constexpr int kMaxDevices = 256;
constexpr int kMaxShards = 64;
constexpr size_t kMaxDigestBytes = 128;
// A bundle is held in memory whole.
constexpr uint64_t kMaxBundleBytes = uint64_t{1} << 36;

absl::Status Invalid(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }

absl::Status CheckAtMost(uint64_t value, uint64_t limit, const char* field) {
  if (value <= limit) return absl::OkStatus();
  return Invalid(field, ": ", value, " where at most ", limit, " is allowed");
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

// ---- Feed-forward layers.

void MatrixToProto(const NeuronMatrix& matrix, v1::FfnMatrix* proto) {
  proto->set_type(static_cast<uint32_t>(matrix.type));
}

// Types may be any number here: CheckFfnSpec looks at them.
NeuronMatrix MatrixFromProto(bool present, const v1::FfnMatrix& proto) {
  return {present, static_cast<TensorType>(proto.type())};
}

v1::FfnLayer LayerToProto(const FfnLayerSpec& spec) {
  v1::FfnLayer proto;
  proto.set_n_embd(spec.n_embd);
  proto.mutable_block_neurons()->Add(spec.block_neurons.begin(), spec.block_neurons.end());
  proto.set_activation(EnumToProto<v1::FfnActivation>(spec.activation));
  proto.set_activation_alpha(spec.activation_parameters.alpha);
  proto.set_activation_limit(spec.activation_parameters.limit);
  proto.set_xielu_alpha_p(spec.activation_parameters.xielu_alpha_p);
  proto.set_xielu_alpha_n(spec.activation_parameters.xielu_alpha_n);
  proto.set_xielu_beta(spec.activation_parameters.xielu_beta);
  proto.set_xielu_eps(spec.activation_parameters.xielu_eps);
  proto.set_relu_up(spec.relu_up);
  proto.set_weight_on_input(spec.weight_on_input);
  proto.set_normalize_hidden(spec.normalize_hidden);
  proto.set_normalize_epsilon(spec.normalize_epsilon);
  proto.set_gate_scale(spec.gate_scale);
  proto.set_up_scale(spec.up_scale);
  proto.set_down_scale(spec.down_scale);
  if (spec.gate.present) MatrixToProto(spec.gate, proto.mutable_gate());
  if (spec.up.present) MatrixToProto(spec.up, proto.mutable_up());
  if (spec.down.present) MatrixToProto(spec.down, proto.mutable_down());
  proto.set_neuron_major(spec.neuron_major);
  proto.set_gate_bias(spec.gate_bias);
  proto.set_up_bias(spec.up_bias);
  proto.set_down_bias(spec.down_bias);
  proto.set_predictor_rank(spec.predictor_rank);
  proto.set_predictor_type(static_cast<uint32_t>(spec.predictor_type));
  proto.set_sparse_threshold(spec.sparse_threshold);
  if (spec.shared_types) {
    proto.mutable_shared_gate()->set_type(static_cast<uint32_t>(spec.shared_gate_type));
    proto.mutable_shared_up()->set_type(static_cast<uint32_t>(spec.shared_up_type));
    proto.mutable_shared_down()->set_type(static_cast<uint32_t>(spec.shared_down_type));
  }
  return proto;
}

}  // namespace

absl::StatusOr<FfnLayerSpec> FromProto(const v1::FfnLayer& proto) {
  FfnLayerSpec spec;
  spec.n_embd = proto.n_embd();
  spec.block_neurons.assign(proto.block_neurons().begin(), proto.block_neurons().end());
  HEARTH_ASSIGN_OR_RETURN(spec.activation,
                          EnumFromProto(proto.activation(), Activation::kSwigluOai, "activation"));
  spec.activation_parameters.alpha = proto.activation_alpha();
  spec.activation_parameters.limit = proto.activation_limit();
  spec.activation_parameters.xielu_alpha_p = proto.xielu_alpha_p();
  spec.activation_parameters.xielu_alpha_n = proto.xielu_alpha_n();
  spec.activation_parameters.xielu_beta = proto.xielu_beta();
  spec.activation_parameters.xielu_eps = proto.xielu_eps();
  spec.relu_up = proto.relu_up();
  spec.weight_on_input = proto.weight_on_input();
  spec.normalize_hidden = proto.normalize_hidden();
  spec.normalize_epsilon = proto.normalize_epsilon();
  spec.gate_scale = proto.gate_scale();
  spec.up_scale = proto.up_scale();
  spec.down_scale = proto.down_scale();
  spec.gate = MatrixFromProto(proto.has_gate(), proto.gate());
  spec.up = MatrixFromProto(proto.has_up(), proto.up());
  spec.down = MatrixFromProto(proto.has_down(), proto.down());
  spec.neuron_major = proto.neuron_major();
  spec.gate_bias = proto.gate_bias();
  spec.up_bias = proto.up_bias();
  spec.down_bias = proto.down_bias();
  spec.predictor_rank = proto.predictor_rank();
  spec.predictor_type = static_cast<TensorType>(proto.predictor_type());
  spec.sparse_threshold = proto.sparse_threshold();
  spec.shared_types = proto.has_shared_up();
  spec.shared_gate_type = static_cast<TensorType>(proto.shared_gate().type());
  spec.shared_up_type = static_cast<TensorType>(proto.shared_up().type());
  spec.shared_down_type = static_cast<TensorType>(proto.shared_down().type());
  HEARTH_RETURN_IF_ERROR(CheckFfnSpec(spec));
  return spec;
}

namespace {

// ---- Shards.

void GroupToProto(const PlacedGroup& placed, v1::GroupPlacement* proto) {
  proto->set_device(placed.device);
  proto->set_block(placed.group.block);
  proto->mutable_neurons()->Add(placed.group.neurons.begin(), placed.group.neurons.end());
  proto->set_sha256(ToBytes(placed.sha256));
  proto->set_bytes(placed.bytes);
}

// Ids must be of the block, each once in the layer (`seen`), and the bundle as large as the layout says.
absl::StatusOr<PlacedGroup> GroupFromProto(const v1::GroupPlacement& proto, const FfnLayerSpec& spec,
                                           absl::flat_hash_set<uint64_t>& seen) {
  PlacedGroup placed;
  HEARTH_RETURN_IF_ERROR(CheckName("device", proto.device()));
  placed.device = proto.device();
  placed.group.block = proto.block();
  placed.group.neurons.assign(proto.neurons().begin(), proto.neurons().end());
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.neurons_size(), UINT32_MAX, "neurons"));
  HEARTH_ASSIGN_OR_RETURN(const BundleLayout layout, MakeBundleLayout(spec, placed.group));
  for (uint32_t neuron : placed.group.neurons) {
    if (neuron >= spec.block_neurons[proto.block()]) {
      return Invalid("neurons: ", neuron, " in a block of ", spec.block_neurons[proto.block()], " neurons");
    }
    if (!seen.insert(uint64_t{proto.block()} << 32 | neuron).second) {
      return Invalid("neurons: neuron ", neuron, " of block ", proto.block(), " twice in a layer");
    }
  }
  HEARTH_ASSIGN_OR_RETURN(placed.sha256, BytesFromProto(proto.sha256(), "sha256"));
  if (proto.bytes() != layout.bytes || proto.bytes() > kMaxBundleBytes) {
    return Invalid("bytes: a bundle of ", proto.bytes(), " bytes where the layout has ", layout.bytes);
  }
  placed.bytes = proto.bytes();
  return placed;
}

absl::StatusOr<ShardLayer> ShareFromProto(const v1::ShardLayer& proto) {
  ShardLayer share;
  share.layer = proto.layer();
  HEARTH_ASSIGN_OR_RETURN(share.spec, FromProto(proto.spec()));
  if (proto.groups().empty()) return Invalid("groups: a share without neurons");
  absl::flat_hash_set<uint64_t> seen;
  for (const v1::GroupPlacement& group : proto.groups()) {
    HEARTH_ASSIGN_OR_RETURN(PlacedGroup placed, GroupFromProto(group, share.spec, seen));
    share.groups.push_back(std::move(placed));
  }
  return share;
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
  if (proto.kind() != "cpu" && proto.kind() != "gpu") return Invalid("kind: neither \"cpu\" nor \"gpu\"");
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

void StatusToProto(const ShardStatus& status, v1::ShardState* proto) {
  proto->set_epoch(status.epoch);
  proto->set_model(status.model);
  proto->set_phase(EnumToProto<v1::ShardPhase>(status.phase));
  proto->set_detail(status.detail);
  proto->set_bytes_done(status.bytes_done);
  proto->set_bytes_total(status.bytes_total);
  for (const DeviceWork& device : status.devices) {
    v1::DeviceCounters* out = proto->add_devices();
    out->set_device(device.device);
    out->mutable_neurons_computed()->Add(device.neurons_computed.begin(), device.neurons_computed.end());
    out->mutable_neurons_offered()->Add(device.neurons_offered.begin(), device.neurons_offered.end());
    out->set_bytes_touched(device.bytes_touched);
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
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.devices_size(), kMaxDevices, "shards.devices"));
  for (const v1::DeviceCounters& device : proto.devices()) {
    HEARTH_RETURN_IF_ERROR(CheckAtMost(device.neurons_computed_size(), kMaxLayers, "neurons_computed"));
    HEARTH_RETURN_IF_ERROR(CheckAtMost(device.neurons_offered_size(), kMaxLayers, "neurons_offered"));
    HEARTH_RETURN_IF_ERROR(CheckName("shards.devices.device", device.device()));
    status.devices.push_back({device.device(),
                              {device.neurons_computed().begin(), device.neurons_computed().end()},
                              {device.neurons_offered().begin(), device.neurons_offered().end()},
                              device.bytes_touched()});
  }
  return status;
}

}  // namespace

v1::Shard ToProto(const ShardDescription& shard) {
  v1::Shard proto;
  proto.set_epoch(shard.epoch);
  proto.set_model(shard.model);
  proto.set_model_digest(shard.model_digest);
  proto.set_sparsity(EnumToProto<v1::FfnSparsity>(shard.sparsity));
  proto.set_layers(shard.layers);
  proto.set_max_rows(shard.max_rows);
  for (const ShardLayer& share : shard.shares) {
    v1::ShardLayer* out = proto.add_shares();
    out->set_layer(share.layer);
    *out->mutable_spec() = LayerToProto(share.spec);
    for (const PlacedGroup& group : share.groups) GroupToProto(group, out->add_groups());
  }
  return proto;
}

absl::StatusOr<ShardDescription> FromProto(const v1::Shard& proto) {
  ShardDescription shard;
  if (proto.epoch() == 0) return Invalid("epoch: 0 is no plan");
  HEARTH_RETURN_IF_ERROR(CheckName("model", proto.model()));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.model_digest().size(), kMaxDigestBytes, "model_digest"));
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.layers(), kMaxLayers, "layers"));
  if (proto.max_rows() == 0) return Invalid("max_rows: 0");
  HEARTH_RETURN_IF_ERROR(CheckAtMost(proto.max_rows(), kMaxRows, "max_rows"));
  shard.epoch = proto.epoch();
  shard.model = proto.model();
  shard.model_digest = proto.model_digest();
  HEARTH_ASSIGN_OR_RETURN(shard.sparsity,
                          EnumFromProto(proto.sparsity(), SparsityMode::kPredicted, "sparsity"));
  shard.layers = proto.layers();
  shard.max_rows = proto.max_rows();
  for (const v1::ShardLayer& share : proto.shares()) {
    if (share.layer() >= shard.layers) return Invalid("shares: layer ", share.layer(), " of ", shard.layers);
    if (!shard.shares.empty() && share.layer() <= shard.shares.back().layer) {
      return Invalid("shares: layers do not rise");
    }
    HEARTH_ASSIGN_OR_RETURN(ShardLayer converted, ShareFromProto(share));
    shard.shares.push_back(std::move(converted));
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
