#include "engine/device/host_share.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/device/async_device.h"
#include "engine/device/cpu_device.h"
#include "engine/device/gpu_device.h"

namespace hearth {
namespace {

using Numbers = std::vector<uint32_t>;

// CPUs wait about as long for the GPU's part of a section.
constexpr std::chrono::microseconds kSpinBesideGpu(400);

bool Contains(const Numbers& numbers, uint32_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool IsSubset(const Numbers& part, const Numbers& whole) {
  return std::all_of(part.begin(), part.end(), [&](uint32_t number) { return Contains(whole, number); });
}

// The wanted numbers that none of the pieces has.
Numbers MissingFrom(const LocalDevice::Pieces& pieces, const Numbers& wanted) {
  Numbers missing;
  for (uint32_t number : wanted) {
    const bool held = std::any_of(pieces.begin(), pieces.end(),
                                  [&](const auto& piece) { return Contains(piece->units(), number); });
    if (!held) missing.push_back(number);
  }
  return missing;
}

// `device` takes over those of a former device's pieces that have only wanted units, none of which it holds
// already.
void AdoptPieces(const LocalDevice& former, UnitKind kind, uint32_t layer, const Numbers& wanted,
                 LocalDevice& device) {
  for (const auto& piece : former.pieces(kind, layer)) {
    const Numbers& units = piece->units();
    if (IsSubset(units, wanted) && MissingFrom(device.pieces(kind, layer), units).size() == units.size()) {
      device.Add(kind, layer, piece);
    }
  }
}

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
  const auto is_gpu = [](const HostDeviceSpec& spec) { return spec.gpu != nullptr; };
  if (std::none_of(specs_.begin(), specs_.end(), is_gpu)) return;
  for (ThreadPool* pool : pools_) pool->set_spin(kSpinBesideGpu);
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
    std::unique_ptr<LocalDevice> device = MakeDevice(i);
    locals_.push_back(device.get());
    owned_.push_back(std::move(device));
  }
}

HostShare::~HostShare() = default;

std::unique_ptr<LocalDevice> HostShare::MakeDevice(size_t i) {
  const HostDeviceSpec& spec = host_.specs()[i];
  if (spec.gpu != nullptr) return std::make_unique<GpuDevice>(spec.name, *outline_, options_, spec.gpu);
  return std::make_unique<CpuDevice>(spec.name, outline_->spec, options_.max_rows, host_.pool(i),
                                     Pace(spec.pace_bytes_per_s));
}

absl::StatusOr<uint64_t> HostShare::BytesOf(size_t device) const {
  uint64_t bytes = 0;
  for (const UnitId& unit : shares_[device].units()) {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t weights, outline_->BundleBytes(unit));
    HEARTH_ASSIGN_OR_RETURN(const uint64_t cache, outline_->CacheBytes(unit, options_));
    for (const uint64_t part : {weights, cache}) bytes = CheckedAdd(bytes, part).value_or(UINT64_MAX);
  }
  return bytes;
}

absl::Status HostShare::LeaveNeuronsOnDisk(size_t device, const WeightSource& source) {
  const HostDeviceSpec& spec = host_.specs()[device];
  if (!spec.uses_disk || spec.gpu != nullptr || MissingOf(device).empty()) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, BytesOf(device));
  if (bytes <= spec.memory_bytes) return absl::OkStatus();
  const GgufFile* file = source.packed_file();
  if (file == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("device ", spec.name, " is to hold ", bytes,
                     " bytes of weights and caches, its budget is ", spec.memory_bytes,
                     " bytes; pack the model (hearth-model pack) so that neurons can stay on the "
                     "disk, or give it more memory"));
  }
  return static_cast<CpuDevice*>(locals_[device])->LeaveNeuronsOnDisk(*file, *outline_, spec.memory_bytes);
}

