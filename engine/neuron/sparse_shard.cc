#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/down_rows.h"
#include "engine/kernel/fixed_point.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/neuron_rows.h"
#include "engine/kernel/row_matrix.h"
#include "engine/kernel/turned_rows.h"
#include "engine/kernel/vector_ops.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/ffn_observer.h"
#include "engine/neuron/firing_counter.h"
#include "engine/neuron/joined_groups.h"
#include "engine/neuron/neuron_record.h"
#include "engine/neuron/row_choices.h"
#include "engine/neuron/union_product.h"

namespace hearth {
namespace {

// A matrix with a row per neuron: packed where all neurons are computed, else by row.
struct NeuronWeights {
  Matrix whole;
  RowMatrix rows;

  uint64_t memory_bytes() const { return whole.bytes() + rows.memory_bytes(); }
};

// The groups of one block that this shard holds, joined. `first` is the matrix that tells whether a neuron
// fires, the gate or, without one, up; `second` is up beside a gate.
struct SparseBlock {
  uint32_t block = 0;
  uint32_t neurons = 0;
  std::vector<uint32_t> ids;  // of the neurons within the block
  std::vector<uint32_t> group_ends;
  // (neurons, rank). A sum near the threshold decides all or nothing, so for float32 arithmetic it is made of
  // partial sums, which round less than the long one of a whole matrix.
  Matrix predictor;
  RowMatrix exact_predictor;
  NeuronWeights first, second;
  Matrix down_whole;                                      // (n_embd, neurons), where it cannot be turned
  DownRows down;                                          // else
  std::vector<float> first_bias, second_bias, down_bias;  // or empty
  RecordCache::Table* records = nullptr;                  // where neurons stay on the disk

  bool predicts() const { return !predictor.empty() || !exact_predictor.empty(); }
  // Whether the first matrix can be multiplied before anything is read.
  bool has_first() const { return records == nullptr || !first.whole.empty(); }
  uint64_t memory_bytes() const {
    return predictor.bytes() + exact_predictor.bytes() + first.memory_bytes() + second.memory_bytes() +
           down_whole.bytes() + down.memory_bytes();
  }
};

absl::StatusOr<NeuronWeights> PackWeights(const JoinedGroups& groups, BundlePart part, TensorType type,
                                          uint32_t n_embd, bool whole, ThreadPool& pool,
                                          Arithmetic arithmetic) {
  NeuronWeights weights;
  if (whole) {
    HEARTH_ASSIGN_OR_RETURN(weights.whole, groups.PackNeurons(part, type, n_embd, pool, arithmetic));
  } else {
    HEARTH_ASSIGN_OR_RETURN(weights.rows, groups.PackNeuronRows(part, type, n_embd, pool, arithmetic));
  }
  return weights;
}

bool TurnsDown(const FfnLayerSpec& spec, uint32_t block, Arithmetic arithmetic) {
  const TensorType type = spec.down_type(block);
  // Turned codes multiply rounded values.
  if (arithmetic == Arithmetic::kFloat32 && GetTypeInfo(type).block_values > 1) return false;
  return TurnedRows::Has(type, spec.n_embd);
}

// All but the neurons' matrices.
absl::StatusOr<SparseBlock> BeginBlock(const FfnLayerSpec& spec, const JoinedGroups& groups,
                                       SparsityMode mode, ThreadPool& pool, Arithmetic arithmetic) {
  SparseBlock block;
  block.block = groups.block();
  block.neurons = groups.neurons();
  block.ids = groups.ids();
  block.group_ends = groups.ends();
  const bool predicted = mode == SparsityMode::kPredicted && groups.Has(BundlePart::kPredictor);
  if (predicted && arithmetic == Arithmetic::kFast) {
    HEARTH_ASSIGN_OR_RETURN(block.predictor, groups.PackNeurons(BundlePart::kPredictor, spec.predictor_type,
                                                                spec.predictor_rank, pool, arithmetic));
  } else if (predicted) {
    HEARTH_ASSIGN_OR_RETURN(block.exact_predictor,
                            groups.PackNeuronRows(BundlePart::kPredictor, spec.predictor_type,
                                                  spec.predictor_rank, pool, arithmetic));
  }
  block.first_bias = groups.Vector(spec.gate.present ? BundlePart::kGateBias : BundlePart::kUpBias);
  if (spec.gate.present) block.second_bias = groups.Vector(BundlePart::kUpBias);
  block.down_bias = groups.Vector(BundlePart::kDownBias);
  return block;
}

// The part that tells whether a neuron fires, and its type.
BundlePart FirstPart(const FfnLayerSpec& spec) {
  return spec.gate.present ? BundlePart::kGate : BundlePart::kUp;
}
TensorType FirstType(const FfnLayerSpec& spec, uint32_t block) {
  return spec.gate.present ? spec.gate_type(block) : spec.up_type(block);
}

absl::StatusOr<SparseBlock> MakeBlock(const FfnLayerSpec& spec, absl::Span<const GroupWeights> weights,
                                      SparsityMode mode, ThreadPool& pool, Arithmetic arithmetic) {
  const JoinedGroups groups(weights);
  HEARTH_ASSIGN_OR_RETURN(SparseBlock block, BeginBlock(spec, groups, mode, pool, arithmetic));
  const uint32_t b = block.block, n = spec.n_embd;
  const auto pack = [&](BundlePart part, TensorType type, bool whole) {
    return PackWeights(groups, part, type, n, whole, pool, arithmetic);
  };
  HEARTH_ASSIGN_OR_RETURN(block.first, pack(FirstPart(spec), FirstType(spec, b), !block.predicts()));
  if (spec.gate.present) {
    const bool skips = mode != SparsityMode::kDense && (block.predicts() || spec.is_relu_family());
    HEARTH_ASSIGN_OR_RETURN(block.second, pack(BundlePart::kUp, spec.up_type(b), !skips));
  }
  if (spec.neuron_major || TurnsDown(spec, b, arithmetic)) {
    HEARTH_ASSIGN_OR_RETURN(block.down,
                            groups.PackDownRows(spec.down_type(b), n, spec.neuron_major, pool, arithmetic));
  } else {
    HEARTH_ASSIGN_OR_RETURN(block.down_whole, groups.PackDown(spec.down_type(b), n, pool, arithmetic));
  }
  return block;
}

// How a record lies in its slot: the rows that products read, in the forms in which they read them. A part
// that is whole in memory, or nowhere in the record, takes no bytes.
struct SlotForm {
  NeuronRecord record;
  std::optional<RowForm> gate, up;
  std::optional<DownRowForm> down;  // where a row of the file is one neuron's
  size_t gate_at = 0, up_at = 0, down_at = 0, down_bytes = 0;
  bool with_gate = false;  // it is read

