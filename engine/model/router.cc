#include "engine/model/router.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

constexpr float kExcluded = -std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();
// Sums of weights below this are not divided by: the smallest normal half precision number.
constexpr float kSmallestSum = 6.103515625e-5f;

// The index of the largest value, the first on a tie.
size_t Largest(absl::Span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

// The sum of the two largest values (of one where there is but one).
float TwoLargest(absl::Span<const float> values) {
  float first = kExcluded;
  float second = kExcluded;
  for (float value : values) {
    if (value > first) {
      second = first;
      first = value;
    } else if (value > second) {
      second = value;
    }
  }
  return values.size() == 1 ? first : first + second;
}

void NormalizeWeights(absl::Span<BlockChoice> choices) {
  float sum = 0;
  for (const BlockChoice& choice : choices) sum += choice.weight;
  sum = std::max(sum, kSmallestSum);
  for (BlockChoice& choice : choices) choice.weight /= sum;
}

void SoftmaxWeights(absl::Span<BlockChoice> choices) {
  float largest = kExcluded;
  for (const BlockChoice& choice : choices) largest = std::max(largest, choice.weight);
  float sum = 0;
  for (BlockChoice& choice : choices) sum += choice.weight = std::exp(choice.weight - largest);
  for (BlockChoice& choice : choices) choice.weight /= sum;
}

}  // namespace

void Router::ExcludeWeakGroups(const RouterSpec& spec) {
  const size_t size = spec.experts / spec.groups;
  group_scores_.resize(spec.groups);
  for (size_t g = 0; g < spec.groups; ++g) {
    group_scores_[g] = TwoLargest(absl::MakeConstSpan(selection_).subspan(g * size, size));
  }
  for (uint32_t excluded = spec.groups_used; excluded < spec.groups; ++excluded) {
    const size_t weakest =
        std::min_element(group_scores_.begin(), group_scores_.end()) - group_scores_.begin();
    std::fill_n(selection_.begin() + weakest * size, size, kExcluded);
    group_scores_[weakest] = std::numeric_limits<float>::infinity();
  }
}

void Router::Choose(const RouterSpec& spec, absl::Span<float> logits, absl::Span<const float> selection_bias,
                    BlockChoice* out) {
  if (spec.gating == Gating::kSoftmax) {
    Softmax(logits.size(), logits.data());
  } else if (spec.gating == Gating::kSigmoid) {
    for (float& logit : logits) logit = 1 / (1 + std::exp(-logit));
  }
  selection_.assign(logits.begin(), logits.end());
  if (!selection_bias.empty()) Add(selection_bias.data(), selection_.size(), selection_.data());
  // Damaged weights give NaN: such experts come last, so that the choice is still one of different experts.
  for (float& value : selection_) {
    if (!(value > kLowest)) value = kLowest;
  }
  if (spec.groups > 1) ExcludeWeakGroups(spec);

  for (uint32_t i = 0; i < spec.chosen; ++i) {
    const size_t best = Largest(selection_);
    out[i] = {static_cast<uint32_t>(best), logits[best]};
    selection_[best] = kExcluded;
  }
  const absl::Span<BlockChoice> choices(out, spec.chosen);
  if (spec.gating == Gating::kSoftmaxOfChosen) SoftmaxWeights(choices);
  if (spec.normalize) NormalizeWeights(choices);
  for (BlockChoice& choice : choices) choice.weight *= spec.scale;
}

}  // namespace hearth
