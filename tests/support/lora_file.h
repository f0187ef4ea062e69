#ifndef HEARTH_TESTS_SUPPORT_LORA_FILE_H_
#define HEARTH_TESTS_SUPPORT_LORA_FILE_H_

#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"
#include "gtest/gtest.h"

namespace hearth {

// A LoRA adapter that a test can change before it becomes a file: of the matrices of a model whose names end
// so, each of its own rank, with values that follow from its name and change logits by about as much as they
// are.
class LoraFile {
 public:
  static constexpr float kAlpha = 6;

  explicit LoraFile(const GgufFile& model, uint64_t rank = 3,
                    const std::vector<std::string>& matrices = {"attn_q", "attn_k", "attn_v", "attn_qkv",
                                                                "attn_output", "ffn_gate", "ffn_up",
                                                                "ffn_down"}) {
    Set("general.type", std::string("adapter"));
    Set("adapter.type", std::string("lora"));
    Set("adapter.lora.alpha", double{kAlpha});
    Set("general.architecture", **model.metadata().GetString("general.architecture"));
    for (const GgufTensor& tensor : model.tensors()) {
      for (const std::string& matrix : matrices) {
        if (tensor.name.ends_with("." + matrix + ".weight"))
          Add(tensor.name, tensor.cols(), tensor.rows(), rank++);
      }
    }
  }

  void Set(const std::string& key, GgufMetadata::Value value) { values_[key] = std::move(value); }
  void Erase(const std::string& key) { values_.erase(key); }
  void Add(const std::string& name, uint64_t inputs, uint64_t outputs, uint64_t rank) {
    AddTensor(name + ".lora_a", {inputs, rank});
    AddTensor(name + ".lora_b", {rank, outputs});
  }
  void AddTensor(const std::string& name, std::vector<uint64_t> ne) {
    std::vector<float> values(ne[0] * ne[1]);
    uint64_t state = std::hash<std::string>()(name) | 1;
    for (float& value : values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<float>(static_cast<double>(state >> 33) / (1u << 31) - 0.5) * 0.125f;
    }
    tensors_[name] = {std::move(ne), std::move(values)};
  }
  void EraseTensor(const std::string& name) { tensors_.erase(name); }
  std::vector<float>& values(const std::string& name) { return tensors_.at(name).values; }
  void SetType(TensorType type) { type_ = type; }

  // Writes it to a file of that name of this test's process.
  std::string Write(const std::string& name) const {
    GgufWriter writer;
    for (const auto& [key, value] : values_) writer.Set(key, value);
    for (const auto& [tensor, content] : tensors_) {
      std::vector<uint8_t> bytes(*RowBytes(type_, content.values.size()));
      EXPECT_TRUE(Quantize(type_, content.values, {}, absl::MakeSpan(bytes)).ok());
      writer.AddTensor(tensor, type_, content.ne, std::move(bytes));
    }
    const std::string path = absl::StrCat(testing::TempDir(), "/", getpid(), "_", name);
    EXPECT_TRUE(writer.Write(path).ok());
    return path;
  }

  // The model with scale * alpha / rank * B A added to its float32 matrices: what an adapter is to compute.
  std::shared_ptr<const GgufFile> MergedInto(const GgufFile& model, double scale = 1) const {
    GgufWriter writer;
    writer.CopyMetadata(model);
    for (const GgufTensor& tensor : model.tensors()) {
      std::vector<float> values(tensor.values());
      Dequantize(tensor.type, tensor.data, values.size(), values.data());
      if (tensors_.contains(tensor.name + ".lora_a")) AddTo(tensor, scale, values);
      writer.AddFloats(tensor.name, tensor.shape(), values);
    }
    auto bytes = std::make_shared<std::vector<uint8_t>>(*writer.Serialize());
    const GgufFile* raw = GgufFile::Parse(*bytes, "merged")->release();
    return std::shared_ptr<const GgufFile>(raw, [bytes](const GgufFile* owned) { delete owned; });
  }

 private:
  struct Content {
    std::vector<uint64_t> ne;
    std::vector<float> values;
  };

  void AddTo(const GgufTensor& tensor, double scale, std::vector<float>& values) const {
    const Content& a = tensors_.at(tensor.name + ".lora_a");
    const Content& b = tensors_.at(tensor.name + ".lora_b");
    const uint64_t cols = a.ne[0], rank = a.ne[1];
    for (uint64_t i = 0; i < values.size(); ++i) {
      double sum = 0;
      for (uint64_t r = 0; r < rank; ++r) {
        sum += double{b.values[i / cols * rank + r]} * a.values[r * cols + i % cols];
      }
      values[i] = static_cast<float>(values[i] + scale * kAlpha / static_cast<double>(rank) * sum);
    }
  }

  std::map<std::string, GgufMetadata::Value> values_;
  std::map<std::string, Content> tensors_;
  TensorType type_ = TensorType::kF32;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_SUPPORT_LORA_FILE_H_
