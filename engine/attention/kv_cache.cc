#include "engine/attention/kv_cache.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"

namespace hearth {

absl::StatusOr<KvLayerLayout> MakeKvLayerLayout(const ModelSpec& spec, const LayerSpec& layer, KvType type) {
  KvLayerLayout layout;
  layout.type = type;
  if (layer.mixer == MixerKind::kShortConvolution) {
    layout.state_values = uint64_t{spec.n_embd} * (std::max(1u, spec.convolution_length) - 1);
    return layout;
  }
  const uint32_t keys = layer.cached_key_values();
  const uint32_t values = layer.cached_value_values();
  // Heads and, with latent attention, the latent are read from their own first value on.
  const uint32_t key_part =
      layer.mixer == MixerKind::kAttention ? layer.attention.key_dim : layer.attention.latent_rank;
  if (type == KvType::kQ8_0 &&
      (keys % 32 != 0 || key_part % 32 != 0 || layer.attention.value_dim % 32 != 0)) {
    return absl::InvalidArgumentError(
        "a Q8_0 cache needs heads of a multiple of 32 values, which this model has not; use an F16 or F32 "
        "cache");
  }
  if (layer.mixer == MixerKind::kAttention) layout.heads = layer.attention.kv_heads;
  layout.key_bytes = KvBytes(type, keys);
  layout.value_bytes = KvBytes(type, values);
  if (layer.attention.rope && spec.ropes[*layer.attention.rope].rectified_window > 0) {
    layout.far_key_bytes = layout.key_bytes;
  }
  return layout;
}

absl::StatusOr<uint64_t> KvCacheBytes(const ModelSpec& spec, const DecoderOptions& options) {
  const uint64_t positions = uint64_t{options.sequences} * options.context_length;
  uint64_t total = 0;
  for (const LayerSpec& layer : spec.layers) {
    HEARTH_ASSIGN_OR_RETURN(const KvLayerLayout layout, MakeKvLayerLayout(spec, layer, options.kv_type));
    const std::optional<uint64_t> cached = CheckedMul(positions, layout.position_bytes());
    const std::optional<uint64_t> state = CheckedMul(layout.state_bytes(), uint64_t{options.sequences});
    const std::optional<uint64_t> sum = cached && state ? CheckedAdd(*cached, *state) : std::nullopt;
    const std::optional<uint64_t> next = sum ? CheckedAdd(total, *sum) : std::nullopt;
    if (!next) {
      return absl::InvalidArgumentError(absl::StrCat("a cache for ", options.sequences, " sequences of ",
                                                     options.context_length,
                                                     " positions is larger than any memory"));
    }
    total = *next;
  }
  return total;
}

absl::StatusOr<KvLayer> KvLayer::Create(const KvLayerLayout& layout, uint32_t sequences,
                                        uint32_t context_length) {
  const uint64_t positions = uint64_t{sequences} * context_length;
  KvLayer layer;
  layer.layout_ = layout;
  layer.context_length_ = context_length;
  HEARTH_ASSIGN_OR_RETURN(layer.keys_, Allocate(layout.key_bytes * positions));
  HEARTH_ASSIGN_OR_RETURN(layer.far_keys_, Allocate(layout.far_key_bytes * positions));
  HEARTH_ASSIGN_OR_RETURN(layer.values_, Allocate(layout.value_bytes * positions));
  layer.state_.resize(2 * layout.state_values * sequences);
  layer.copies_.resize(sequences);
  return layer;
}

void KvLayer::Free::operator()(uint8_t* memory) const { std::free(memory); }

absl::StatusOr<KvLayer::Memory> KvLayer::Allocate(uint64_t bytes) {
  if (bytes == 0) return Memory();
  constexpr uint64_t kAlignment = 64;
  const uint64_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(kAlignment, padded));
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system refuses ", bytes, " bytes for a layer's KV cache; use a shorter context"));
  }
  return Memory(memory);
}

KvStrides KvLayer::Strides(uint64_t position_bytes) const {
  const uint64_t head_bytes = position_bytes / layout_.heads;
  return {head_bytes * context_length_, head_bytes};
}

uint8_t* KvLayer::At(const Memory& memory, uint64_t position_bytes, uint32_t sequence) const {
  return memory.get() + uint64_t{sequence} * context_length_ * position_bytes;
}

void KvLayer::Store(const Memory& memory, uint64_t position_bytes, uint32_t sequence, uint32_t position,
                    const float* values, size_t count) {
  const KvStrides strides = Strides(position_bytes);
  uint8_t* out = At(memory, position_bytes, sequence);
  const size_t head_count = count / layout_.heads;
  for (uint32_t head = 0; head < layout_.heads; ++head) {
    StoreKv(layout_.type, values + head * head_count, head_count, out + strides.Offset(head, position));
  }
}

