#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/check.h"
#include "engine/kernel/fixed_point.h"
#include "engine/kernel/neuron_rows.h"
#include "engine/kernel/vector_ops.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/row_choices.h"
#include "engine/neuron/turn_down.h"

namespace hearth {
namespace {

// Rows of one matrix of a group, one per neuron.
struct NeuronRows {
  const uint8_t* data = nullptr;
  TensorType type = TensorType::kF32;
  size_t row_bytes = 0;
  size_t cols = 0;

  void Dot(absl::Span<const uint32_t> ids, const float* x, float* out) const {
    DotRows(type, data, row_bytes, cols, ids, x, out);
  }
};

NeuronRows RowsOf(const LoadedGroup& group, BundlePart part) {
  const BundleEntry* entry = group.layout.Find(part);
  if (entry == nullptr) return {};
  return {group.bytes.data() + entry->offset, entry->type, entry->bytes / entry->rows, entry->cols};
}

// A group ready to compute: where its rows lie in its bundle, and numbers 0..n-1 for "all of them".
struct SparseGroup {
  LoadedGroup loaded;
  std::vector<float> down_scales;  // of a turned `down` (see turn_down.h), or empty
  std::vector<uint32_t> all_ids;
  NeuronRows gate, up, down, predictor;
  const float* gate_bias = nullptr;
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;

  SparseGroup() = default;
  SparseGroup(LoadedGroup group, bool neuron_major) : loaded(std::move(group)) {
    if (!neuron_major) down_scales = TurnDown(loaded);
    all_ids.resize(loaded.group.neurons.size());
    for (uint32_t i = 0; i < all_ids.size(); ++i) all_ids[i] = i;
    gate = RowsOf(loaded, BundlePart::kGate);
    up = RowsOf(loaded, BundlePart::kUp);
    down = RowsOf(loaded, BundlePart::kDown);
    predictor = RowsOf(loaded, BundlePart::kPredictor);
    gate_bias = loaded.Vector(BundlePart::kGateBias);
    up_bias = loaded.Vector(BundlePart::kUpBias);
    down_bias = loaded.Vector(BundlePart::kDownBias);
  }
};

// Scratch of one thread.
struct ThreadState {
  std::vector<uint32_t> ids;      // neurons still in
  std::vector<float> gate, up;    // their values
  std::vector<float> y;           // (n_embd): the group's partial sum
  std::vector<float> unscaled;    // (n_embd): that of one block of a turned `down`
  std::vector<int64_t> sums;      // (rows, output_values)
  std::vector<uint8_t> row_used;  // (rows): sums of this row are not zero
  ShardWork work;
};

class SparseShard : public CpuShard {
 public:
  SparseShard(const FfnLayerSpec& spec, std::vector<GroupWeights> groups, SparsityMode mode, ThreadPool& pool)
      : spec_(spec), mode_(mode), groups_(groups.size()) {
    for (const GroupWeights& group : groups) {
      weight_bytes_ += group.layout().bytes;
      neurons_ += group.group().neurons.size();
      largest_group_ = std::max(largest_group_, group.group().neurons.size());
    }
    pool.ParallelFor(groups.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t g = begin; g < end; ++g) {
        groups_[g] = SparseGroup(std::move(groups[g]).Load(), spec_.neuron_major);
      }
    });
  }

  ShardWork Run(const FfnRequest& request, ThreadPool& pool, absl::Span<int64_t> sums) override {
    choices_.Set(request, static_cast<uint32_t>(spec_.block_neurons.size()));
    threads_.resize(pool.threads());
    for (ThreadState& thread : threads_) Prepare(thread, request.rows);
    pool.ParallelFor(groups_.size(), 1, [&](size_t begin, size_t end, int thread) {
      for (size_t g = begin; g < end; ++g) RunGroup(groups_[g], request, threads_[thread]);
    });
    return AddThreads(request.rows, sums);
  }

  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t neurons() const override { return neurons_; }

 private:
  void Prepare(ThreadState& thread, uint32_t rows) {
    thread.gate.resize(largest_group_);
    thread.up.resize(largest_group_);
    thread.y.resize(spec_.n_embd);
    thread.unscaled.resize(spec_.n_embd);
    thread.sums.resize(std::max(thread.sums.size(), size_t{rows} * spec_.output_values()));
    thread.row_used.assign(rows, 0);
    thread.work = {};
  }

  void RunGroup(const SparseGroup& group, const FfnRequest& request, ThreadState& thread) {
    for (const ChosenRow& chosen : choices_.rows(group.loaded.group.block)) {
      std::fill(thread.y.begin(), thread.y.end(), 0.0f);
      bool any = ComputeRow(group, chosen, request, thread);
      if (group.down_bias != nullptr) {
        AddScaled(group.down_bias, spec_.weight_on_input ? 1.0f : chosen.weight, spec_.n_embd,
                  thread.y.data());
        any = true;
      }
      if (!any) continue;
      int64_t* sums = thread.sums.data() + size_t{chosen.row} * spec_.output_values();
      if (!thread.row_used[chosen.row]) std::fill_n(sums, spec_.output_values(), 0);
      thread.row_used[chosen.row] = 1;
      AddToFixedPoint(thread.y.data(), spec_.n_embd, sums);
    }
  }