  // Bytes of a slot, and those at a record's start that are not read.
  size_t bytes() const { return down_at + down_bytes; }
  size_t skip() const { return with_gate ? 0 : record.gate_bytes; }

  bool Place(const uint8_t* bytes, uint8_t* slot) const {
    if (!IsIntact(record, bytes, with_gate)) return false;
    const uint8_t* start = bytes - skip();
    if (gate) gate->Write(start, slot + gate_at);
    if (up) up->Write(start + record.up(), slot + up_at);
    if (down) {
      down->Write(start + record.down(), slot + down_at);
    } else {
      std::memcpy(slot + down_at, start + record.down(), down_bytes);
    }
    return true;
  }
};

SlotForm MakeSlotForm(const FfnLayerSpec& spec, uint32_t block, bool first_whole, Arithmetic arithmetic) {
  SlotForm form;
  form.record = NeuronRecord::Of(spec, block);
  form.with_gate = spec.gate.present && !first_whole;
  if (form.with_gate) form.gate.emplace(spec.gate_type(block), spec.n_embd, arithmetic);
  if (spec.gate.present || !first_whole) form.up.emplace(spec.up_type(block), spec.n_embd, arithmetic);
  form.up_at = form.gate ? form.gate->bytes() : 0;
  form.down_at = form.up_at + (form.up ? form.up->bytes() : 0);
  if (spec.neuron_major || TurnsDown(spec, block, arithmetic)) form.down_bytes = form.record.down_bytes;
  if (spec.neuron_major) {
    form.down.emplace(spec.down_type(block), spec.n_embd, arithmetic);
  }
  return form;
}

// Whether every token reads all of a block's first matrix: where a ReLU tells which neurons fire.
bool ReadsFirstWhole(SparsityMode mode, bool predicts) { return mode == SparsityMode::kExact && !predicts; }

// The scales that turned rows of `down` share, in the order of the groups' neurons.
absl::StatusOr<WeightMemory> CopyScales(absl::Span<const uint32_t> ids, const PackedBlock& packed,
                                        uint64_t scale_bytes) {
  if (scale_bytes == 0) return WeightMemory();
  const size_t units = ids.size() / TurnedRows::kUnit;
  HEARTH_ASSIGN_OR_RETURN(WeightMemory scales, WeightMemory::Allocate(units * scale_bytes));
  for (size_t unit = 0; unit < units; ++unit) {
    const uint64_t place = packed.place(ids[unit * TurnedRows::kUnit]) / TurnedRows::kUnit;
    std::memcpy(scales.data() + unit * scale_bytes, packed.scales.data() + place * scale_bytes, scale_bytes);
  }
  return scales;
}

// `always`: every token wants all of them.
RecordCache::TableSpec MakeTable(const SparseBlock& block, const PackedBlock& packed, const SlotForm& form,
                                 bool always, float frequency, const DiskNeurons& disk) {
  RecordCache::TableSpec table;
  table.name = absl::StrCat("block ", block.block);
  table.offset = static_cast<uint64_t>(packed.records.data() - disk.mapping);
  table.record_bytes = packed.record_bytes;
  for (const uint32_t id : block.ids) table.numbers.push_back(static_cast<uint32_t>(packed.place(id)));
  table.skip = form.skip();
  table.slot_bytes = form.bytes();
  table.always = always;
  table.frequency = frequency;
  table.place = [form](const uint8_t* bytes, uint8_t* slot) { return form.Place(bytes, slot); };
  return table;
}

// Of neurons that stay on the disk.
absl::StatusOr<SparseBlock> MakeDiskBlock(const FfnLayerSpec& spec, absl::Span<const GroupWeights> weights,
                                          SparsityMode mode, ThreadPool& pool, Arithmetic arithmetic,
                                          DiskNeurons& disk) {
  const PackedBlock* packed = weights[0].packed();
  if (packed == nullptr)
    return absl::InvalidArgumentError("neurons that are not packed cannot stay on the disk");
  const JoinedGroups groups(weights);
  HEARTH_ASSIGN_OR_RETURN(SparseBlock block, BeginBlock(spec, groups, mode, pool, arithmetic));
  const uint32_t b = block.block, n = spec.n_embd;
  const bool first_whole = ReadsFirstWhole(mode, block.predicts());
  const SlotForm form = MakeSlotForm(spec, b, first_whole, arithmetic);
  // What is copied out of the records now; the rest is checked whenever it is read.
  if (first_whole || form.down_bytes < form.record.down_bytes) {
    for (const GroupWeights& group : weights) HEARTH_RETURN_IF_ERROR(group.CheckRecords());
  }
  if (form.bytes() > 0) {
    const bool always = mode == SparsityMode::kDense && spec.block_neurons.size() == 1;
    block.records =
        disk.cache->Add(MakeTable(block, *packed, form, always, weights[0].group().frequency, disk));
  }
  const uint8_t* const* places = block.records != nullptr ? block.records->places() : nullptr;
  const auto view = [&](TensorType type, size_t at) {
    return RowMatrix::View(type, block.neurons, n, places, at, arithmetic);
  };
  if (first_whole) {
    HEARTH_ASSIGN_OR_RETURN(block.first.whole,
                            groups.PackNeurons(FirstPart(spec), FirstType(spec, b), n, pool, arithmetic));
  } else {
    block.first.rows = view(FirstType(spec, b), spec.gate.present ? form.gate_at : form.up_at);
  }
  if (spec.gate.present) block.second.rows = view(spec.up_type(b), form.up_at);
  if (form.down_bytes == 0) {
    HEARTH_ASSIGN_OR_RETURN(block.down_whole, groups.PackDown(spec.down_type(b), n, pool, arithmetic));
    return block;
  }
  if (spec.neuron_major) {
    block.down =
        DownRows::ViewByNeuron(spec.down_type(b), block.neurons, n, places, form.down_at, arithmetic);
    return block;
  }
  HEARTH_ASSIGN_OR_RETURN(WeightMemory scales, CopyScales(block.ids, *packed, form.record.scale_bytes));
  block.down =
      DownRows::ViewTurned(spec.down_type(b), block.neurons, n, places, form.down_at, std::move(scales));
  return block;
}

// Neurons of one row that are still in, rising, and their values.
struct RowState {
  size_t count = 0;
  std::vector<uint32_t> ids;         // room for all neurons, like the others
  std::vector<float> first, second;  // `second` becomes h
  std::vector<float> scales;         // of rounded values of h

