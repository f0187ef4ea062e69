#include "engine/tools/pack_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/file/gguf_packed.h"
#include "engine/file/gguf_skeleton.h"
#include "engine/model/model.h"
#include "engine/neuron/profile_file.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

std::string Path(const std::string& name) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return absl::StrCat(testing::TempDir(), "pack_", test->name(), "_", name);
}

std::string Write(const std::string& name, absl::Span<const uint8_t> bytes) {
  const std::string path = Path(name);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return path;
}

std::string WriteModel(const TinyModel& model) { return Write("model.gguf", model.Build().value()->bytes()); }

PackOptions Options(std::string profile = "") {
  return {.profile_path = std::move(profile), .threads = 2, .replace = Replace::kRegularFile};
}

std::string Pack(const std::string& model, const PackOptions& options = Options()) {
  const std::string packed = Path("packed.gguf");
  const auto summary = PackFile(model, packed, options);
  EXPECT_TRUE(summary.ok()) << summary.status();
  return packed;
}

// The bundles of all units, in which a model's weights are all there.
std::vector<std::vector<uint8_t>> Bundles(const std::string& path, SparsityMode mode,
                                          std::shared_ptr<const GgufFile> profile = {}) {
  const std::shared_ptr<const GgufFile> file = GgufFile::Open(path).value();
  auto outline = std::make_shared<const ModelOutline>(
      OutlineModel(*file, {.sparsity = mode, .profile = std::move(profile)}).value());
  FileSource source(file, outline);
  std::vector<UnitId> units = DeviceShare::Everything(*outline).units();
  for (uint32_t layer = 0; layer < outline->spec.n_layers; ++layer)
    units.push_back({UnitKind::kLayer, layer, 0});
  std::vector<std::vector<uint8_t>> bundles;
  for (const UnitId& unit : units) bundles.push_back(source.Bundle(unit).value());
  return bundles;
}

void ExpectSameWeights(const std::string& model, const std::string& packed,
                       SparsityMode mode = SparsityMode::kDense,
                       std::shared_ptr<const GgufFile> profile = {}) {
  EXPECT_TRUE(GgufFile::Open(packed).value()->is_packed());
  EXPECT_EQ(Bundles(packed, mode, profile), Bundles(model, mode, profile));
}

// A model whose rows are as wide as the widest blocks are.
TinyModel WideModel(const std::string& architecture = "llama") {
  TinyModel model(architecture);
  model.Set(architecture + ".embedding_length", uint64_t{256});
  model.Set(architecture + ".feed_forward_length", uint64_t{512});
  model.Set(architecture + ".attention.head_count", uint64_t{4});
  model.AddTensor("token_embd.weight", {256, 20});
  model.AddTensor("output_norm.weight", {256});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* norm : {"attn_norm", "ffn_norm"}) model.AddTensor(layer + norm + ".weight", {256});
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"})
      model.AddTensor(layer + name + ".weight", {256, 256});
    for (const char* name : {"ffn_gate", "ffn_up"}) model.AddTensor(layer + name + ".weight", {256, 512});
    model.AddTensor(layer + "ffn_down.weight", {512, 256});
  }
  return model;
}

void SetFfnTypes(TinyModel& model, TensorType gate_and_up, TensorType down) {
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"ffn_gate.weight", "ffn_up.weight"}) model.SetType(layer + name, gate_and_up);
    model.SetType(layer + "ffn_down.weight", down);
  }
}

TEST(PackFileTest, WeightsOfEveryTypeComeBackBitForBit) {
  using enum TensorType;
  for (const auto& [gate_and_up, down] : {std::pair{kF32, kF32},
                                          {kF16, kBF16},
                                          {kQ8_0, kQ8_0},
                                          {kQ4_0, kQ4_0},
                                          {kQ4_K, kQ6_K},
                                          {kQ4_0, kQ4_K}}) {
    SCOPED_TRACE(static_cast<int>(down));
    TinyModel model = WideModel();
    SetFfnTypes(model, gate_and_up, down);
    const std::string path = WriteModel(model);
    ExpectSameWeights(path, Pack(path));
  }
}

