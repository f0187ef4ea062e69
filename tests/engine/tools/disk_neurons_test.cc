// Models whose neurons stay on the disk beside the same models in memory.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/model/decoder.h"
#include "engine/model/model.h"
#include "engine/tools/pack_command.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr DecoderOptions kOptions = {.sequences = 1, .context_length = 48, .max_rows = 32};

std::string Path(const std::string& name) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return absl::StrCat(testing::TempDir(), "disk_neurons_", test->name(), "_", name);
}

std::string Pack(const std::string& model) {
  const std::string packed = Path("packed.gguf");
  const auto summary = PackFile(model, packed, {.threads = 2, .replace = Replace::kRegularFile});
  EXPECT_TRUE(summary.ok()) << summary.status();
  return packed;
}

std::string WriteModel(const TinyModel& model) {
  const std::string path = Path("model.gguf");
  const std::shared_ptr<const GgufFile> file = model.Build().value();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file->bytes().data()),
             static_cast<std::streamsize>(file->bytes().size()));
  return path;
}

// Layers wide enough for several chunks of neurons.
TinyModel WideModel(TensorType gate_and_up, TensorType down, bool relu = false) {
  TinyModel model;
  model.Set("llama.embedding_length", uint64_t{256});
  model.Set("llama.feed_forward_length", uint64_t{4096});
  model.Set("llama.attention.head_count", uint64_t{4});
  if (relu) model.Set("hearth.ffn_activation", std::string("relu"));
  model.AddTensor("token_embd.weight", {256, 20});
  model.AddTensor("output_norm.weight", {256});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* norm : {"attn_norm", "ffn_norm"}) model.AddTensor(layer + norm + ".weight", {256});
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"})
      model.AddTensor(layer + name + ".weight", {256, 256});
    for (const char* name : {"ffn_gate", "ffn_up"}) {
      model.AddTensor(layer + name + ".weight", {256, 4096});
      model.SetType(layer + name + ".weight", gate_and_up);
    }
    model.AddTensor(layer + "ffn_down.weight", {4096, 256});
    model.SetType(layer + "ffn_down.weight", down);
  }
  return model;
}

// A model on devices of which each has a budget, as far as neurons go on the disk.
struct Runtime {
  std::shared_ptr<const GgufFile> file;
  std::shared_ptr<const Model> model;
  std::unique_ptr<HostDevices> host;
  std::unique_ptr<HostShare> share;
  std::unique_ptr<Decoder> decoder;

  static absl::StatusOr<Runtime> Make(const std::string& path, SparsityMode mode, uint64_t budget_bytes,
                                      ThreadPool& pool, size_t devices = 1) {
    Runtime runtime;
    HEARTH_ASSIGN_OR_RETURN(runtime.file, GgufFile::Open(path));
    HEARTH_ASSIGN_OR_RETURN(runtime.model,
                            Model::Load(runtime.file, {.sparsity = mode, .context_length = 48}, pool));
    HEARTH_ASSIGN_OR_RETURN(runtime.decoder, Decoder::Create(runtime.model, kOptions, pool));
    std::vector<HostDeviceSpec> specs;
    for (size_t i = 0; i < devices; ++i)
      specs.push_back({.name = absl::StrCat("cpu", i), .memory_bytes = budget_bytes, .uses_disk = true});
    runtime.host = std::make_unique<HostDevices>(std::move(specs), &pool);
    runtime.share =
        std::make_unique<HostShare>(runtime.model->shared_outline(), kOptions,
                                    ShareInTurn(runtime.model->outline(), devices), *runtime.host);
    FileSource source(runtime.file, runtime.model->shared_outline());
    HEARTH_RETURN_IF_ERROR(runtime.share->Check());
    HEARTH_RETURN_IF_ERROR(runtime.share->Load(source, pool));
    runtime.decoder->SetDevices(runtime.share->devices());
    return runtime;
  }