absl::Status HostShare::Check() const {
  for (size_t i = 0; i < shares_.size(); ++i) {
    for (const UnitId& unit : shares_[i].units())
      HEARTH_RETURN_IF_ERROR(locals_[i]->CanHold(*outline_, unit));
    HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, BytesOf(i));
    const HostDeviceSpec& spec = host_.specs()[i];
    if (bytes > spec.memory_bytes && !spec.uses_disk) {
      return absl::ResourceExhaustedError(absl::StrCat("device ", spec.name, " is to hold ", bytes,
                                                       " bytes of weights and caches, its budget is ",
                                                       spec.memory_bytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

std::vector<UnitId> HostShare::MissingOf(size_t device) const {
  std::vector<UnitId> missing;
  for (const UnitId& unit : shares_[device].units()) {
    // What is a layer's own is small: it is always loaded anew.
    const bool lacks = unit.kind == UnitKind::kLayer ||
                       !MissingFrom(locals_[device]->pieces(unit.kind, unit.layer), {unit.number}).empty();
    if (lacks) missing.push_back(unit);
  }
  return missing;
}

std::vector<UnitId> HostShare::missing() const {
  std::vector<UnitId> missing;
  for (size_t i = 0; i < shares_.size(); ++i) {
    const std::vector<UnitId> of_device = MissingOf(i);
    missing.insert(missing.end(), of_device.begin(), of_device.end());
  }
  return missing;
}

absl::StatusOr<uint64_t> HostShare::MissingBytes() const {
  uint64_t missing_bytes = 0;
  for (size_t i = 0; i < shares_.size(); ++i) {
    uint64_t of_device = 0;
    for (const UnitId& unit : MissingOf(i)) {
      HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, outline_->BundleBytes(unit));
      of_device = CheckedAdd(of_device, bytes).value_or(UINT64_MAX);
    }
    const HostDeviceSpec& spec = host_.specs()[i];
    if (spec.uses_disk) of_device = std::min(of_device, spec.memory_bytes);
    missing_bytes = CheckedAdd(missing_bytes, of_device).value_or(UINT64_MAX);
  }
  return missing_bytes;
}

void HostShare::Adopt(const HostShare& former) {
  const bool same_model = former.outline_ == outline_ && former.options_ == options_;
  if (!same_model || former.locals_.size() != locals_.size()) return;
  for (size_t i = 0; i < locals_.size(); ++i) {
    LocalDevice& device = *locals_[i];
    const LocalDevice& other = *former.locals_[i];
    if (host_.specs()[i].uses_disk) {
      if (shares_[i].units() != former.shares_[i].units()) continue;
      static_cast<CpuDevice&>(device).ShareDisk(static_cast<const CpuDevice&>(other));
    }
    for (uint32_t layer = 0; layer < device.layers(); ++layer) {
      AdoptPieces(other, UnitKind::kNeurons, layer, shares_[i].neuron_groups[layer], device);
      AdoptPieces(other, UnitKind::kHeads, layer, shares_[i].head_groups[layer], device);
    }
    AdoptPieces(other, UnitKind::kOutput, 0, shares_[i].output_runs, device);
  }
}

absl::Status HostShare::Load(WeightSource& source, ThreadPool& pool, const Progress& progress) {
  const auto report = [&] { return progress ? progress(weight_bytes()) : absl::OkStatus(); };
  for (size_t i = 0; i < locals_.size(); ++i) HEARTH_RETURN_IF_ERROR(LeaveNeuronsOnDisk(i, source));
  for (uint32_t layer = 0; layer < outline_->spec.n_layers; ++layer) {
    for (size_t i = 0; i < locals_.size(); ++i) {
      HEARTH_RETURN_IF_ERROR(InLayer(layer, LoadLayer(layer, i, source, pool)));
      HEARTH_RETURN_IF_ERROR(report());
    }
    source.ReleaseLayer(layer);
  }
  for (size_t i = 0; i < locals_.size(); ++i) {
    HEARTH_RETURN_IF_ERROR(LoadOutput(i, source, pool));
    HEARTH_RETURN_IF_ERROR(report());
  }
  for (size_t i = 0; i < owned_.size(); ++i) {
    if (locals_[i]->empty()) continue;
    HEARTH_RETURN_IF_ERROR(locals_[i]->Prepare());
    // The first CPU computes on the thread that collects.
    if (i > 0 && locals_[i]->computes_in_collect())
      owned_[i] = std::make_unique<AsyncDevice>(std::move(owned_[i]));
    used_.push_back(owned_[i].get());
  }
  return absl::OkStatus();
}

absl::Status HostShare::LoadLayer(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool) {
  HEARTH_RETURN_IF_ERROR(LoadHeads(layer, device, source, pool));
  HEARTH_RETURN_IF_ERROR(LoadNeurons(layer, device, source, pool));
  if (!source.has_everything() || !locals_[device]->CanLead(*outline_, layer)) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const UnitWeights own, source.Unit({UnitKind::kLayer, layer, 0}));
  return locals_[device]->LoadLayer({*outline_, options_, pool}, layer, own);
}

absl::Status HostShare::LoadNeurons(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool) {
  LocalDevice& to = *locals_[device];
  const Numbers missing =
      MissingFrom(to.pieces(UnitKind::kNeurons, layer), shares_[device].neuron_groups[layer]);
  if (missing.empty()) return absl::OkStatus();
  std::vector<GroupWeights> weights;
  for (uint32_t group : missing) {
    HEARTH_ASSIGN_OR_RETURN(GroupWeights of_group, to.neurons_stay_on_disk()
                                                       ? source.NeuronsInPlace(layer, group)
                                                       : source.Neurons(layer, group));
    weights.push_back(std::move(of_group));
  }
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<UnitPiece> piece,
                          to.LoadNeurons({*outline_, options_, pool}, layer, missing, std::move(weights)));
  to.Add(UnitKind::kNeurons, layer, std::move(piece));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UnitWeights>> HostShare::ReadUnits(WeightSource& source, UnitKind kind,
                                                              uint32_t layer, const Numbers& numbers) const {
  std::vector<UnitWeights> weights;
  for (uint32_t number : numbers) {
    HEARTH_ASSIGN_OR_RETURN(UnitWeights of_unit, source.Unit({kind, layer, number}));
    weights.push_back(std::move(of_unit));
  }
  return weights;
}

absl::Status HostShare::LoadHeads(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool) {
  LocalDevice& to = *locals_[device];
  const Numbers missing = MissingFrom(to.pieces(UnitKind::kHeads, layer), shares_[device].head_groups[layer]);
  if (missing.empty()) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const std::vector<UnitWeights> weights,
                          ReadUnits(source, UnitKind::kHeads, layer, missing));
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<UnitPiece> piece,
                          to.LoadHeads({*outline_, options_, pool}, layer, missing, weights));
  to.Add(UnitKind::kHeads, layer, std::move(piece));
  return absl::OkStatus();
}

