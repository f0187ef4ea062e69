#include "tests/damage/damaged_shard.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <bit>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "daemon/membership/conversion.h"
#include "daemon/weights/local_shard.h"
#include "engine/base/status_macros.h"
#include "engine/outline/model_outline.h"

namespace hearth {
namespace {

constexpr char kDevice[] = "cpu";
constexpr uint64_t kBudgetBytes = 64 << 20;
constexpr uint32_t kRows = 2;

// All groups of a model.
absl::StatusOr<ShardDescription> WholeShard(const GgufFile& file, SparsityMode sparsity) {
  ModelOptions options;
  options.sparsity = sparsity;
  HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(file, options));
  ShardDescription shard{1, "m", "sha256:m", sparsity, outline.spec.n_layers, kRows, {}};
  for (uint32_t layer = 0; layer < outline.neuron_groups.size(); ++layer) {
    ShardLayer share{layer, outline.ffn_specs[layer], {}};
    for (const NeuronGroup& group : outline.neuron_groups[layer]) {
      HEARTH_ASSIGN_OR_RETURN(const BundleLayout layout, MakeBundleLayout(share.spec, group));
      share.groups.push_back({kDevice, group, {}, layout.bytes});
    }
    if (!share.groups.empty()) shard.shares.push_back(std::move(share));
  }
  return shard;
}

// Changes a field of a message, be it set or not, or one of a message in it.
void ChangeField(google::protobuf::Message& message, std::mt19937_64& random) {
  using Field = google::protobuf::FieldDescriptor;
  constexpr uint64_t kNumbers[] = {0,           1, 2, 3, 8, 31, 32, 33, 64, 256, 1 << 20, ~uint64_t{0} >> 1,
                                   ~uint64_t{0}};
  const auto below = [&](int count) { return static_cast<int>(random() % static_cast<uint64_t>(count)); };
  const uint64_t number = kNumbers[random() % std::size(kNumbers)];
  const auto* reflection = message.GetReflection();
  const Field* field = message.GetDescriptor()->field(below(message.GetDescriptor()->field_count()));
  if (below(8) == 0) return reflection->ClearField(&message, field);
  const int size = field->is_repeated() ? reflection->FieldSize(message, field) : 0;
  switch (field->cpp_type()) {
    case Field::CPPTYPE_BOOL:
      return reflection->SetBool(&message, field, below(2) != 0);
    case Field::CPPTYPE_UINT32:
      if (!field->is_repeated()) return reflection->SetUInt32(&message, field, static_cast<uint32_t>(number));
      if (size == 0) return reflection->AddUInt32(&message, field, static_cast<uint32_t>(number));
      return reflection->SetRepeatedUInt32(&message, field, below(size), static_cast<uint32_t>(number));
    case Field::CPPTYPE_UINT64:
      return reflection->SetUInt64(&message, field, number);
    case Field::CPPTYPE_FLOAT:
      return reflection->SetFloat(&message, field, std::bit_cast<float>(static_cast<uint32_t>(random())));
    case Field::CPPTYPE_ENUM:
      return reflection->SetEnumValue(&message, field, below(8));
    case Field::CPPTYPE_STRING:
      return reflection->SetString(&message, field, std::string(static_cast<size_t>(below(40)), 'x'));
    case Field::CPPTYPE_MESSAGE:
      if (!field->is_repeated()) return ChangeField(*reflection->MutableMessage(&message, field), random);
      if (size == 0) return ChangeField(*reflection->AddMessage(&message, field), random);
      return ChangeField(*reflection->MutableRepeatedMessage(&message, field, below(size)), random);
    default:
      return;
  }
}

// Gives the groups of a layer the sizes that its description makes them: refused by those they would show
// nothing of what is behind.
void FitSizes(v1::ShardLayer& share) {
  const absl::StatusOr<FfnLayerSpec> spec = FromProto(share.spec());
  if (!spec.ok()) return;
  for (v1::GroupPlacement& group : *share.mutable_groups()) {
    const NeuronGroup neurons{group.block(), {group.neurons().begin(), group.neurons().end()}, 1};
    const absl::StatusOr<BundleLayout> layout = MakeBundleLayout(*spec, neurons);
    if (layout.ok()) group.set_bytes(layout->bytes);
  }
}

// The shard with bytes of its message changed, or one of all fields, or some that describe a layer.
v1::Shard Changed(v1::Shard shard, std::mt19937_64& random) {
  const uint64_t kind = random() % 8;
  if (kind == 0) {
    const std::string message = shard.SerializeAsString();
    std::vector<uint8_t> bytes(message.begin(), message.end());
    Damage(random(), 0, bytes.size(), bytes);
    shard.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
  } else if (kind == 1) {
    ChangeField(shard, random);
  } else {
    v1::ShardLayer& share = *shard.mutable_shares(static_cast<int>(random() % shard.shares().size()));
    for (uint64_t i = random() % 4; i < 4; ++i) ChangeField(*share.mutable_spec(), random);
    FitSizes(share);
  }
  return shard;
}

// Bytes that are now and then numbers which break things.
std::vector<uint8_t> RandomBundle(uint64_t bytes, std::mt19937_64& random) {
  std::vector<uint8_t> bundle(bytes, static_cast<uint8_t>(random() % 2 * 0x3c));
  for (uint64_t i = 0; i < bytes; i += 1 + random() % 64) bundle[i] = static_cast<uint8_t>(random());
  return bundle;
}

// One request to a layer, as a leader sends it.
absl::Status Compute(const ShardLayer& share, LocalShard& shard, std::mt19937_64& random) {
  const FfnLayerSpec& spec = share.spec;
  const auto values = [&](size_t count) {
    std::vector<float> floats(count);
    for (float& value : floats) value = static_cast<float>(random() % 2001) / 1000 - 1;
    return floats;
  };
  const std::vector<float> x = values(size_t{kRows} * spec.n_embd);
  const std::vector<float> hidden = values(size_t{kRows} * spec.predictor_rank);
  const uint32_t blocks = static_cast<uint32_t>(spec.block_neurons.size());
  const std::vector<BlockChoice> choices = {{0, 0.5f}, {blocks - 1, 2}, {blocks / 2, -1}, {blocks - 1, 0}};
  FfnRequest request;
  request.layer = share.layer;
  request.rows = kRows;
  request.x = x.data();
  if (spec.predictor_rank > 0) request.hidden = hidden.data();
  if (blocks > 1) {
    request.choices = choices;
    request.choices_per_row = static_cast<uint32_t>(choices.size()) / kRows;
  }
  request.output_values = spec.output_values();
  std::vector<int64_t> sums(size_t{kRows} * spec.output_values());
  return shard.Run(request, absl::MakeSpan(sums));
}

}  // namespace

absl::Status TryShard(uint64_t seed, const std::vector<Sound>& models) {
  std::mt19937_64 random(seed);
  const Sound& sound = models[random() % models.size()];
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Parse(sound.bytes, sound.name));
  HEARTH_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(*file, {}));
  HEARTH_ASSIGN_OR_RETURN(const ShardDescription whole, WholeShard(*file, DefaultSparsity(spec)));
  HEARTH_ASSIGN_OR_RETURN(ShardDescription damaged, FromProto(Changed(ToProto(whole), random)));
  HostDevices devices({{kDevice, 1, kBudgetBytes}});
  LocalShard shard(std::move(damaged), devices);
  HEARTH_RETURN_IF_ERROR(shard.Check());
  ThreadPool pool(1);
  const auto source = [&](const ShardLayer& share, const PlacedGroup& group) {
    return GroupWeights::FromBundle(share.spec, group.group, RandomBundle(group.bytes, random));
  };
  HEARTH_RETURN_IF_ERROR(shard.Load(source, pool, nullptr));
  for (const ShardLayer& share : shard.description().shares) {
    HEARTH_RETURN_IF_ERROR(Compute(share, shard, random));
  }
  return absl::OkStatus();
}

}  // namespace hearth