  void MakeRoom(size_t neurons) {
    if (ids.size() >= neurons) return;
    ids.resize(neurons);
    first.resize(neurons);
    second.resize(neurons);
    scales.resize(neurons);
  }
  absl::Span<const uint32_t> kept() const { return absl::MakeConstSpan(ids).first(count); }
};

// What a thread needs to compute a block, shared by all that it computes: for long prompts it is larger than
// a layer's weights. Its buffers only grow.
class SparseWorker {
 public:
  // Finds the neurons that the rows of a block want. Those on the disk begin to be read.
  absl::Status Start(const FfnLayerSpec& spec, SparsityMode mode, const SparseBlock& block,
                     absl::Span<const ChosenRow> chosen, const FfnRequest& request, RecordCache* cache,
                     ThreadPool& pool, ShardWork& work) {
    spec_ = &spec;
    mode_ = mode;
    TakeRows(block, chosen, request);
    const size_t n = spec_->n_embd;
    input_.Set(ChosenInput(*spec_, request, rows_, gathered_x_), rows_.size(), n, n);
    Predict(block, request, pool, work);
    if (block.has_first()) EvaluateFirst(block, pool, work);
    if (block.records == nullptr) return absl::OkStatus();
    if (!cache->asked(*block.records)) {
      HEARTH_RETURN_IF_ERROR(
          cache->Ask(*block.records, WantedRows(block), /*passing=*/rows_.size() > kFewRows));
    }
    return cache->AskAhead(*block.records);
  }