  // Adds the group's neurons that fire for one row to thread.y; false when none does.
  bool ComputeRow(const SparseGroup& group, const ChosenRow& chosen, const FfnRequest& request,
                  ThreadState& thread) {
    const float* x = request.x + size_t{chosen.row} * spec_.n_embd;
    const float input_scale = spec_.weight_on_input ? chosen.weight : 1.0f;
    Candidates(group, chosen.row, request, thread);
    if (spec_.gate.present) {
      Evaluate(group.gate, group.gate_bias, spec_.gate_scale * input_scale, x, thread.gate, thread);
      if (skips_silent()) KeepPositive(thread.gate, thread.ids);
      Evaluate(group.up, group.up_bias, spec_.up_scale * input_scale, x, thread.up, thread);
      ActivateGated(spec_.activation, spec_.activation_parameters, spec_.relu_up, thread.gate.data(),
                    thread.up.data(), thread.ids.size(), thread.up.data());
    } else {
      Evaluate(group.up, group.up_bias, spec_.up_scale * input_scale, x, thread.up, thread);
      if (skips_silent()) KeepPositive(thread.up, thread.ids);
      Activate(spec_.activation, spec_.activation_parameters, thread.up.data(), thread.ids.size(),
               thread.up.data());
    }
    if (thread.ids.empty()) return false;
    const float factor = (spec_.weight_on_input ? 1.0f : chosen.weight) * spec_.down_scale;
    if (factor != 1) Scale(factor, thread.ids.size(), thread.up.data());
    AccumulateDown(group, thread);
    thread.work.neurons_computed += thread.ids.size();
    thread.work.bytes_touched += thread.ids.size() * group.down.row_bytes;
    return true;
  }

  // thread.y += sum of thread.up[i] * column ids[i] of down.
  void AccumulateDown(const SparseGroup& group, ThreadState& thread) const {
    const NeuronRows& down = group.down;
    const absl::Span<const uint32_t> ids = thread.ids;
    if (group.down_scales.empty()) {
      AccumulateRows(down.type, down.data, down.row_bytes, down.cols, ids, thread.up.data(), thread.y.data());
      return;
    }
    for (size_t begin = 0; begin < ids.size();) {
      const uint32_t block = ids[begin] / kTurnedBlock;
      size_t end = begin;
      while (end < ids.size() && ids[end] / kTurnedBlock == block) ++end;
      std::fill(thread.unscaled.begin(), thread.unscaled.end(), 0.0f);
      AccumulateRows(down.type, down.data, down.row_bytes, down.cols, ids.subspan(begin, end - begin),
                     thread.up.data() + begin, thread.unscaled.data());
      const float* scales = group.down_scales.data() + size_t{block} * spec_.n_embd;
      for (size_t c = 0; c < spec_.n_embd; ++c) thread.y[c] += scales[c] * thread.unscaled[c];
      thread.work.bytes_touched += spec_.n_embd * sizeof(float);
      begin = end;
    }
  }

  // ReLU makes a neuron whose first value is not positive silent, whatever comes after.
  bool skips_silent() const { return mode_ != SparsityMode::kDense && spec_.is_relu_family(); }

  // thread.ids = the neurons to look at: those the predictor keeps, or all.
  void Candidates(const SparseGroup& group, uint32_t row, const FfnRequest& request,
                  ThreadState& thread) const {
    thread.ids = group.all_ids;
    if (mode_ != SparsityMode::kPredicted || group.predictor.data == nullptr || request.hidden == nullptr)
      return;
    const float* hidden = request.hidden + size_t{row} * spec_.predictor_rank;
    group.predictor.Dot(thread.ids, hidden, thread.gate.data());
    thread.work.bytes_touched += thread.ids.size() * group.predictor.row_bytes;
    size_t kept = 0;
    for (size_t i = 0; i < thread.ids.size(); ++i) {
      if (thread.gate[i] >= spec_.sparse_threshold) thread.ids[kept++] = thread.ids[i];
    }
    thread.ids.resize(kept);
  }

  void Evaluate(const NeuronRows& rows, const float* bias, float scale, const float* x,
                std::vector<float>& values, ThreadState& thread) const {
    rows.Dot(thread.ids, x, values.data());
    thread.work.bytes_touched += thread.ids.size() * rows.row_bytes;
    if (scale != 1) Scale(scale, thread.ids.size(), values.data());
    if (bias == nullptr) return;
    for (size_t i = 0; i < thread.ids.size(); ++i) values[i] += bias[thread.ids[i]];
  }

  static void KeepPositive(std::vector<float>& values, std::vector<uint32_t>& ids) {
    size_t kept = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!(values[i] > 0)) continue;
      values[kept] = values[i];
      ids[kept++] = ids[i];
    }
    ids.resize(kept);
  }

  ShardWork AddThreads(uint32_t rows, absl::Span<int64_t> sums) const {
    ShardWork work;
    const size_t n = spec_.output_values();
    for (const ThreadState& thread : threads_) {
      work.neurons_computed += thread.work.neurons_computed;
      work.bytes_touched += thread.work.bytes_touched;
      for (uint32_t row = 0; row < rows; ++row) {
        if (!thread.row_used[row]) continue;
        for (size_t c = row * n; c < (row + 1) * n; ++c) sums[c] = AddFixedPoint(sums[c], thread.sums[c]);
      }
    }
    return work;
  }

  const FfnLayerSpec spec_;
  const SparsityMode mode_;
  std::vector<SparseGroup> groups_;
  size_t largest_group_ = 0;
  uint64_t weight_bytes_ = 0;
  uint64_t neurons_ = 0;

  RowChoices choices_;
  std::vector<ThreadState> threads_;
};

}  // namespace

std::unique_ptr<CpuShard> MakeSparseShard(const FfnLayerSpec& spec, std::vector<GroupWeights> groups,
                                          SparsityMode mode, ThreadPool& pool) {
  HEARTH_CHECK((spec.neuron_major || CanTurnDown(spec)) && !spec.normalize_hidden);
  return std::make_unique<SparseShard>(spec, std::move(groups), mode, pool);
}

}  // namespace hearth
