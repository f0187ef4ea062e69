#ifndef HEARTH_TESTS_ENGINE_TOKEN_VOCABULARY_FIXTURE_H_
#define HEARTH_TESTS_ENGINE_TOKEN_VOCABULARY_FIXTURE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/file/gguf.h"
#include "engine/token/byte_characters.h"
#include "engine/token/tokenizer.h"

// Small vocabularies made in memory, one per kind of tokenizer, for tests and fuzzing.
namespace hearth {

// Values of tokenizer.ggml.token_type.
enum TokenType : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct TokenSpec {
  std::string text;
  TokenType type = kNormal;
  float score = 0;
};

inline GgufMetadata MetadataOf(std::string model, const std::vector<TokenSpec>& specs) {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  std::vector<float> scores;
  for (const TokenSpec& spec : specs) {
    tokens.push_back(spec.text);
    types.push_back(spec.type);
    scores.push_back(spec.score);
  }
  GgufMetadata metadata;
  metadata.Set("tokenizer.ggml.model", std::move(model));
  metadata.Set("tokenizer.ggml.tokens", std::move(tokens));
  metadata.Set("tokenizer.ggml.token_type", std::move(types));
  metadata.Set("tokenizer.ggml.scores", std::move(scores));
  return metadata;
}

// <unk>, <s>, </s>, the 256 byte tokens (byte b has id 3 + b), then `specs` from id 259 on.
inline GgufMetadata SpmMetadata(const std::vector<TokenSpec>& specs) {
  std::vector<TokenSpec> all = {{"<unk>", kUnknown}, {"<s>", kControl}, {"</s>", kControl}};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    all.push_back({text, kByte});
  }
  all.insert(all.end(), specs.begin(), specs.end());
  GgufMetadata metadata = MetadataOf("llama", all);
  metadata.Set("tokenizer.ggml.bos_token_id", uint64_t{1});
  metadata.Set("tokenizer.ggml.eos_token_id", uint64_t{2});
  return metadata;
}

// The 256 characters of bytes (byte b has id b), then what the merges make, in their order, then `specs`.
inline GgufMetadata BpeMetadata(const std::string& pre, const std::vector<std::string>& merges,
                                const std::vector<TokenSpec>& specs = {}) {
  std::vector<TokenSpec> all;
  for (int byte = 0; byte < 256; ++byte)
    all.push_back({std::string(CharacterOfByte(static_cast<uint8_t>(byte)))});
  for (std::string merge : merges) {
    merge.erase(merge.find(' ', 1), 1);
    all.push_back({merge});
  }
  all.insert(all.end(), specs.begin(), specs.end());
  GgufMetadata metadata = MetadataOf("gpt2", all);
  metadata.Set("tokenizer.ggml.merges", merges);
  if (!pre.empty()) metadata.Set("tokenizer.ggml.pre", pre);
  return metadata;
}

// [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, then `words` from id 4 on ("▁" before those that start a word).
inline GgufMetadata WordPieceMetadata(const std::vector<std::string>& words) {
  std::vector<TokenSpec> all = {
      {"[PAD]", kControl}, {"[UNK]", kUnknown}, {"[CLS]", kControl}, {"[SEP]", kControl}};
  for (const std::string& word : words) all.push_back({word});
  GgufMetadata metadata = MetadataOf("bert", all);
  metadata.Set("tokenizer.ggml.unknown_token_id", uint64_t{1});
  metadata.Set("tokenizer.ggml.bos_token_id", uint64_t{2});
  metadata.Set("tokenizer.ggml.seperator_token_id", uint64_t{3});
  return metadata;
}

// For vocabularies that must load; nullptr, which stops the test, where one does not.
inline std::unique_ptr<Tokenizer> MakeTokenizer(const GgufMetadata& metadata) {
  auto tokenizer = Tokenizer::FromMetadata(metadata);
  if (!tokenizer.ok()) std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// The tokens of `text` as they are written in the vocabulary, without BOS and EOS.
inline std::vector<std::string> Pieces(const Tokenizer& tokenizer, std::string_view text,
                                       bool parse_special = false) {
  std::vector<std::string> pieces;
  for (TokenId id : tokenizer.Encode(text, {.add_special = false, .parse_special = parse_special})) {
    pieces.emplace_back(tokenizer.TokenText(id));
  }
  return pieces;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_TOKEN_VOCABULARY_FIXTURE_H_