  // Lets the neurons that the rows of a block seem to want begin to be read.
  void Expect(const FfnLayerSpec& spec, SparsityMode mode, const SparseBlock& block,
              absl::Span<const ChosenRow> chosen, const FfnRequest& request, RecordCache& cache,
              ThreadPool& pool) {
    spec_ = &spec;
    mode_ = mode;
    TakeRows(block, chosen, request);
    // Prompts want everything, and gates that are in memory tell more than a guess.
    const bool guesses = block.predicts() ? whole_rows_ == 0 : !block.has_first();
    if (block.records == nullptr || !guesses || rows_.size() > kFewRows) return;
    ShardWork work;
    Predict(block, request, pool, work);
    cache.Expect(*block.records, WantedRows(block));
  }

  // Computes them.
  absl::Status Finish(const SparseBlock& block, const FfnRequest& request, RecordCache* cache,
                      ThreadPool& pool, absl::Span<int64_t> sums, ShardWork& work) {
    if (block.records != nullptr) HEARTH_RETURN_IF_ERROR(cache->Wait(*block.records));
    if (!block.has_first()) EvaluateFirst(block, pool, work);
    if (spec_->gate.present) Evaluate(block, block.second, &RowState::second, pool, work);
    ForEachRow(pool, [&](size_t i) {
      FinishHidden(block, rows_[i], states_[i]);
      if (request.observer != nullptr) Show(block, request, i);
      RoundHidden(block, states_[i]);
    });
    for (size_t i = 0; i < rows_.size(); ++i) work.neurons_computed += computed_[i];
    if (block.down_whole.empty()) {
      AddDown(block, pool, sums, work);
    } else {
      AddWholeDown(block, pool, sums, work);
    }
    AddBias(block, sums);
    if (block.records != nullptr) cache->LetGo(*block.records);
    return absl::OkStatus();
  }

  // The neurons of the block that was finished that fire for one of the rows, rising.
  absl::Span<const uint32_t> firing() const { return states_[0].kept(); }

 private:
  // Requests of more rows are prompts, or as good as: they want nearly all neurons once.
  static constexpr size_t kFewRows = 8;

  void EvaluateFirst(const SparseBlock& block, ThreadPool& pool, ShardWork& work) {
    Evaluate(block, block.first, &RowState::first, pool, work);
    ForEachRow(pool, [&](size_t i) { FinishFirst(block, states_[i]); });
  }

  // Those that are in for any of the rows, rising.
  absl::Span<const uint32_t> WantedRows(const SparseBlock& block) {
    if (rows_.size() == 1) return states_[0].kept();
    wanted_.clear();
    is_wanted_.assign(block.neurons, false);
    for (size_t i = 0; i < rows_.size(); ++i) {
      for (const uint32_t id : states_[i].kept()) is_wanted_[id] = true;
    }
    for (uint32_t id = 0; id < block.neurons; ++id) {
      if (is_wanted_[id]) wanted_.push_back(id);
    }
    return wanted_;
  }

  // rows_ = the rows that chose the block, those without a prediction first.
  void TakeRows(const SparseBlock& block, absl::Span<const ChosenRow> chosen, const FfnRequest& request) {
    const auto predicted = [&](const ChosenRow& row) {
      return block.predicts() && request.hidden != nullptr &&
             !std::isnan(request.hidden[size_t{row.row} * spec_->predictor_rank]);
    };
    rows_.clear();
    for (const ChosenRow& row : chosen) {
      if (!predicted(row)) rows_.push_back(row);
    }
    whole_rows_ = rows_.size();
    for (const ChosenRow& row : chosen) {
      if (predicted(row)) rows_.push_back(row);
    }
    if (states_.size() < rows_.size()) {
      states_.resize(rows_.size());
      computed_.resize(rows_.size());
    }
    for (size_t i = 0; i < rows_.size(); ++i) states_[i].MakeRoom(block.neurons);
  }

  template <class F>
  void ForEachRow(ThreadPool& pool, F&& fn) {
    if (rows_.size() == 1) return fn(0);
    pool.ParallelFor(rows_.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) fn(i);
    });
  }

