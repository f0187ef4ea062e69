#include "engine/device/host_share.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/device/async_device.h"

namespace hearth {
namespace {

using Numbers = std::vector<uint32_t>;

bool Contains(const Numbers& numbers, uint32_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool IsSubset(const Numbers& part, const Numbers& whole) {
  return std::all_of(part.begin(), part.end(), [&](uint32_t number) { return Contains(whole, number); });
}

// The wanted numbers that none of the pieces has; numbers(piece) are a piece's.
template <class Pieces, class NumbersOf>
Numbers MissingFrom(const Pieces& pieces, const Numbers& wanted, NumbersOf numbers_of) {
  Numbers missing;
  for (uint32_t number : wanted) {
    const bool held = std::any_of(pieces.begin(), pieces.end(),
                                  [&](const auto& piece) { return Contains(numbers_of(*piece), number); });
    if (!held) missing.push_back(number);
  }
  return missing;
}

// Of a former share's pieces those that have only wanted units, none of which is held already.
template <class Pieces, class NumbersOf>
Pieces Adoptable(const Pieces& former, const Pieces& held, const Numbers& wanted, NumbersOf numbers_of) {
  Pieces adoptable;
  for (const auto& piece : former) {
    const Numbers& numbers = numbers_of(*piece);
    if (IsSubset(numbers, wanted) && MissingFrom(held, numbers, numbers_of).size() == numbers.size()) {
      adoptable.push_back(piece);
    }
  }
  return adoptable;
}

const Numbers& GroupsOf(const FfnPiece& piece) { return piece.groups; }
const Numbers& HeadsOf(const MixerShard& piece) { return piece.groups(); }
const Numbers& RunsOf(const OutputShard& piece) { return piece.held(); }

absl::Status InLayer(uint32_t layer, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("layer ", layer, ": ", status.message()));
}

Numbers UpTo(size_t count) {
  Numbers numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  return numbers;
}

}  // namespace

HostDevices::HostDevices(std::vector<HostDeviceSpec> specs, ThreadPool* first_pool)
    : specs_(std::move(specs)) {
  HEARTH_CHECK(!specs_.empty());
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (i == 0 && first_pool != nullptr) {
      pools_.push_back(first_pool);
      continue;
    }
    own_pools_.push_back(std::make_unique<ThreadPool>(specs_[i].threads));
    pools_.push_back(own_pools_.back().get());
  }
}

DeviceShare DeviceShare::Everything(const ModelOutline& outline) { return ShareInTurn(outline, 1).front(); }

std::vector<DeviceShare> ShareInTurn(const ModelOutline& outline, size_t count) {
  std::vector<DeviceShare> shares(count, DeviceShare::Nothing(outline.spec.n_layers));
  for (uint32_t layer = 0; layer < outline.spec.n_layers; ++layer) {
    for (uint32_t g : UpTo(outline.neuron_groups[layer].size())) {
      shares[g % count].neuron_groups[layer].push_back(g);
    }
    for (uint32_t g : UpTo(outline.head_groups[layer].size())) {
      shares[g % count].head_groups[layer].push_back(g);
    }
  }
  for (uint32_t run : UpTo(outline.output_runs.size())) shares[run % count].output_runs.push_back(run);
  return shares;
}

void DeviceShare::Add(const UnitId& unit) {
  switch (unit.kind) {
    case UnitKind::kHeads:
      return head_groups[unit.layer].push_back(unit.number);
    case UnitKind::kNeurons:
      return neuron_groups[unit.layer].push_back(unit.number);
    case UnitKind::kOutput:
      return output_runs.push_back(unit.number);
    case UnitKind::kLayer:
      return led_layers.push_back(unit.layer);
  }
}

std::vector<UnitId> DeviceShare::units() const {
  std::vector<UnitId> units;
  for (uint32_t layer = 0; layer < head_groups.size(); ++layer) {
    for (uint32_t group : head_groups[layer]) units.push_back({UnitKind::kHeads, layer, group});
    for (uint32_t group : neuron_groups[layer]) units.push_back({UnitKind::kNeurons, layer, group});
  }
  for (uint32_t run : output_runs) units.push_back({UnitKind::kOutput, 0, run});
  for (uint32_t layer : led_layers) units.push_back({UnitKind::kLayer, layer, 0});
  return units;
}

