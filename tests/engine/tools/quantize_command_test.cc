#include "engine/tools/quantize_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/file/gguf_writer.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// Values that repeat nowhere soon and depend on nothing but the place.
std::vector<float> Wave(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = std::sin(0.7f * static_cast<float>(i * i % 1009));
  return values;
}

void AddMatrix(GgufWriter& writer, const std::string& name, std::vector<uint64_t> ne) {
  uint64_t count = 1;
  for (const uint64_t n : ne) count *= n;
  writer.AddFloats(name, std::move(ne), Wave(count));
}

std::string Path(const std::string& name) { return absl::StrCat(testing::TempDir(), "quantize_", name); }

// A model with one tensor of each sort that is treated in its own way.
std::string WriteModel(bool powerinfer = false) {
  GgufWriter writer(powerinfer);
  writer.Set("general.architecture", std::string("llama"));
  writer.Set("general.file_type", uint64_t{0});
  AddMatrix(writer, "token_embd.weight", {256, 5});
  AddMatrix(writer, "output.weight", {256, 5});
  AddMatrix(writer, "output_norm.weight", {256});
  AddMatrix(writer, "blk.0.attn_q.weight", {256, 4});
  AddMatrix(writer, "blk.0.attn_q.bias", {4, 1});
  AddMatrix(writer, "blk.0.attn_q_norm.weight", {64, 4});
  AddMatrix(writer, "blk.0.ffn_gate_inp.weight", {256, 2});
  AddMatrix(writer, "blk.0.ffn_down_exps.weight", {256, 3, 2});
  AddMatrix(writer, "blk.0.ffn_down.weight", {96, 4});
  AddMatrix(writer, "blk.0.odd.weight", {20, 3});
  AddMatrix(writer, "blk.0.fc1.weight", {256, 2});
  AddMatrix(writer, "blk.0.ffn_down_t.weight", {256, 7});
  const std::string path = Path("model.gguf");
  EXPECT_TRUE(writer.Write(path).ok());
  return path;
}

QuantizeOptions Options(TensorType type, int threads = 1, std::string imatrix_path = "") {
  QuantizeOptions options;
  options.type = type;
  options.threads = threads;
  options.imatrix_path = std::move(imatrix_path);
  options.replace = Replace::kRegularFile;  // of earlier runs
  return options;
}