  // scores_ = the predictor's, for the rows of predictor_input_.
  void Score(const SparseBlock& block, size_t rows, ThreadPool& pool) {
    if (!block.predictor.empty()) {
      const Product product = {&block.predictor, scores_.data(), block.neurons};
      return MatMul(pool, predictor_input_, {&product, 1});
    }
    for (uint32_t id = static_cast<uint32_t>(all_ids_.size()); id < block.neurons; ++id)
      all_ids_.push_back(id);
    const RowMatrix& predictor = block.exact_predictor;
    constexpr size_t kNeuronsPerPiece = 64;
    pool.ParallelFor(block.neurons, kNeuronsPerPiece, [&](size_t begin, size_t end, int) {
      const auto ids = absl::MakeConstSpan(all_ids_).subspan(begin, end - begin);
      for (size_t i = 0; i < rows; ++i) {
        DotRows(predictor.type(), predictor.row(0), predictor.row_bytes(), predictor.cols(), ids,
                predictor_input_.row(i), scores_.data() + i * block.neurons + begin);
      }
    });
  }

  // The neurons to look at: those the predictor keeps or, for rows without a prediction, all.
  void Predict(const SparseBlock& block, const FfnRequest& request, ThreadPool& pool, ShardWork& work) {
    const size_t predicted = rows_.size() - whole_rows_, rank = spec_->predictor_rank;
    if (predicted > 0) {
      hidden_.resize(std::max(hidden_.size(), predicted * rank));
      scores_.resize(std::max(scores_.size(), predicted * block.neurons));
      for (size_t i = 0; i < predicted; ++i) {
        const float* from = request.hidden + rows_[whole_rows_ + i].row * rank;
        std::copy_n(from, rank, hidden_.data() + i * rank);
      }
      predictor_input_.Set(hidden_.data(), predicted, rank, rank);
      Score(block, predicted, pool);
      work.bytes_touched += block.predictor.bytes() + block.exact_predictor.bytes();
    }
    ForEachRow(pool, [&](size_t i) {
      RowState& state = states_[i];
      if (i < whole_rows_) {
        state.count = block.neurons;
        for (uint32_t id = 0; id < block.neurons; ++id) state.ids[id] = id;
        return;
      }
      const float* scores = scores_.data() + (i - whole_rows_) * block.neurons;
      size_t kept = 0;
      for (uint32_t id = 0; id < block.neurons; ++id) {
        state.ids[kept] = id;
        kept += scores[id] >= spec_->sparse_threshold ? 1 : 0;
      }
      state.count = kept;
    });
  }

