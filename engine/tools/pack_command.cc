#include "engine/tools/pack_command.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/checksum.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/file/gguf.h"
#include "engine/file/gguf_packed.h"
#include "engine/file/gguf_writer.h"
#include "engine/file/tensor_list.h"
#include "engine/kernel/turned_rows.h"
#include "engine/neuron/group_weights.h"
#include "engine/neuron/neuron_record.h"
#include "engine/neuron/profile_file.h"
#include "engine/outline/model_outline.h"

namespace hearth {
namespace {

// The neurons of one block as records, group after group.
class BlockPacker {
 public:
  BlockPacker(const ModelOutline& outline, uint32_t layer, uint32_t block, ThreadPool& pool)
      : spec_(outline.ffn_specs[layer]),
        source_(outline.ffn_sources[layer]),
        block_(block),
        record_(NeuronRecord::Of(spec_, block)),
        pool_(pool) {
    for (const NeuronGroup& group : outline.neuron_groups[layer]) {
      if (group.block == block) groups_.push_back(&group);
    }
  }

  const NeuronRecord& record() const { return record_; }
  std::vector<uint64_t> Order() const {
    std::vector<uint64_t> order;
    for (const NeuronGroup* group : groups_)
      order.insert(order.end(), group->neurons.begin(), group->neurons.end());
    return order;
  }
  uint64_t scale_bytes() const {
    return spec_.block_neurons[block_] / TurnedRows::kUnit * record_.scale_bytes;
  }

  absl::Status WriteRecords(const GgufWriter::Sink& sink) {
    scales_.reserve(scale_bytes());
    for (const NeuronGroup* group : groups_) {
      HEARTH_ASSIGN_OR_RETURN(const GroupWeights weights, GroupWeights::FromFile(spec_, source_, *group));
      records_.assign(group->neurons.size() * record_.bytes, 0);
      CopyRows(weights, BundlePart::kGate, 0);
      CopyRows(weights, BundlePart::kUp, record_.up());
      if (spec_.neuron_major) {
        CopyRows(weights, BundlePart::kDown, record_.down());
      } else if (record_.down_bytes > 0) {
        TurnDown(weights);
      }
      ForEachNeuron([&](size_t i) { SealRecord(record_, &records_[i * record_.bytes]); });
      HEARTH_RETURN_IF_ERROR(sink(records_));
    }
    return absl::OkStatus();
  }
  // After the records.
  absl::Status WriteScales(const GgufWriter::Sink& sink) { return sink(std::exchange(scales_, {})); }
  const std::vector<uint8_t>& scales() const { return scales_; }

 private:
  template <class F>
  void ForEachNeuron(F&& fn) {
    constexpr size_t kNeuronsPerPiece = 16;
    pool_.ParallelFor(records_.size() / record_.bytes, kNeuronsPerPiece, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) fn(i);
    });
  }

  void CopyRows(const GroupWeights& weights, BundlePart part, uint64_t offset) {
    const BundleEntry* entry = weights.layout().Find(part);
    if (entry == nullptr) return;
    ForEachNeuron([&](size_t i) {
      weights.CopyRows(*entry, i, 1, &records_[i * record_.bytes + offset], record_.bytes);
    });
  }

  void TurnDown(const GroupWeights& weights) {
    const BundleEntry& entry = *weights.layout().Find(BundlePart::kDown);
    const size_t neurons = weights.group().neurons.size(), row_bytes = entry.bytes / entry.rows;
    const TurnedRows turned(entry.type, spec_.n_embd);
    const size_t first_scale = scales_.size();
    scales_.resize(first_scale + neurons / TurnedRows::kUnit * turned.scale_bytes());
    const TurnedRows::Place to = {neurons, &records_[record_.down()], record_.bytes,
                                  scales_.data() + first_scale};
    pool_.ParallelFor(spec_.n_embd, TurnedRows::kUnit, [&](size_t begin, size_t end, int) {
      std::vector<uint8_t> outputs((end - begin) * row_bytes);
      weights.CopyRows(entry, begin, end - begin, outputs.data(), row_bytes);
      turned.Turn(outputs.data(), begin, end - begin, to);
    });
  }