absl::Status HostShare::LoadOutput(size_t device, WeightSource& source, ThreadPool& pool) {
  LocalDevice& to = *locals_[device];
  const Numbers missing = MissingFrom(to.pieces(UnitKind::kOutput, 0), shares_[device].output_runs);
  if (missing.empty()) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const std::vector<UnitWeights> weights,
                          ReadUnits(source, UnitKind::kOutput, 0, missing));
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<UnitPiece> piece,
                          to.LoadOutput({*outline_, options_, pool}, missing, weights));
  to.Add(UnitKind::kOutput, 0, std::move(piece));
  return absl::OkStatus();
}

std::vector<std::pair<UnitId, uint64_t>> HostShare::cache_ids() const {
  std::vector<std::pair<UnitId, uint64_t>> ids;
  for (const LocalDevice* device : locals_) {
    for (uint32_t layer = 0; layer < device->layers(); ++layer) {
      for (const auto& piece : device->pieces(UnitKind::kHeads, layer)) {
        for (uint32_t group : piece->units()) {
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
  for (const LocalDevice* device : locals_) bytes += device->weight_bytes();
  return bytes;
}

uint64_t HostShare::kv_bytes() const {
  uint64_t bytes = 0;
  for (const LocalDevice* device : locals_) bytes += device->kv_bytes();
  return bytes;
}

uint64_t HostShare::memory_bytes() const {
  uint64_t bytes = weight_bytes() + kv_bytes();
  for (const LocalDevice* device : locals_) bytes += device->counters().disk.memory_bytes;
  return bytes;
}

}  // namespace hearth