TEST(PackFileTest, PredictedModelComesBackBitForBit) {
  const std::string model = "deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf";
  const std::string packed = Pack(model);
  for (const SparsityMode mode : {SparsityMode::kDense, SparsityMode::kExact, SparsityMode::kPredicted})
    ExpectSameWeights(model, packed, mode);
}

TEST(PackFileTest, ExpertsAndTheLayersBesideThemComeBackBitForBit) {
  for (const char* name :
       {"experts_renormalized", "dense_layer_then_experts", "llama_tied", "longrope_fused"}) {
    SCOPED_TRACE(name);
    const std::string model = absl::StrCat("tests/engine/model/fixtures/", name, ".gguf");
    ExpectSameWeights(model, Pack(model));
  }
}

// A profile that says that the last neurons of the first layer fire most.
std::string WriteProfile(const GgufFile& model, size_t neurons) {
  std::vector<float> shares(neurons);
  for (size_t i = 0; i < neurons; ++i) shares[i] = static_cast<float>(i) / static_cast<float>(neurons);
  GgufWriter writer;
  DescribeProfile(model, 10, {shares, {}}, writer);
  const std::string path = Path("model.profile");
  EXPECT_TRUE(writer.Write(path).ok());
  return path;
}

TEST(PackFileTest, HotNeuronsLieInFrontAndTheProfileServesBothFiles) {
  const std::string path = WriteModel(TinyModel());
  const std::unique_ptr<GgufFile> model = GgufFile::Open(path).value();
  const std::string profile = WriteProfile(*model, 64);
  const std::string packed = Pack(path, Options(profile));
  const std::unique_ptr<GgufFile> file = GgufFile::Open(packed).value();
  EXPECT_LT(file->packed_blocks(0)[0].place(63), 32u);
  EXPECT_GE(file->packed_blocks(0)[0].place(0), 32u);
  EXPECT_TRUE(file->packed_blocks(1)[0].places.empty());
  ExpectSameWeights(path, packed, SparsityMode::kDense, OpenProfile(profile, *file).value());
  ExpectSameWeights(path, packed);
}

TEST(PackFileTest, RecordsLieInAlignedRuns) {
  const std::string packed = Pack(WriteModel(TinyModel()));
  const std::unique_ptr<GgufFile> file = GgufFile::Open(packed).value();
  for (uint32_t layer = 0; layer < 2; ++layer) {
    const PackedBlock& block = file->packed_blocks(layer)[0];
    EXPECT_EQ((block.records.data() - file->bytes().data()) % kPackAlignment, 0u);
    EXPECT_EQ(block.record_bytes, 3 * 32 * sizeof(float) + 64);
  }
}

TEST(PackFileTest, HostsThatHaveNoFileOutlineTheModelThatWasPacked) {
  const std::string packed = Pack(WriteModel(TinyModel()));
  const std::unique_ptr<GgufFile> file = GgufFile::Open(packed).value();
  const std::unique_ptr<GgufFile> skeleton = ParseSkeleton(MakeSkeleton(*file).value(), "skeleton").value();
  EXPECT_FALSE(skeleton->is_packed());
  const ModelOutline outline = OutlineModel(*skeleton, {}).value();
  EXPECT_EQ(outline.ffn_specs[1].block_neurons, std::vector<uint32_t>{64});
}

TEST(PackFileTest, TellsHowFarItIs) {
  uint64_t last = 0, all = 0;
  PackOptions options = Options();
  options.progress = [&](uint64_t done, uint64_t of) {
    EXPECT_GE(done, last);
    last = done;
    all = of;
  };
  Pack(WriteModel(TinyModel()), options);
  EXPECT_EQ(last, all);
  EXPECT_GT(all, 90000u);
}

TEST(PackFileTest, WhatCannotBePackedIsRefusedInOneLine) {
  const std::string model = WriteModel(TinyModel());
  const std::string packed = Pack(model);
  EXPECT_THAT(PackFile(packed, Path("again.gguf"), Options()).status().message(),
              HasSubstr("packed already"));
  EXPECT_THAT(PackFile(model, model, Options()).status().message(), HasSubstr("it is the file that is read"));
  PackOptions careful = Options();
  careful.replace = Replace::kNever;
  EXPECT_EQ(PackFile(model, packed, careful).status().code(), absl::StatusCode::kAlreadyExists);
  TinyModel bad;
  bad.EraseTensor("blk.1.ffn_up.weight");
  EXPECT_THAT(PackFile(WriteModel(bad), Path("bad.gguf"), Options()).status().message(),
              HasSubstr("blk.1.ffn_up.weight"));
}

