#include "engine/outline/output_rows.h"

#include <algorithm>
#include <string>

namespace hearth {
namespace {

// Kernels work on so many rows at a time.
constexpr uint64_t kRowMultiple = 64;

std::string HeadName(const TensorSet& tensors) {
  return tensors.Find("output.weight") != nullptr ? "output" : "token_embd";
}

}  // namespace

std::vector<IndexRange> MakeOutputRuns(uint32_t n_vocab, uint32_t max_runs) {
  const uint64_t even = (uint64_t{n_vocab} + max_runs - 1) / max_runs;
  const uint64_t width = (even + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
  std::vector<IndexRange> runs;
  for (uint64_t begin = 0; begin < n_vocab; begin += width) {
    runs.push_back({begin, std::min<uint64_t>(begin + width, n_vocab)});
  }
  return runs;
}

std::vector<RowSegment> SegmentsOf(absl::Span<const IndexRange> runs, absl::Span<const uint32_t> held) {
  std::vector<RowSegment> segments;
  size_t rows = 0;
  for (uint32_t number : held) {
    const IndexRange& run = runs[number];
    if (segments.empty() || segments.back().first_token + segments.back().count != run.begin) {
      segments.push_back({rows, run.begin, 0});
    }
    segments.back().count += run.size();
    rows += run.size();
  }
  return segments;
}

UnitParts OutputRowParts(const IndexRange& run, const TensorSet& tensors) {
  UnitParts parts;
  const std::string name = HeadName(tensors);
  const auto take = [&](const std::string& tensor, Axis axis, std::vector<IndexRange> runs) {
    if (const GgufTensor* found = tensors.Find(tensor)) parts.push_back({*found, axis, std::move(runs)});
  };
  take(name + ".weight", Axis::kRows, {run});
  take(name + ".bias", Axis::kCols, {run});
  take(name + ".scale", Axis::kNone, {});
  return parts;
}

Linear LoadOutputRows(const ModelSpec& spec, uint64_t rows, WeightLoader& loader) {
  return loader.LoadLinear(loader.Has("output.weight") ? "output" : "token_embd", rows, spec.n_embd);
}

}  // namespace hearth
