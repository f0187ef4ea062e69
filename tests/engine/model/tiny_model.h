#ifndef HEARTH_TESTS_ENGINE_MODEL_TINY_MODEL_H_
#define HEARTH_TESTS_ENGINE_MODEL_TINY_MODEL_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"

namespace hearth {

// A small Llama in memory whose parts a test can change before it becomes a file: 2 layers, n_embd 32, 1 head
// of 32 values, 64 neurons, vocabulary 20.
class TinyModel {
 public:
  using Value = GgufMetadata::Value;

  explicit TinyModel(const std::string& architecture = "llama") {
    Set("general.architecture", architecture);
    for (const auto& [key, value] : std::map<std::string, uint64_t>{{"context_length", 64},
                                                                    {"embedding_length", 32},
                                                                    {"block_count", 2},
                                                                    {"feed_forward_length", 64},
                                                                    {"attention.head_count", 1}}) {
      Set(architecture + "." + key, value);
    }
    Set(architecture + ".attention.layer_norm_rms_epsilon", 1e-5);
    AddTensor("token_embd.weight", {32, 20});
    AddTensor("output_norm.weight", {32});
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      for (const char* norm : {"attn_norm", "ffn_norm"}) AddTensor(layer + norm + ".weight", {32});
      for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
        AddTensor(layer + name + ".weight", {32, 32});
      }
      for (const char* name : {"ffn_gate", "ffn_up"}) AddTensor(layer + name + ".weight", {32, 64});
      AddTensor(layer + "ffn_down.weight", {64, 32});
    }
  }

  void Set(const std::string& key, Value value) { values_[key] = std::move(value); }
  void Erase(const std::string& key) { values_.erase(key); }
  // Adds or replaces a float32 tensor with values that follow from its name.
  void AddTensor(const std::string& name, std::vector<uint64_t> ne) { tensors_[name] = std::move(ne); }
  // Stores a tensor's values in another type.
  void SetType(const std::string& name, TensorType type) { types_[name] = type; }
  // Makes all values of a tensor this one.
  void Fill(const std::string& name, float value) { constants_[name] = value; }
  void EraseTensor(const std::string& name) { tensors_.erase(name); }
  void Rename(const std::string& from, const std::string& to) {
    tensors_[to] = tensors_[from];
    tensors_.erase(from);
  }

  // The file; it owns the bytes it was parsed from.
  absl::StatusOr<std::shared_ptr<const GgufFile>> Build() const {
    GgufWriter writer;
    for (const auto& [key, value] : values_) writer.Set(key, value);
    for (const auto& [name, ne] : tensors_) {
      std::vector<float> values = Values(name, ne);
      if (const auto constant = constants_.find(name); constant != constants_.end()) {
        values.assign(values.size(), constant->second);
      }
      const auto type = types_.find(name);
      if (type == types_.end()) {
        writer.AddFloats(name, ne, values);
        continue;
      }
      std::vector<uint8_t> packed(RowBytes(type->second, values.size()).value());
      HEARTH_RETURN_IF_ERROR(Quantize(type->second, values, {}, absl::MakeSpan(packed)));
      writer.AddTensor(name, type->second, ne, std::move(packed));
    }
    auto bytes = std::make_shared<std::vector<uint8_t>>();
    HEARTH_ASSIGN_OR_RETURN(*bytes, writer.Serialize());
    HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Parse(*bytes, "tiny"));
    const GgufFile* raw = file.release();
    return std::shared_ptr<const GgufFile>(raw, [bytes](const GgufFile* owned) { delete owned; });
  }

 private:
  static std::vector<float> Values(const std::string& name, const std::vector<uint64_t>& ne) {
    size_t count = 1;
    for (uint64_t size : ne) count *= size;
    uint64_t state = std::hash<std::string>()(name) | 1;
    std::vector<float> values(count);
    for (float& value : values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<float>(static_cast<double>(state >> 33) / (1u << 31) - 0.5) * 0.5f;
      if (ne.size() == 1) value += 1;  // norms
    }
    return values;
  }

  std::map<std::string, Value> values_;
  std::map<std::string, std::vector<uint64_t>> tensors_;
  std::map<std::string, TensorType> types_;
  std::map<std::string, float> constants_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_MODEL_TINY_MODEL_H_