  // The logits of a prompt of 12 tokens, then of tokens that count as generated, one by one.
  absl::StatusOr<std::vector<float>> Logits() {
    constexpr uint32_t kPrompt = 12, kAll = 24;
    const size_t vocabulary = model->spec().n_vocab;
    std::vector<float> logits(kAll * vocabulary);
    std::vector<BatchRow> rows;
    for (uint32_t t = 0; t < kAll; ++t) {
      rows.push_back({0, t, static_cast<TokenId>(t * 7 % 20), true, t < kPrompt});
      if (t + 1 < kPrompt) continue;
      const size_t first = (t + 1 - rows.size()) * vocabulary;
      HEARTH_RETURN_IF_ERROR(decoder->Step(rows, absl::MakeSpan(logits).subspan(first)));
      rows.clear();
    }
    return logits;
  }

  DiskCounters disk() const {
    DiskCounters total;
    for (const LocalDevice* device : share->locals()) total.Add(device->counters().disk);
    return total;
  }
};

// The least budget that works, from what is said about one that does not.
uint64_t LeastBudget(const std::string& packed, SparsityMode mode, ThreadPool& pool, size_t devices) {
  const absl::Status status = Runtime::Make(packed, mode, 1, pool, devices).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const std::string message(status.message());
  std::smatch numbers;
  EXPECT_TRUE(std::regex_search(message, numbers, std::regex("needs (\\d+) for .* and (\\d+) to read")))
      << message;
  return (std::stoull(numbers[1]) + std::stoull(numbers[2])) * 11 / 10 + 200000;
}

// Logits with neurons on the disk have the bits of those in memory; something was read.
void ExpectSameBits(const std::string& model, SparsityMode mode, size_t devices = 1) {
  ThreadPool pool(2);
  const std::string packed = Pack(model);
  absl::StatusOr<Runtime> memory = Runtime::Make(model, mode, UINT64_MAX, pool);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const std::vector<float> expected = memory->Logits().value();
  EXPECT_EQ(memory->disk().misses, 0u);
  const uint64_t least = LeastBudget(packed, mode, pool, devices);
  ASSERT_LT(least * devices, memory->share->weight_bytes() + memory->share->kv_bytes());
  for (const uint64_t budget : {least, least * 9 / 8}) {
    SCOPED_TRACE(budget);
    absl::StatusOr<Runtime> disk = Runtime::Make(packed, mode, budget, pool, devices);
    ASSERT_TRUE(disk.ok()) << disk.status();
    EXPECT_EQ(disk->Logits().value(), expected);
    EXPECT_GT(disk->disk().misses, 0u);
    EXPECT_LE(disk->share->weight_bytes() + disk->share->kv_bytes() + disk->disk().memory_bytes,
              devices * budget);
  }
}

TEST(DiskNeuronsTest, DenseLayersHaveTheBitsOfMemory) {
  using enum TensorType;
  for (const auto& [gate_and_up, down] : {std::pair{kF32, kF32},
                                          {kF16, kBF16},
                                          {kQ8_0, kQ8_0},
                                          {kQ4_0, kQ4_0},
                                          {kQ4_K, kQ4_0},
                                          {kQ8_0, kQ6_K}}) {
    SCOPED_TRACE(absl::StrCat(static_cast<int>(gate_and_up), " ", static_cast<int>(down)));
    ExpectSameBits(WriteModel(WideModel(gate_and_up, down)), SparsityMode::kDense);
  }
}

TEST(DiskNeuronsTest, ExactLayersHaveTheBitsOfMemory) {
  using enum TensorType;
  for (const TensorType type : {kF16, kQ8_0, kQ4_0})
    ExpectSameBits(WriteModel(WideModel(type, type, /*relu=*/true)), SparsityMode::kExact);
}

TEST(DiskNeuronsTest, PredictedLayersHaveTheBitsOfMemory) {
  ExpectSameBits("deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf", SparsityMode::kPredicted);
}

