#ifndef HEARTH_TESTS_SUPPORT_WITH_VOCABULARY_H_
#define HEARTH_TESTS_SUPPORT_WITH_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"

namespace hearth {

// The bytes of a model file, with a small vocabulary where it has none: as many tokens as the embedding has
// rows, three special ones, then letters.
inline absl::StatusOr<std::vector<uint8_t>> WithVocabulary(const GgufFile& file) {
  GgufWriter writer(file.is_powerinfer());
  writer.CopyMetadata(file);
  if (!file.metadata().Has("tokenizer.ggml.tokens")) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int64_t> types = {2, 3, 3};
    for (uint64_t i = 3; i < file.FindTensor("token_embd.weight")->ne[1]; ++i) {
      tokens.push_back(std::string(1, static_cast<char>('a' + i % 26)) + std::string(i / 26, '_'));
      types.push_back(1);
    }
    writer.Set("tokenizer.ggml.model", std::string("llama"));
    writer.Set("tokenizer.ggml.scores", std::vector<float>(tokens.size(), -1.0f));
    writer.Set("tokenizer.ggml.tokens", std::move(tokens));
    writer.Set("tokenizer.ggml.token_type", std::move(types));
  }
  for (const GgufTensor& tensor : file.tensors()) {
    writer.AddTensor(tensor.name, tensor.type, tensor.shape(),
                     std::vector<uint8_t>(tensor.data.begin(), tensor.data.end()));
  }
  return writer.Serialize();
}

}  // namespace hearth

#endif  // HEARTH_TESTS_SUPPORT_WITH_VOCABULARY_H_