  // The products of the rows' neurons, into that vector of their states.
  void Evaluate(const SparseBlock& block, const NeuronWeights& weights, std::vector<float> RowState::*values,
                ThreadPool& pool, ShardWork& work) {
    if (!weights.whole.empty()) {
      EvaluateWhole(block, weights.whole, values, pool);
      work.bytes_touched += weights.whole.bytes();
      return;
    }
    union_.Begin(weights.rows, input_, rows_.size());
    size_t rows = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      union_.SetRow(i, states_[i].kept(), (states_[i].*values).data());
      rows += states_[i].count;
    }
    union_.Run(pool);
    work.bytes_touched += std::min<uint64_t>(weights.rows.bytes(), rows * weights.rows.row_bytes());
  }

  void EvaluateWhole(const SparseBlock& block, const Matrix& matrix, std::vector<float> RowState::*values,
                     ThreadPool& pool) {
    if (rows_.size() == 1) {
      // All neurons are in: this matrix is packed as a whole only where none was skipped before.
      const Product product = {&matrix, (states_[0].*values).data(), block.neurons};
      return MatMul(pool, input_, {&product, 1});
    }
    whole_.resize(std::max(whole_.size(), rows_.size() * block.neurons));
    const Product product = {&matrix, whole_.data(), block.neurons};
    MatMul(pool, input_, {&product, 1});
    ForEachRow(pool, [&](size_t i) {
      std::copy_n(whole_.data() + i * block.neurons, block.neurons, (states_[i].*values).data());
    });
  }

  bool skips_silent() const { return mode_ != SparsityMode::kDense && spec_->is_relu_family(); }

  // ReLU makes a neuron whose first value is not positive silent, whatever comes after.
  void FinishFirst(const SparseBlock& block, RowState& state) const {
    const float scale = spec_->gate.present ? spec_->gate_scale : spec_->up_scale;
    AddBiasOf(block.first_bias, scale, state, state.first.data());
    if (!skips_silent()) return;
    size_t kept = 0;
    for (size_t i = 0; i < state.count; ++i) {
      const float value = state.first[i];
      const uint32_t id = state.ids[i];
      state.first[kept] = value;
      state.ids[kept] = id;
      kept += value <= 0 ? 0 : 1;
    }
    state.count = kept;
  }

  static void AddBiasOf(const std::vector<float>& bias, float scale, const RowState& state, float* values) {
    if (scale != 1) Scale(scale, state.count, values);
    if (bias.empty()) return;
    for (size_t i = 0; i < state.count; ++i) values[i] += bias[state.ids[i]];
  }

  // state.second = h, with every factor that `down` is linear in already applied, less what is zero.
  void FinishHidden(const SparseBlock& block, const ChosenRow& row, RowState& state) {
    float* h = state.second.data();
    if (spec_->gate.present) {
      AddBiasOf(block.second_bias, spec_->up_scale, state, h);
      ActivateGated(spec_->activation, spec_->activation_parameters, spec_->relu_up, state.first.data(), h,
                    state.count, h);
    } else {
      Activate(spec_->activation, spec_->activation_parameters, state.first.data(), state.count, h);
    }
    computed_[&state - states_.data()] = state.count;
    const float factor = (spec_->weight_on_input ? 1.0f : row.weight) * spec_->down_scale;
    if (factor != 1) Scale(factor, state.count, h);
    size_t kept = 0;
    for (size_t i = 0; i < state.count; ++i) {
      const float value = h[i];
      const uint32_t id = state.ids[i];
      h[kept] = value;
      state.ids[kept] = id;
      kept += value == 0 ? 0 : 1;
    }
    state.count = kept;
  }

  static void RoundHidden(const SparseBlock& block, RowState& state) {
    if (!block.down.empty()) block.down.Round(state.kept(), state.second.data(), state.scales.data());
  }

  void Show(const SparseBlock& block, const FfnRequest& request, size_t i) const {
    std::vector<uint32_t> ids;
    for (const uint32_t place : states_[i].kept()) ids.push_back(block.ids[place]);
    request.observer->OnHidden(request, block.block, rows_[i].row, ids, states_[i].second.data());
  }

  int64_t* SumsOf(const ChosenRow& row, absl::Span<int64_t> sums) const {
    return sums.data() + size_t{row.row} * spec_->output_values();
  }

  // Columns are shared among the threads, so that every thread has the same work however few neurons carry
  // it, and no sums are left to be added up.
  void AddDown(const SparseBlock& block, ThreadPool& pool, absl::Span<int64_t> sums, ShardWork& work) {
    const size_t n = spec_->n_embd, threads = static_cast<size_t>(pool.threads());
    const size_t steps = (n + DownRows::kColumnStep - 1) / DownRows::kColumnStep;
    const size_t pieces = threads == 1 ? 1 : std::min(steps, 2 * threads);
    const size_t width = (steps + pieces - 1) / pieces * DownRows::kColumnStep;
    buffers_.resize(threads);
    for (std::vector<float>& buffer : buffers_) buffer.resize(n);
    pool.ParallelFor((n + width - 1) / width, 1, [&](size_t begin, size_t end, int thread) {
      AddColumns(block, begin * width, std::min(n, end * width), buffers_[thread].data(), sums);
    });
    uint64_t bytes = 0;
    for (size_t i = 0; i < rows_.size(); ++i) bytes += block.down.BytesOf(states_[i].kept());
    work.bytes_touched += std::min(bytes, block.down.bytes());
  }

  // Group by group for all rows: a group's share of `down` stays in the L2 cache meanwhile.
  void AddColumns(const SparseBlock& block, size_t begin, size_t end, float* buffer,
                  absl::Span<int64_t> sums) const {
    constexpr size_t kFewRows = 64;
    std::array<size_t, kFewRows> next;
    for (size_t first_row = 0; first_row < rows_.size(); first_row += kFewRows) {
      const size_t rows = std::min(kFewRows, rows_.size() - first_row);
      next.fill(0);
      uint32_t group_begin = 0;
      for (const uint32_t group_end : block.group_ends) {
        for (size_t i = 0; i < rows; ++i) {
          const RowState& state = states_[first_row + i];
          const size_t from = next[i];
          while (next[i] < state.count && state.ids[next[i]] < group_end) ++next[i];
          const FiringNeurons firing = {state.kept().subspan(from, next[i] - from),
                                        state.second.data() + from, state.scales.data() + from,
                                        rows == 1 ? state.count - next[i] : 0};
          block.down.Accumulate(firing, group_begin, begin, end, buffer, SumsOf(rows_[first_row + i], sums));
        }
        group_begin = group_end;
      }
    }
  }

  // `down` as one matrix: what was skipped is zero.
  void AddWholeDown(const SparseBlock& block, ThreadPool& pool, absl::Span<int64_t> sums, ShardWork& work) {
    const size_t neurons = block.neurons, values = spec_->output_values();
    whole_.assign(rows_.size() * neurons, 0.0f);
    ForEachRow(pool, [&](size_t i) {
      const RowState& state = states_[i];
      for (size_t k = 0; k < state.count; ++k) whole_[i * neurons + state.ids[k]] = state.second[k];
    });
    hidden_input_.Set(whole_.data(), rows_.size(), neurons, neurons);
    gathered_sums_.assign(rows_.size() * values, 0);
    MatMulFixedPoint(pool, hidden_input_, block.down_whole, block.group_ends, gathered_sums_.data(), values);
    for (size_t i = 0; i < rows_.size(); ++i) {
      int64_t* to = SumsOf(rows_[i], sums);
      for (size_t c = 0; c < values; ++c) to[c] = AddFixedPoint(to[c], gathered_sums_[i * values + c]);
    }
    work.bytes_touched += block.down_whole.bytes();
  }

  void AddBias(const SparseBlock& block, absl::Span<int64_t> sums) const {
    for (const ChosenRow& row : rows_) {
      int64_t* to = SumsOf(row, sums);
      const float weight = spec_->weight_on_input ? 1.0f : row.weight;
      for (size_t c = 0; c < block.down_bias.size(); ++c) {
        to[c] = AddFixedPoint(to[c], ToFixedPoint(weight * block.down_bias[c]));
      }
    }
  }

  // Of the layer at hand.
  const FfnLayerSpec* spec_ = nullptr;
  SparsityMode mode_ = SparsityMode::kDense;

  std::vector<ChosenRow> rows_;
  size_t whole_rows_ = 0;  // of rows_: those without a prediction
  std::vector<RowState> states_;
  std::vector<size_t> computed_;  // by row: neurons whose output was computed
  Activations input_, predictor_input_, hidden_input_;
  std::vector<float> gathered_x_;  // (rows, n_embd)
  std::vector<float> hidden_;      // (rows, rank)
  std::vector<uint32_t> all_ids_;  // 0, 1, 2, ...
  std::vector<float> scores_;      // (rows, neurons): the predictor's
  std::vector<float> whole_;       // (rows, neurons)
  std::vector<int64_t> gathered_sums_;
  std::vector<uint32_t> wanted_;
  std::vector<bool> is_wanted_;
  std::vector<std::vector<float>> buffers_;  // by thread: (n_embd)
  UnionProduct union_;
};

