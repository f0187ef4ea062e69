#include "tests/simulation/toy_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/planning/model_description.h"

namespace hearth::simulation {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

uint64_t Number(const UnitId& unit) {
  return (static_cast<uint64_t>(unit.kind) << 40) | (uint64_t{unit.layer} << 20) | unit.number;
}

}  // namespace

ToyModel::ToyModel(std::string name, Random& random) : name_(std::move(name)) {
  const double scale = random.Uniform(0.5, 2);
  const auto section = [&](placement::GroupKind kind, uint32_t layer, uint32_t groups, uint64_t mib) {
    placement::Section section;
    section.name = {kind, layer};
    section.sent_bytes = 4096;
    section.returned_bytes = 4096;
    for (uint32_t i = 0; i < groups; ++i) {
      placement::Group group;
      group.always_bytes = static_cast<uint64_t>(scale * static_cast<double>(mib)) * kMiB;
      if (kind == placement::GroupKind::kNeurons) group.neurons = 128;
      if (kind == placement::GroupKind::kHeads) group.cache_bytes = 16 * kMiB;
      bytes_[UnitOf(section.name, i)] = group.memory_bytes();
      section.groups.push_back(group);
    }
    description_.sections.push_back(std::move(section));
  };
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    section(placement::GroupKind::kHeads, layer, 2, 200);
    section(placement::GroupKind::kNeurons, layer, 3, 400);
  }
  section(placement::GroupKind::kOutput, 0, 1, 160);
  description_.leader_memory_bytes = 100 * kMiB;
  description_.leader_bytes_per_token = 1 << 20;
  description_.leader_operations_per_token = 1e6;
}

DecoderOptions ToyModel::decoder() const {
  return {.sequences = kSlots, .context_length = kContext, .max_rows = kMaxRows};
}

ShardDescription ToyModel::shard() const {
  ShardDescription shard;
  shard.model = name_;
  shard.model_digest = "sha256:" + name_;
  shard.decoder = decoder();
  return shard;
}

BundleId ToyModel::bundle(const UnitId& unit) const {
  BundleId bundle;
  uint64_t digest = Number(unit);
  for (const char c : name_) digest = Mix(digest, static_cast<uint8_t>(c));
  std::memcpy(bundle.sha256.data(), &digest, sizeof(digest));
  bundle.bytes = bytes_.at(unit);
  return bundle;
}

uint64_t ToyModel::Cached(const UnitId& heads, uint64_t before, TokenId token) const {
  return Mix(before ^ Number(heads), static_cast<uint64_t>(token) + 1);
}

uint64_t ToyModel::Share(const UnitId& unit, uint64_t cached, TokenId token, uint32_t position) const {
  if (unit.kind == UnitKind::kHeads) return Mix(cached, Number(unit));
  return Mix(Number(unit), Mix(static_cast<uint64_t>(token), position));
}

std::vector<TokenId> ToyModel::Continue(std::vector<TokenId> prompt, size_t tokens) const {
  const size_t first = prompt.size();
  std::map<UnitId, uint64_t> cached;
  for (uint32_t position = 0; prompt.size() < first + tokens; ++position) {
    uint64_t sum = 0;
    for (const auto& [unit, bytes] : bytes_) {
      uint64_t& state = cached[unit];
      if (unit.kind == UnitKind::kHeads) state = Cached(unit, state, prompt[position]);
      sum += Share(unit, state, prompt[position], position);
    }
    if (position + 1 == prompt.size()) prompt.push_back(Choose(sum));
  }
  return {prompt.begin() + static_cast<ptrdiff_t>(first), prompt.end()};
}

void Compute(const ToyModel& model, const Pieces& pieces, const std::vector<BatchRow>& rows,
             std::vector<uint64_t>& sums) {
  for (const auto& [unit, piece] : pieces) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const BatchRow& row = rows[i];
      uint64_t cached = 0;
      if (unit.kind == UnitKind::kHeads) {
        piece->slots.resize(ToyModel::kSlots);
        std::vector<uint64_t>& positions = piece->slots[row.sequence];
        constexpr uint64_t kNonsense = 0x6261646261646261;
        if (positions.size() < row.position) positions.resize(row.position, kNonsense);
        const uint64_t before = row.position == 0 ? 0 : positions[row.position - 1];
        cached = model.Cached(unit, before, row.token);
        if (positions.size() <= row.position) positions.resize(row.position + 1);
        positions[row.position] = cached;
      }
      sums[i] += model.Share(unit, cached, row.token, row.position);
    }
  }
}

ShardShape StepShape(uint64_t epoch) {
  ShardShape shape;
  shape.epoch = epoch;
  shape.limits = {
      .sequences = ToyModel::kSlots, .context_length = ToyModel::kContext, .max_rows = ToyModel::kMaxRows};
  shape.n_embd = 1;
  shape.layers.resize(ToyModel::kLayers);
  shape.leads_stage = true;
  return shape;
}

FrameHeader StepRequest(uint64_t epoch, uint64_t ticket, uint64_t step, uint32_t rows) {
  FrameHeader request;
  request.operation = FrameOperation::kStage;
  request.type = FrameType::kFloat32;
  request.epoch = epoch;
  request.ticket = ticket;
  request.step = step;
  request.rows = rows;
  request.payload_bytes = PayloadOf(StepShape(epoch), request).request_bytes();
  return request;
}

FrameHeader StepAnswer(const FrameHeader& request) {
  FrameHeader answer = request;
  answer.operation = FrameOperation::kHidden;
  answer.payload_bytes = PayloadOf(StepShape(request.epoch), request).hidden * sizeof(float);
  return answer;
}

}  // namespace hearth::simulation