// Files may become no larger than a few pages, as on a disk that is full.
class FullDisk {
 public:
  FullDisk() {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit small = before_;
    small.rlim_cur = 20000;
    setrlimit(RLIMIT_FSIZE, &small);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  void (*handler_)(int);
};

TEST(PackFileTest, FullDiskLeavesNothingBehind) {
  const std::string model = WriteModel(TinyModel()), output = Path("full/packed.gguf");
  std::filesystem::create_directory(Path("full"));
  {
    const FullDisk full;
    EXPECT_THAT(PackFile(model, output, Options()).status().message(), HasSubstr("cannot write"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(Path("full")));
}

std::vector<uint8_t> ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

absl::Status Load(const std::string& path) {
  ThreadPool pool(1);
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  HEARTH_ASSIGN_OR_RETURN(const auto model, Model::Load(file, ModelOptions{}, pool));
  FileSource source(file, model->shared_outline());
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (uint32_t group = 0; group < model->outline().neuron_groups[layer].size(); ++group)
      HEARTH_RETURN_IF_ERROR(source.Neurons(layer, group).status());
  }
  return absl::OkStatus();
}

TEST(PackedFileTest, EveryDamagedByteOfTheWeightsIsFound) {
  TinyModel model;
  SetFfnTypes(model, TensorType::kQ8_0, TensorType::kQ8_0);
  const std::vector<uint8_t> intact = ReadBytes(Pack(WriteModel(model)));
  const std::unique_ptr<GgufFile> file = GgufFile::Parse(intact, "intact").value();
  ASSERT_TRUE(Load(Write("intact.gguf", intact)).ok());
  const auto try_at = [&](const uint8_t* byte) {
    std::vector<uint8_t> damaged = intact;
    damaged[byte - intact.data()] ^= 4;
    const absl::Status status = Load(Write("damaged.gguf", damaged));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << byte - intact.data();
    EXPECT_THAT(status.message(), HasSubstr("damaged"));
  };
  for (const PackedBlock& block : file->packed_blocks(1)) {
    for (size_t at = 0; at < 3 * 34; at += 17) try_at(block.record(5) + at);
    try_at(&block.scales[7]);
  }
  for (const char* name : {"token_embd.weight", "blk.1.attn_q.weight", "output_norm.weight"})
    try_at(&file->FindTensor(name)->data[3]);
}

TEST(PackedFileTest, CutFileAndOtherVersionAreRefused) {
  std::vector<uint8_t> bytes = ReadBytes(Pack(WriteModel(TinyModel())));
  std::vector<uint8_t> cut(bytes.begin(), bytes.end() - 5000);
  EXPECT_THAT(GgufFile::Parse(cut, "cut").status().message(), HasSubstr("reaches past the end of the file"));
  const std::string key = kPackVersionKey;
  const auto version = std::search(bytes.begin(), bytes.end(), key.begin(), key.end()) +
                       static_cast<ptrdiff_t>(key.size() + sizeof(uint32_t));
  *version = 9;
  EXPECT_THAT(GgufFile::Parse(bytes, "new").status().message(), HasSubstr("packed in version 9"));
}

TEST(PackedFileTest, TensorsThatAreNeitherInRecordsNorInTheFileAreRefused) {
  GgufWriter writer;
  const std::unique_ptr<GgufFile> packed = GgufFile::Open(Pack(WriteModel(TinyModel()))).value();
  writer.CopyMetadata(*packed);
  for (const GgufTensor& tensor : packed->tensors()) {
    if (!tensor.data.empty())
      writer.AddTensor(tensor.name, tensor.type, tensor.shape(), {tensor.data.begin(), tensor.data.end()});
  }
  const std::vector<uint8_t> bytes = writer.Serialize().value();
  const std::unique_ptr<GgufFile> file = GgufFile::Parse(bytes, "without records").value();
  EXPECT_THAT(OutlineModel(*file, {}).status().message(), HasSubstr("has no data; pack the model again"));
}

}  // namespace
}  // namespace hearth