KvView KvLayer::View(uint32_t sequence) const {
  KvView view;
  view.type = layout_.type;
  view.keys = At(keys_, layout_.key_bytes, sequence);
  view.key_strides = Strides(layout_.key_bytes);
  if (far_keys_) view.far_keys = At(far_keys_, layout_.far_key_bytes, sequence);
  // Without values of its own (latent attention) the first part of each key is the value.
  view.values = values_ ? At(values_, layout_.value_bytes, sequence) : view.keys;
  view.value_strides = values_ ? Strides(layout_.value_bytes) : view.key_strides;
  return view;
}

void KvLayer::StoreKey(uint32_t sequence, uint32_t position, const float* values, size_t count) {
  Store(keys_, layout_.key_bytes, sequence, position, values, count);
}

void KvLayer::StoreFarKey(uint32_t sequence, uint32_t position, const float* values, size_t count) {
  Store(far_keys_, layout_.far_key_bytes, sequence, position, values, count);
}

void KvLayer::StoreValue(uint32_t sequence, uint32_t position, const float* values, size_t count) {
  Store(values_, layout_.value_bytes, sequence, position, values, count);
}

template <class Fn>
void KvLayer::ForEachRange(uint32_t sequence, uint32_t first_head, uint32_t heads, uint32_t begin,
                           uint32_t end, Fn fn) const {
  HEARTH_CHECK(first_head + heads <= layout_.heads && begin <= end && end <= context_length_);
  const auto visit = [&](const Memory& memory, uint64_t position_bytes) {
    const KvStrides strides = Strides(position_bytes);
    for (uint32_t head = first_head; head < first_head + heads; ++head) {
      const size_t bytes = (end - begin) * strides.position;
      if (bytes > 0) fn(At(memory, position_bytes, sequence) + strides.Offset(head, begin), bytes);
    }
  };
  visit(keys_, layout_.key_bytes);
  visit(far_keys_, layout_.far_key_bytes);
  visit(values_, layout_.value_bytes);
}

std::vector<uint8_t> KvLayer::Read(uint32_t sequence, uint32_t first_head, uint32_t heads, uint32_t begin,
                                   uint32_t end) const {
  std::vector<uint8_t> bytes;
  ForEachRange(sequence, first_head, heads, begin, end,
               [&](const uint8_t* data, size_t count) { bytes.insert(bytes.end(), data, data + count); });
  return bytes;
}

absl::Status KvLayer::Write(uint32_t sequence, uint32_t first_head, uint32_t heads, uint32_t begin,
                            uint32_t end, absl::Span<const uint8_t> bytes) {
  size_t expected = 0;
  ForEachRange(sequence, first_head, heads, begin, end, [&](uint8_t*, size_t count) { expected += count; });
  if (bytes.size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("these cached positions take ", expected, " bytes, got ", bytes.size()));
  }
  const uint8_t* from = bytes.data();
  ForEachRange(sequence, first_head, heads, begin, end, [&](uint8_t* data, size_t count) {
    std::copy_n(from, count, data);
    from += count;
  });
  return absl::OkStatus();
}

bool KvLayer::Follows(absl::Span<const RowPlace> rows) const {
  if (layout_.state_values == 0) return true;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto same = [&](const RowPlace& row) { return row.sequence == rows[i].sequence; };
    const auto rest =
        std::find_if(rows.rbegin() + static_cast<std::ptrdiff_t>(rows.size() - i), rows.rend(), same);
    if (rest != rows.rend()) {
      if (rest->position + 1 != rows[i].position) return false;
      continue;
    }
    const StateCopies& copies = copies_[rows[i].sequence];
    if (rows[i].position != 0 && rows[i].position != copies.positions[0] &&
        rows[i].position != copies.positions[1]) {
      return false;
    }
  }
  return true;
}

void KvLayer::BeginStep() {
  for (StateCopies& copies : copies_) copies.in_step = false;
}

float* KvLayer::State(uint32_t sequence, uint32_t position) {
  StateCopies& copies = copies_[sequence];
  float* states = state_.data() + uint64_t{2} * sequence * layout_.state_values;
  if (!copies.in_step) {
    if (position == 0) {
      copies = {};
      std::fill_n(states, layout_.state_values, 0.0f);
    }
    const uint32_t from = copies.positions[0] == position ? 0 : 1;
    HEARTH_CHECK(copies.positions[from] == position);
    copies.writing = 1 - from;
    copies.in_step = true;
    std::copy_n(states + from * layout_.state_values, layout_.state_values,
                states + copies.writing * layout_.state_values);
  }
  copies.positions[copies.writing] = position + 1;
  return states + copies.writing * layout_.state_values;
}

}  // namespace hearth