class SparseShard : public CpuShard {
 public:
  // `disk`: where its neurons are; null: in memory.
  SparseShard(const FfnLayerSpec& spec, std::vector<SparseBlock> blocks, SparsityMode mode,
              std::shared_ptr<DiskNeurons> disk = {})
      : spec_(spec), mode_(mode), blocks_(std::move(blocks)), disk_(std::move(disk)) {
    for (const SparseBlock& block : blocks_) {
      weight_bytes_ += block.memory_bytes();
      neurons_ += block.neurons;
      const bool counts = mode != SparsityMode::kDense && spec.block_neurons.size() == 1;
      if (counts) firing_.push_back(std::make_unique<FiringCounter>(block.group_ends));
    }
  }

  absl::StatusOr<ShardWork> Run(const FfnRequest& request, ThreadPool& pool,
                                absl::Span<int64_t> sums) override {
    Buffers& buffers = ThreadBuffers();
    RecordCache* const cache = disk_ ? disk_->cache.get() : nullptr;
    buffers.choices.Set(request, static_cast<uint32_t>(spec_.block_neurons.size()));
    std::vector<const SparseBlock*>& chosen = buffers.chosen;
    chosen.clear();
    for (const SparseBlock& block : blocks_) {
      if (!buffers.choices.rows(block.block).empty()) chosen.push_back(&block);
    }
    // The records of the blocks that follow are read while a block is computed.
    const size_t ahead = cache == nullptr ? 1 : kBlocksAhead;
    ShardWork work;
    size_t started = 0;
    for (size_t done = 0; done < chosen.size(); ++done) {
      for (; started < chosen.size() && started < done + ahead; ++started) {
        const SparseBlock& block = *chosen[started];
        if (started > done && block.records != nullptr && !cache->HasRoom(block.neurons)) break;
        HEARTH_RETURN_IF_ERROR(buffers.workers[started % ahead].Start(
            spec_, mode_, block, buffers.choices.rows(block.block), request, cache, pool, work));
      }
      HEARTH_RETURN_IF_ERROR(
          buffers.workers[done % ahead].Finish(*chosen[done], request, cache, pool, sums, work));
      if (!firing_.empty())
        firing_[chosen[done] - blocks_.data()]->Note(buffers.workers[done % ahead].firing());
    }
    return work;
  }

  void Expect(const FfnRequest& request, ThreadPool& pool) override {
    if (disk_ == nullptr) return;
    Buffers& buffers = ThreadBuffers();
    buffers.choices.Set(request, static_cast<uint32_t>(spec_.block_neurons.size()));
    for (const SparseBlock& block : blocks_) {
      const absl::Span<const ChosenRow> rows = buffers.choices.rows(block.block);
      if (!rows.empty()) buffers.workers[0].Expect(spec_, mode_, block, rows, request, *disk_->cache, pool);
    }
  }

  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t neurons() const override { return neurons_; }
  FiringShares firing() const override {
    FiringShares all;
    for (const std::unique_ptr<FiringCounter>& counter : firing_) {
      const FiringShares seen = counter->shares();
      all.rows = seen.rows;
      all.shares.insert(all.shares.end(), seen.shares.begin(), seen.shares.end());
    }
    return all;
  }