  const FfnLayerSpec& spec_;
  const FfnLayerSource& source_;
  const uint32_t block_;
  const NeuronRecord record_;
  ThreadPool& pool_;
  std::vector<const NeuronGroup*> groups_;
  std::vector<uint8_t> records_, scales_;
};

// Describes the packed file of a model and writes it. The order of its parts is that of gguf_packed.h.
class Packer {
 public:
  Packer(const GgufFile& file, const ModelOutline& outline, const PackOptions& options)
      : file_(file),
        outline_(outline),
        options_(options),
        pool_(options.threads),
        writer_(file.is_powerinfer()) {}

  absl::Status Write(const std::string& output) {
    DescribeModel();
    for (uint32_t layer = 0; layer < outline_.ffn_specs.size(); ++layer) {
      if (!HasRecords(outline_.ffn_specs[layer])) continue;
      for (uint32_t b = 0; b < outline_.ffn_specs[layer].block_neurons.size(); ++b) DescribeBlock(layer, b);
    }
    if (neurons_ == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.name(), " has no neurons that could be read one by one; it is used as it is"));
    }
    DescribeChecksums();
    HEARTH_RETURN_IF_ERROR(CheckSpace(output));
    return writer_.Write(output, options_.replace);
  }

  uint64_t neurons() const { return neurons_; }

 private:
  // Matrices that go into records.
  absl::flat_hash_set<std::string> PackedMatrices() const {
    absl::flat_hash_set<std::string> names;
    for (size_t layer = 0; layer < outline_.ffn_specs.size(); ++layer) {
      const FfnLayerSpec& spec = outline_.ffn_specs[layer];
      if (!HasRecords(spec)) continue;
      for (uint32_t b = 0; b < spec.block_neurons.size(); ++b) {
        const FfnBlockSource& source = outline_.ffn_sources[layer].blocks[b];
        if (source.gate.tensor != nullptr) names.insert(source.gate.tensor->name);
        names.insert(source.up.tensor->name);
        if (NeuronRecord::Of(spec, b).down_bytes > 0) names.insert(source.down.tensor->name);
      }
    }
    return names;
  }

  void DescribeModel() {
    writer_.CopyMetadata(file_);
    writer_.Set("general.alignment", kPackAlignment);
    writer_.Set(kPackVersionKey, kPackVersion);
    writer_.Set(kPackFingerprintKey, ModelFingerprint(file_));
    const absl::flat_hash_set<std::string> packed = PackedMatrices();
    TensorList list;
    for (const GgufTensor& tensor : file_.tensors()) {
      if (packed.contains(tensor.name)) {
        list.Add(tensor);
        continue;
      }
      AddTensor(tensor.name, tensor.type, tensor.shape(), tensor.bytes(),
                [this, &tensor](const GgufWriter::Sink& sink) {
                  checksums_.push_back(Checksum(tensor.data));
                  HEARTH_RETURN_IF_ERROR(sink(tensor.data));
                  file_.Release(tensor.data);
                  return file_.CheckUnchanged();
                });
    }
    std::move(list).Write(kPackList, writer_);
  }

  void DescribeBlock(uint32_t layer, uint32_t block) {
    const auto packer = std::make_shared<BlockPacker>(outline_, layer, block, pool_);
    const std::vector<uint64_t> order = packer->Order();
    if (!std::is_sorted(order.begin(), order.end())) writer_.Set(PackOrderKey(layer, block), order);
    const uint64_t record_bytes = packer->record().bytes;
    AddTensor(PackNeuronsName(layer, block), TensorType::kF32, {record_bytes / sizeof(float), order.size()},
              record_bytes * order.size(), [this, packer, layer, block](const GgufWriter::Sink& sink) {
                HEARTH_RETURN_IF_ERROR(packer->WriteRecords(sink));
                ReleaseBlock(layer, block);
                return file_.CheckUnchanged();
              });
    ++blocks_;
    neurons_ += order.size();
    if (packer->scale_bytes() == 0) return;
    AddTensor(PackScalesName(layer, block), TensorType::kF16,
              {outline_.spec.n_embd, packer->scale_bytes() / packer->record().scale_bytes},
              packer->scale_bytes(), [this, packer](const GgufWriter::Sink& sink) {
                checksums_.push_back(Checksum(packer->scales()));
                return packer->WriteScales(sink);
              });
  }

  // Tensors that hold several blocks are released with the last one: their pages count in none of the others.
  void ReleaseBlock(uint32_t layer, uint32_t block) {
    if (block + 1 != outline_.ffn_specs[layer].block_neurons.size()) return;
    for (const FfnBlockSource& source : outline_.ffn_sources[layer].blocks) {
      for (const WeightSlice* slice : {&source.gate, &source.up, &source.down}) {
        if (slice->tensor != nullptr) file_.Release(slice->tensor->data);
      }
    }
  }

  void DescribeChecksums() {
    const uint64_t count = tensors_ - blocks_;  // records carry their own
    AddTensor(kPackChecksums, TensorType::kF32, {2, count}, 2 * count * sizeof(float),
              [this](const GgufWriter::Sink& sink) {
                return sink({reinterpret_cast<const uint8_t*>(checksums_.data()),
                             checksums_.size() * sizeof(uint64_t)});
              });
  }

  void AddTensor(const std::string& name, TensorType type, std::vector<uint64_t> ne, uint64_t bytes,
                 GgufWriter::Source source) {
    ++tensors_;
    all_bytes_ += bytes;
    writer_.AddTensor(name, type, std::move(ne), [this, source](const GgufWriter::Sink& sink) {
      return source([&](absl::Span<const uint8_t> part) {
        done_bytes_ += part.size();
        if (options_.progress) options_.progress(done_bytes_, all_bytes_);
        return sink(part);
      });
    });
  }

  absl::Status CheckSpace(const std::string& output) const {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::absolute(output, error).parent_path();
    const std::filesystem::space_info space = std::filesystem::space(folder, error);
    const uint64_t needed = all_bytes_ + tensors_ * kPackAlignment;
    if (error || space.available >= needed) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat("cannot write ", output, ": it takes about ", needed,
                                                     " bytes, the disk has ", space.available,
                                                     " left; make room or choose another disk"));
  }

  const GgufFile& file_;
  const ModelOutline& outline_;
  const PackOptions& options_;
  ThreadPool pool_;
  GgufWriter writer_;
  std::vector<uint64_t> checksums_;  // of all tensors but records, in their order
  uint64_t tensors_ = 0, blocks_ = 0, neurons_ = 0, all_bytes_ = 0, done_bytes_ = 0;
};

}  // namespace

absl::StatusOr<PackSummary> PackFile(const std::string& input, const std::string& output,
                                     const PackOptions& options) {
  HEARTH_RETURN_IF_ERROR(OutputFile::CheckIsNot(output, input));
  HEARTH_RETURN_IF_ERROR(OutputFile::Check(output, options.replace));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(input));
  if (file->is_packed()) return absl::InvalidArgumentError(absl::StrCat(input, " is packed already"));
  ModelOptions model;
  HEARTH_ASSIGN_OR_RETURN(model.profile, FindProfile(options.profile_path, *file));
  HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(*file, model));
  Packer packer(*file, outline, options);
  HEARTH_RETURN_IF_ERROR(packer.Write(output));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> written, GgufFile::Open(output));
  return PackSummary{file->file_bytes(), written->bytes().size(), packer.neurons()};
}

}  // namespace hearth
