#include "tests/damage/damaged_shard.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <bit>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "daemon/membership/conversion.h"
#include "daemon/weights/shard_description.h"
#include "engine/attention/kv_cache.h"
#include "engine/base/status_macros.h"
#include "engine/device/device_set.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/file/gguf_skeleton.h"
#include "engine/outline/default_sparsity.h"
#include "engine/outline/model_outline.h"

namespace hearth {
namespace {

constexpr char kDevice[] = "cpu";
constexpr uint64_t kBudgetBytes = 64 << 20;
constexpr uint32_t kRows = 2;
constexpr DecoderOptions kOptions{.sequences = 2, .context_length = 16, .max_rows = kRows};

// What a worker is told of a model, but for its units.
ShardDescription DescriptionOf(SparsityMode sparsity) {
  ShardDescription shard;
  shard.epoch = 1;
  shard.model = "m";
  shard.model_digest = "sha256:m";
  shard.skeleton.bytes = 1;
  shard.options.sparsity = sparsity;
  shard.options.context_length = kOptions.context_length;
  shard.decoder = kOptions;
  return shard;
}

// All units of a model.
absl::Status PlaceAll(const ModelOutline& outline, ShardDescription& shard) {
  for (const UnitId& unit : DeviceShare::Everything(outline).units()) {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, outline.BundleBytes(unit));
    shard.units.push_back({kDevice, unit, {{}, bytes}});
  }
  return absl::OkStatus();
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

// The shard with bytes of its message changed, or one of all fields, or as it is.
v1::Shard Changed(v1::Shard shard, std::mt19937_64& random) {
  const uint64_t kind = random() % 8;
  if (kind == 0) {
    const std::string message = shard.SerializeAsString();
    std::vector<uint8_t> bytes(message.begin(), message.end());
    Damage(random(), 0, bytes.size(), bytes);
    shard.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
  } else if (kind < 4) {
    ChangeField(shard, random);
  }
  return shard;
}

// Bytes that are now and then numbers which break things.
std::vector<uint8_t> RandomBundle(uint64_t bytes, std::mt19937_64& random) {
  std::vector<uint8_t> bundle(bytes, static_cast<uint8_t>(random() % 2 * 0x3c));
  for (uint64_t i = 0; i < bytes; i += 1 + random() % 64) bundle[i] = static_cast<uint8_t>(random());
  return bundle;
}

std::vector<float> RandomValues(size_t count, std::mt19937_64& random) {
  std::vector<float> floats(count);
  for (float& value : floats) value = static_cast<float>(random() % 2001) / 1000 - 1;
  return floats;
}

absl::Status Ask(DeviceSet& devices, const Request& request) {
  std::vector<int64_t> sums(SumsOf(request));
  devices.Submit(request);
  return devices.Collect(WorkOf(request), absl::MakeSpan(sums));
}

// The requests to a layer, as a leader sends them.
absl::Status ComputeLayer(const ModelOutline& outline, uint32_t layer, DeviceSet& devices,
                          std::mt19937_64& random) {
  const FfnLayerSpec& spec = outline.ffn_specs[layer];
  const std::vector<float> x = RandomValues(size_t{kRows} * outline.spec.n_embd, random);
  const std::vector<RowPlace> places = {{1, 0, true}, {1, 1, false}};
  HEARTH_RETURN_IF_ERROR(Ask(
      devices,
      MixRequest{
          .step = 1, .layer = layer, .rows = places, .x = x.data(), .output_values = outline.spec.n_embd}));
  if (spec.block_neurons.empty()) return absl::OkStatus();
  const std::vector<float> hidden = RandomValues(size_t{kRows} * spec.predictor_rank, random);
  const uint32_t blocks = static_cast<uint32_t>(spec.block_neurons.size());
  const std::vector<BlockChoice> choices = {{0, 0.5f}, {blocks - 1, 2}, {blocks / 2, -1}, {blocks - 1, 0}};
  FfnRequest request;
  request.layer = layer;
  request.rows = kRows;
  request.x = x.data();
  if (spec.predictor_rank > 0) request.hidden = hidden.data();
  if (blocks > 1) {
    request.choices = choices;
    request.choices_per_row = static_cast<uint32_t>(choices.size()) / kRows;
  }
  request.output_values = spec.output_values();
  return Ask(devices, request);
}

absl::Status ComputeAll(const ModelOutline& outline, DeviceSet devices, std::mt19937_64& random) {
  for (uint32_t layer = 0; layer < outline.spec.n_layers; ++layer) {
    HEARTH_RETURN_IF_ERROR(ComputeLayer(outline, layer, devices, random));
  }
  const std::vector<float> x = RandomValues(size_t{kRows} * outline.spec.n_embd, random);
  std::vector<float> logits(size_t{kRows} * outline.spec.n_vocab);
  return Ask(devices, OutputRequest{kRows, x.data(), logits.data(), outline.spec.n_vocab});
}

}  // namespace

absl::Status TryShard(uint64_t seed, const std::vector<Sound>& models) {
  std::mt19937_64 random(seed);
  const Sound& sound = models[random() % models.size()];
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Parse(sound.bytes, sound.name));
  HEARTH_ASSIGN_OR_RETURN(const SparsityChoice sparsity, DefaultSparsity(*file, {}));
  HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> skeleton_bytes, MakeSkeleton(*file));
  if (random() % 2 == 0) Damage(random(), 0, skeleton_bytes.size(), skeleton_bytes);
  ShardDescription sent = DescriptionOf(sparsity.mode);
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> skeleton,
                          ParseSkeleton(std::move(skeleton_bytes), sound.name));
  {
    HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(*skeleton, sent.options));
    HEARTH_RETURN_IF_ERROR(PlaceAll(outline, sent));
  }
  HEARTH_ASSIGN_OR_RETURN(const ShardDescription shard, FromProto(Changed(ToProto(sent), random)));
  HEARTH_ASSIGN_OR_RETURN(ModelOutline outlined, OutlineModel(*skeleton, shard.options));
  const auto outline = std::make_shared<const ModelOutline>(std::move(outlined));
  HostDevices devices({{kDevice, 1, kBudgetBytes}});
  HEARTH_ASSIGN_OR_RETURN(std::vector<DeviceShare> shares, SharesOf(shard.units, *outline, devices.specs()));
  HEARTH_RETURN_IF_ERROR(KvCacheBytes(outline->spec, shard.decoder).status());
  HostShare share(outline, shard.decoder, std::move(shares), devices);
  HEARTH_RETURN_IF_ERROR(share.Check());
  ThreadPool pool(1);
  BundleWeights source(outline, [&](const UnitId& unit) -> absl::StatusOr<std::vector<uint8_t>> {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, outline->BundleBytes(unit));
    return RandomBundle(bytes, random);
  });
  HEARTH_RETURN_IF_ERROR(share.Load(source, pool));
  if (shard.decoder.max_rows < kRows || shard.decoder.sequences < 2 || shard.decoder.context_length < 2) {
    return absl::OkStatus();  // no leader asks it for these rows
  }
  return ComputeAll(*outline, DeviceSet(share.devices()), random);
}

}  // namespace hearth