TEST(DiskNeuronsTest, TwoDevicesHaveTheBitsOfOneInMemory) {
  ExpectSameBits("deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf", SparsityMode::kPredicted, 2);
}

// Eight experts of which two are chosen.
TinyModel ExpertModel() {
  TinyModel model;
  model.Set("llama.embedding_length", uint64_t{256});
  model.Set("llama.feed_forward_length", uint64_t{512});
  model.Set("llama.attention.head_count", uint64_t{4});
  model.Set("llama.expert_count", uint64_t{8});
  model.Set("llama.expert_used_count", uint64_t{2});
  model.AddTensor("token_embd.weight", {256, 20});
  model.AddTensor("output_norm.weight", {256});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* norm : {"attn_norm", "ffn_norm"}) model.AddTensor(layer + norm + ".weight", {256});
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"})
      model.AddTensor(layer + name + ".weight", {256, 256});
    for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) model.EraseTensor(layer + name + ".weight");
    model.AddTensor(layer + "ffn_gate_inp.weight", {256, 8});
    model.AddTensor(layer + "ffn_gate_exps.weight", {256, 512, 8});
    model.AddTensor(layer + "ffn_up_exps.weight", {256, 512, 8});
    model.AddTensor(layer + "ffn_down_exps.weight", {512, 256, 8});
    for (const char* name : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"})
      model.SetType(layer + name + ".weight", TensorType::kQ4_0);
  }
  return model;
}

TEST(DiskNeuronsTest, ExpertsHaveTheBitsOfMemory) {
  ExpectSameBits(WriteModel(ExpertModel()), SparsityMode::kDense);
}

TEST(DiskNeuronsTest, ModelThatIsNotPackedIsToBePacked) {
  ThreadPool pool(1);
  const std::string model = WriteModel(WideModel(TensorType::kQ8_0, TensorType::kQ8_0));
  EXPECT_THAT(Runtime::Make(model, SparsityMode::kDense, 1000000, pool).status().message(),
              HasSubstr("pack the model (hearth-model pack)"));
}

TEST(DiskNeuronsTest, DamageOnTheDiskEndsTheStepWithAnErrorAndNoWrongLogits) {
  ThreadPool pool(1);
  const std::string packed = Pack(WriteModel(WideModel(TensorType::kQ8_0, TensorType::kQ8_0)));
  absl::StatusOr<Runtime> disk =
      Runtime::Make(packed, SparsityMode::kDense, LeastBudget(packed, SparsityMode::kDense, pool, 1), pool);
  ASSERT_TRUE(disk.ok()) << disk.status();
  // The last neurons of a layer are not kept in memory.
  const PackedBlock& block = disk->file->packed_blocks(1)[0];
  const auto offset = block.record(4095) + 3 - disk->file->bytes().data();
  std::fstream(packed, std::ios::in | std::ios::out | std::ios::binary).seekp(offset).put('\x55');
  const absl::Status status = disk->Logits().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("layer 1"));
  EXPECT_THAT(status.message(), HasSubstr("is damaged"));
  EXPECT_EQ(disk->Logits().status().code(), absl::StatusCode::kUnavailable);
}

TEST(DiskNeuronsTest, FileThatIsCutShortInUseEndsTheStepWithAnError) {
  ThreadPool pool(1);
  const std::string packed = Pack(WriteModel(WideModel(TensorType::kQ8_0, TensorType::kQ8_0)));
  absl::StatusOr<Runtime> disk =
      Runtime::Make(packed, SparsityMode::kDense, LeastBudget(packed, SparsityMode::kDense, pool, 1), pool);
  ASSERT_TRUE(disk.ok()) << disk.status();
  std::filesystem::resize_file(packed, std::filesystem::file_size(packed) / 2);
  EXPECT_THAT(disk->Logits().status().message(), HasSubstr("while it was in use"));
}

}  // namespace
}  // namespace hearth