std::unique_ptr<GgufFile> Quantised(const std::string& model, const QuantizeOptions& options) {
  const std::string path = Path("out.gguf");
  const auto summary = QuantizeFile(model, path, options);
  EXPECT_TRUE(summary.ok()) << summary.status();
  auto file = GgufFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

std::vector<float> Values(const GgufTensor& tensor) {
  std::vector<float> values(tensor.values());
  Dequantize(tensor.type, tensor.data, values.size(), values.data());
  return values;
}

TEST(QuantizeCommandTest, EachTensorGetsTheTypeThatFitsIt) {
  const auto file = Quantised(WriteModel(), Options(TensorType::kQ4_K, 2));
  const auto type = [&](const char* name) { return GetTypeInfo(file->FindTensor(name)->type).name; };
  EXPECT_EQ(type("token_embd.weight"), "Q4_K");
  EXPECT_EQ(type("output.weight"), "Q6_K");
  EXPECT_EQ(type("output_norm.weight"), "F32");
  EXPECT_EQ(type("blk.0.attn_q.weight"), "Q4_K");
  EXPECT_EQ(type("blk.0.attn_q.bias"), "F32");
  EXPECT_EQ(type("blk.0.attn_q_norm.weight"), "F32");
  EXPECT_EQ(type("blk.0.ffn_gate_inp.weight"), "F32");
  EXPECT_EQ(type("blk.0.ffn_down_exps.weight"), "Q4_K");
  EXPECT_EQ(type("blk.0.ffn_down.weight"), "Q8_0");
  EXPECT_EQ(type("blk.0.odd.weight"), "F16");
}

TEST(QuantizeCommandTest, ValuesStayCloseInEveryType) {
  const std::string model = WriteModel();
  const auto original = GgufFile::Open(model);
  const std::pair<TensorType, float> kLargestError[] = {
      {TensorType::kF32, 0},       {TensorType::kF16, 0.0005f}, {TensorType::kBF16, 0.004f},
      {TensorType::kQ8_0, 0.005f}, {TensorType::kQ4_0, 0.13f},  {TensorType::kQ4_K, 0.1f},
      {TensorType::kQ6_K, 0.03f}};
  for (const auto& [type, bound] : kLargestError) {
    const auto file = Quantised(model, Options(type, 1));
    for (const char* name : {"blk.0.attn_q.weight", "blk.0.ffn_down_exps.weight"}) {
      const std::vector<float> expected = Values(*(*original)->FindTensor(name));
      const std::vector<float> actual = Values(*file->FindTensor(name));
      ASSERT_EQ(expected.size(), actual.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(expected[i], actual[i], bound) << GetTypeInfo(type).name << " " << name << " " << i;
      }
    }
  }
}

TEST(QuantizeCommandTest, PowerInferFilesStayPowerInferFilesWithPredictorsPacked) {
  const auto file = Quantised(WriteModel(/*powerinfer=*/true), Options(TensorType::kQ4_0, 1));
  EXPECT_TRUE(file->is_powerinfer());
  EXPECT_EQ(file->FindTensor("blk.0.fc1.weight")->type, TensorType::kQ4_0);
  EXPECT_EQ(file->FindTensor("blk.0.ffn_down_t.weight")->type, TensorType::kQ4_0);
}

TEST(QuantizeCommandTest, MetadataStaysButForTheFileType) {
  const auto file = Quantised(WriteModel(), Options(TensorType::kQ8_0, 1));
  EXPECT_EQ(file->metadata().GetString("general.architecture")->value(), "llama");
  EXPECT_EQ(file->metadata().GetUint("general.file_type")->value(), 7u);
  EXPECT_EQ(file->metadata().GetUint("general.quantization_version")->value(), 2u);
}

TEST(QuantizeCommandTest, ThreadsDoNotChangeTheResult) {
  const std::string model = WriteModel();
  const auto one = Quantised(model, Options(TensorType::kQ4_K, 1));
  const std::vector<uint8_t> bytes(one->bytes().begin(), one->bytes().end());
  const auto three = Quantised(model, Options(TensorType::kQ4_K, 3));
  EXPECT_EQ(three->bytes(), absl::MakeConstSpan(bytes));
}

TEST(QuantizeCommandTest, TiedEmbeddingsAreTheOutput) {
  GgufWriter writer;
  AddMatrix(writer, "token_embd.weight", {256, 2});
  const std::string path = Path("tied.gguf");
  ASSERT_TRUE(writer.Write(path).ok());
  EXPECT_EQ(Quantised(path, Options(TensorType::kQ4_0))->tensors()[0].type, TensorType::kQ6_K);
}

TEST(QuantizeCommandTest, SummaryCountsTensorsAndBytes) {
  const auto summary = QuantizeFile(WriteModel(), Path("out.gguf"), Options(TensorType::kQ8_0, 2));
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_LT(summary->output_bytes, summary->input_bytes / 2);
  EXPECT_EQ(summary->quantised_tensors, 8u);
  EXPECT_EQ(summary->copied_tensors, 4u);
  EXPECT_EQ(summary->fallback_tensors, 1u);
  EXPECT_EQ((*GgufFile::Open(Path("out.gguf")))->FindTensor("output.weight")->type, TensorType::kQ8_0);
}

TEST(QuantizeCommandTest, AFileThatExistsIsKeptUnlessReplacingIsAllowed) {
  const std::string model = WriteModel(), output = Path("out.gguf");
  ASSERT_TRUE(QuantizeFile(model, output, Options(TensorType::kQ8_0)).ok());
  QuantizeOptions options = Options(TensorType::kF16);
  options.replace = Replace::kNever;
  EXPECT_TRUE(absl::IsAlreadyExists(QuantizeFile(model, output, options).status()));
  EXPECT_EQ((*GgufFile::Open(output))->FindTensor("output.weight")->type, TensorType::kQ8_0);
}

// An importance matrix that says: only column `important` of each row of attn_q matters.
std::string WriteImportance(uint64_t cols, uint64_t important, float value = 100, float count = 2) {
  GgufWriter writer;
  std::vector<float> sums(cols, 0.0f);
  sums[important] = value;
  writer.AddFloats("blk.0.attn_q.weight.in_sum2", {cols, 1}, sums);
  writer.AddFloats("blk.0.attn_q.weight.counts", {1, 1}, std::vector<float>{count});
  const std::string path = Path("imatrix.gguf");
  EXPECT_TRUE(writer.Write(path).ok());
  return path;
}

TEST(QuantizeCommandTest, ImportanceKeepsItsColumnCloser) {
  const std::string model = WriteModel();
  const std::vector<float> expected = Values(*(*GgufFile::Open(model))->FindTensor("blk.0.attn_q.weight"));
  const auto error_of_column = [&](uint64_t column, const std::string& imatrix) {
    const auto file = Quantised(model, Options(TensorType::kQ4_K, 1, imatrix));
    const std::vector<float> actual = Values(*file->FindTensor("blk.0.attn_q.weight"));
    double error = 0;
    for (size_t row = 0; row < 4; ++row)
      error += std::abs(expected[row * 256 + column] - actual[row * 256 + column]);
    return error;
  };
  double with = 0, without = 0;
  for (const uint64_t column : {0, 17, 100, 101, 200, 255}) {
    without += error_of_column(column, "");
    with += error_of_column(column, WriteImportance(256, column));
  }
  EXPECT_LT(with, 0.5 * without);
}

TEST(QuantizeCommandTest, FilesThatAreReadAreNeverWritten) {
  const std::string model = WriteModel();
  const std::string imatrix = WriteImportance(256, 3);
  for (const std::string& output : {model, imatrix}) {
    const auto summary = QuantizeFile(model, output, Options(TensorType::kQ8_0, 1, imatrix));
    EXPECT_THAT(std::string(summary.status().message()), HasSubstr("it is the file that is read"));
  }
  EXPECT_TRUE(GgufFile::Open(model).ok());
}

TEST(QuantizeCommandTest, ImportanceOfAnotherModelIsRefused) {
  const auto summary =
      QuantizeFile(WriteModel(), Path("out.gguf"), Options(TensorType::kQ4_K, 1, WriteImportance(128, 0)));
  EXPECT_EQ(summary.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(summary.status().message()), HasSubstr("blk.0.attn_q.weight"));
}

TEST(QuantizeCommandTest, FilesThatAreNoImportanceMatrixAreRefused) {
  const std::string model = WriteModel();
  const auto summary = QuantizeFile(model, Path("out.gguf"), Options(TensorType::kQ4_K, 1, model));
  EXPECT_THAT(std::string(summary.status().message()), HasSubstr("no importance matrix"));
  for (const float bad : {-1.0f, NAN, INFINITY}) {
    const auto refused =
        QuantizeFile(model, Path("out.gguf"), Options(TensorType::kQ4_K, 1, WriteImportance(256, 3, bad)));
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(QuantizeCommandTest, ImportanceWithoutCountsGivesEqualWeights) {
  const std::string model = WriteModel();
  const std::string imatrix = WriteImportance(256, 3, 100, /*count=*/0);
  EXPECT_TRUE(QuantizeFile(model, Path("out.gguf"), Options(TensorType::kQ4_K, 1, imatrix)).ok());
}

TEST(QuantizeCommandTest, ValuesThatTheTypeCannotHoldNameTheTensor) {
  GgufWriter writer;
  std::vector<float> values(64, 1.0f);
  values[40] = 1e9f;
  writer.AddFloats("blk.0.attn_q.weight", {32, 2}, values);
  const std::string path = Path("large.gguf");
  ASSERT_TRUE(writer.Write(path).ok());
  std::filesystem::remove(Path("refused.gguf"));
  const auto summary = QuantizeFile(path, Path("refused.gguf"), Options(TensorType::kQ8_0));
  EXPECT_EQ(summary.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(summary.status().message()), HasSubstr("row 1 of tensor blk.0.attn_q.weight"));
  EXPECT_FALSE(std::filesystem::exists(Path("refused.gguf")));
}

TEST(QuantizeCommandTest, TypesWithoutAQuantiserAreUnimplemented) {
  const auto summary = QuantizeFile(WriteModel(), Path("out.gguf"), Options(TensorType::kIQ2_S));
  EXPECT_EQ(summary.status().code(), absl::StatusCode::kUnimplemented);
}

TEST(QuantizeCommandTest, MissingInputIsNotFound) {
  EXPECT_EQ(QuantizeFile("/nonexistent.gguf", Path("out.gguf"), QuantizeOptions()).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace hearth