 private:
  static constexpr size_t kBlocksAhead = 16;
  struct Buffers {
    RowChoices choices;
    std::vector<const SparseBlock*> chosen;
    std::array<SparseWorker, kBlocksAhead> workers;
  };
  // Of the calling thread, which does one thing at a time: nothing of them outlives a call.
  static Buffers& ThreadBuffers() {
    static thread_local Buffers buffers;
    return buffers;
  }

  const FfnLayerSpec spec_;
  const SparsityMode mode_;
  const std::vector<SparseBlock> blocks_;
  const std::shared_ptr<DiskNeurons> disk_;
  std::vector<std::unique_ptr<FiringCounter>> firing_;  // by block; none where it is not counted
  uint64_t weight_bytes_ = 0;
  uint64_t neurons_ = 0;
};

// Groups that follow one another in a block, of about so many neurons: enough for a product, few enough for
// reading and computing to go on together.
constexpr size_t kNeuronsPerChunk = 1408;

// Cuts the groups of a block.
std::vector<absl::Span<const GroupWeights>> Chunks(absl::Span<const GroupWeights> groups) {
  std::vector<absl::Span<const GroupWeights>> chunks;
  size_t neurons = 0, begin = 0;
  for (size_t end = 1; end <= groups.size(); ++end) {
    neurons += groups[end - 1].group().neurons.size();
    const bool full = end == groups.size() || neurons + groups[end].group().neurons.size() > kNeuronsPerChunk;
    if (!full) continue;
    chunks.push_back(groups.subspan(begin, end - begin));
    begin = end;
    neurons = 0;
  }
  return chunks;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuShard>> MakeSparseShard(const FfnLayerSpec& spec,
                                                          std::vector<GroupWeights> groups, SparsityMode mode,
                                                          ThreadPool& pool, Arithmetic arithmetic) {
  HEARTH_CHECK(!spec.normalize_hidden);
  std::vector<SparseBlock> blocks;
  const auto make = [&](absl::Span<const GroupWeights> of_block) -> absl::Status {
    HEARTH_ASSIGN_OR_RETURN(SparseBlock block, MakeBlock(spec, of_block, mode, pool, arithmetic));
    blocks.push_back(std::move(block));
    return absl::OkStatus();
  };
  HEARTH_RETURN_IF_ERROR(ForEachBlock(std::move(groups), make));
  return std::make_unique<SparseShard>(spec, std::move(blocks), mode);
}

absl::StatusOr<std::unique_ptr<CpuShard>> MakeDiskShard(const FfnLayerSpec& spec,
                                                        std::vector<GroupWeights> groups, SparsityMode mode,
                                                        ThreadPool& pool, Arithmetic arithmetic,
                                                        std::shared_ptr<DiskNeurons> disk) {
  HEARTH_CHECK(!groups.empty());
  if (spec.normalize_hidden)
    return absl::InvalidArgumentError("a layer with a norm over all neurons is read whole");
  const SparsityMode layer_mode = LayerSparsity(spec, mode);
  std::vector<SparseBlock> blocks;
  const auto make = [&](absl::Span<const GroupWeights> of_block) -> absl::Status {
    for (const absl::Span<const GroupWeights> chunk : Chunks(of_block)) {
      HEARTH_ASSIGN_OR_RETURN(SparseBlock block,
                              MakeDiskBlock(spec, chunk, layer_mode, pool, arithmetic, *disk));
      blocks.push_back(std::move(block));
    }
    return absl::OkStatus();
  };
  HEARTH_RETURN_IF_ERROR(ForEachBlock(std::move(groups), make));
  return std::make_unique<SparseShard>(spec, std::move(blocks), layer_mode, std::move(disk));
}

uint64_t BytesOnDisk(const FfnLayerSpec& spec, uint32_t block, SparsityMode mode, Arithmetic arithmetic) {
  if (spec.normalize_hidden) return 0;
  const SparsityMode layer_mode = LayerSparsity(spec, mode);
  const bool predicts = layer_mode == SparsityMode::kPredicted;
  const SlotForm form = MakeSlotForm(spec, block, ReadsFirstWhole(layer_mode, predicts), arithmetic);
  return (form.gate ? form.record.gate_bytes : 0) + (form.up ? form.record.up_bytes : 0) +
         (form.down_bytes > 0 ? form.record.down_bytes : 0);
}

}  // namespace hearth