HostShare::HostShare(std::shared_ptr<const ModelOutline> outline, const DecoderOptions& options,
                     std::vector<DeviceShare> shares, HostDevices& devices)
    : outline_(std::move(outline)), options_(options), shares_(std::move(shares)), host_(devices) {
  HEARTH_CHECK(shares_.size() == host_.specs().size());
  for (size_t i = 0; i < host_.specs().size(); ++i) {
    auto device =
        std::make_unique<CpuDevice>(host_.specs()[i].name, outline_->spec, options_.max_rows, host_.pool(i));
    cpus_.push_back(device.get());
    owned_.push_back(std::move(device));
  }
}

HostShare::~HostShare() = default;

absl::Status HostShare::Check() const {
  for (size_t i = 0; i < shares_.size(); ++i) {
    uint64_t bytes = 0;
    for (const UnitId& unit : shares_[i].units()) {
      HEARTH_ASSIGN_OR_RETURN(const uint64_t weights, outline_->BundleBytes(unit));
      HEARTH_ASSIGN_OR_RETURN(const uint64_t cache, outline_->CacheBytes(unit, options_));
      for (const uint64_t part : {weights, cache}) bytes = CheckedAdd(bytes, part).value_or(UINT64_MAX);
    }
    const HostDeviceSpec& spec = host_.specs()[i];
    if (bytes > spec.memory_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("device ", spec.name, " is to hold ", bytes,
                                                       " bytes of weights and caches, its budget is ",
                                                       spec.memory_bytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

std::vector<UnitId> HostShare::missing() const {
  std::vector<UnitId> missing;
  for (size_t i = 0; i < shares_.size(); ++i) {
    const CpuDevice& cpu = *cpus_[i];
    for (const UnitId& unit : shares_[i].units()) {
      const Numbers number = {unit.number};
      const bool lacks =
          unit.kind == UnitKind::kLayer     ? true  // they are small
          : unit.kind == UnitKind::kHeads   ? !MissingFrom(cpu.mixers(unit.layer), number, HeadsOf).empty()
          : unit.kind == UnitKind::kNeurons ? !MissingFrom(cpu.ffn(unit.layer), number, GroupsOf).empty()
                                            : !MissingFrom(cpu.outputs(), number, RunsOf).empty();
      if (lacks) missing.push_back(unit);
    }
  }
  return missing;
}

void HostShare::Adopt(const HostShare& former) {
  const bool same_model = former.outline_ == outline_ && former.options_ == options_;
  if (!same_model || former.cpus_.size() != cpus_.size()) return;
  for (size_t i = 0; i < cpus_.size(); ++i) {
    CpuDevice& cpu = *cpus_[i];
    const CpuDevice& other = *former.cpus_[i];
    for (uint32_t layer = 0; layer < cpu.layers(); ++layer) {
      for (const auto& piece :
           Adoptable(other.ffn(layer), cpu.ffn(layer), shares_[i].neuron_groups[layer], GroupsOf)) {
        cpu.AddFfn(layer, piece);
      }
      for (const auto& piece :
           Adoptable(other.mixers(layer), cpu.mixers(layer), shares_[i].head_groups[layer], HeadsOf)) {
        cpu.AddMixer(layer, piece);
      }
    }
    for (const auto& piece : Adoptable(other.outputs(), cpu.outputs(), shares_[i].output_runs, RunsOf)) {
      cpu.AddOutput(piece);
    }
  }
}

absl::Status HostShare::Load(WeightSource& source, ThreadPool& pool, const Progress& progress) {
  const auto report = [&] { return progress ? progress(weight_bytes()) : absl::OkStatus(); };
  for (uint32_t layer = 0; layer < outline_->spec.n_layers; ++layer) {
    for (size_t i = 0; i < cpus_.size(); ++i) {
      HEARTH_RETURN_IF_ERROR(InLayer(layer, LoadLayer(layer, i, source, pool)));
      HEARTH_RETURN_IF_ERROR(report());
    }
    source.ReleaseLayer(layer);
  }
  for (size_t i = 0; i < cpus_.size(); ++i) {
    HEARTH_RETURN_IF_ERROR(LoadOutput(i, source, pool));
    HEARTH_RETURN_IF_ERROR(report());
  }
  for (size_t i = 0; i < owned_.size(); ++i) {
    if (cpus_[i]->empty()) continue;
    if (i > 0) owned_[i] = std::make_unique<AsyncDevice>(std::move(owned_[i]));
    used_.push_back(owned_[i].get());
  }
  return absl::OkStatus();
}

absl::Status HostShare::LoadLayer(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool) {
  HEARTH_RETURN_IF_ERROR(LoadHeads(layer, device, source, pool));
  return LoadNeurons(layer, device, source, pool);
}

absl::Status HostShare::LoadNeurons(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool) {
  const Numbers missing =
      MissingFrom(cpus_[device]->ffn(layer), shares_[device].neuron_groups[layer], GroupsOf);
  if (missing.empty()) return absl::OkStatus();
  std::vector<GroupWeights> weights;
  for (uint32_t group : missing) {
    HEARTH_ASSIGN_OR_RETURN(GroupWeights of_group, source.Neurons(layer, group));
    weights.push_back(std::move(of_group));
  }
  auto piece = std::make_shared<FfnPiece>();
  piece->groups = missing;
  HEARTH_ASSIGN_OR_RETURN(
      piece->shard, MakeCpuShard(outline_->ffn_specs[layer], std::move(weights), outline_->options.sparsity,
                                 pool, outline_->options.arithmetic));
  cpus_[device]->AddFfn(layer, std::move(piece));
  return absl::OkStatus();
}

absl::Status HostShare::LoadHeads(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool) {
  const Numbers missing =
      MissingFrom(cpus_[device]->mixers(layer), shares_[device].head_groups[layer], HeadsOf);
  if (missing.empty()) return absl::OkStatus();
  std::vector<UnitWeights> weights;
  for (uint32_t group : missing) {
    HEARTH_ASSIGN_OR_RETURN(UnitWeights of_group, source.Unit({UnitKind::kHeads, layer, group}));
    weights.push_back(std::move(of_group));
  }
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<MixerShard> piece,
                          MixerShard::Load(outline_->spec, layer, outline_->head_groups[layer], missing,
                                           weights, options_, outline_->options.arithmetic, pool));
  cpus_[device]->AddMixer(layer, std::move(piece));
  return absl::OkStatus();
}

absl::Status HostShare::LoadOutput(size_t device, WeightSource& source, ThreadPool& pool) {
  const Numbers missing = MissingFrom(cpus_[device]->outputs(), shares_[device].output_runs, RunsOf);
  if (missing.empty()) return absl::OkStatus();
  std::vector<UnitWeights> weights;
  for (uint32_t run : missing) {
    HEARTH_ASSIGN_OR_RETURN(UnitWeights of_run, source.Unit({UnitKind::kOutput, 0, run}));
    weights.push_back(std::move(of_run));
  }
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<OutputShard> piece,
                          OutputShard::Load(outline_->spec, outline_->output_runs, missing, weights,
                                            outline_->options.arithmetic, pool));
  cpus_[device]->AddOutput(std::move(piece));
  return absl::OkStatus();
}

std::vector<std::pair<UnitId, uint64_t>> HostShare::cache_ids() const {
  std::vector<std::pair<UnitId, uint64_t>> ids;
  for (const CpuDevice* cpu : cpus_) {
    for (uint32_t layer = 0; layer < cpu->layers(); ++layer) {
      for (const auto& piece : cpu->mixers(layer)) {
        for (uint32_t group : piece->groups()) {
          ids.push_back({{UnitKind::kHeads, layer, group}, piece->cache_id()});
        }
      }
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

uint64_t HostShare::weight_bytes() const {
  uint64_t bytes = 0;
  for (const CpuDevice* cpu : cpus_) bytes += cpu->weight_bytes();
  return bytes;
}

uint64_t HostShare::kv_bytes() const {
  uint64_t bytes = 0;
  for (const CpuDevice* cpu : cpus_) bytes += cpu->kv_bytes();
  return bytes;
}

}  // namespace hearth
