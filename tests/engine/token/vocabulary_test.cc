#include "engine/token/vocabulary.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Vocabulary Load(const GgufMetadata& metadata) {
  auto vocabulary = Vocabulary::FromMetadata(metadata);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  return *std::move(vocabulary);
}

void ExpectError(const GgufMetadata& metadata, absl::StatusCode code, std::string_view message) {
  const auto vocabulary = Vocabulary::FromMetadata(metadata);
  EXPECT_EQ(vocabulary.status().code(), code) << vocabulary.status();
  EXPECT_THAT(std::string(vocabulary.status().message()), HasSubstr(std::string(message)));
}

void ExpectInvalid(const GgufMetadata& metadata, std::string_view message) {
  ExpectError(metadata, absl::StatusCode::kInvalidArgument, message);
}

TEST(Vocabulary, SpmDefaultsAreLlamas) {
  const Vocabulary vocabulary = Load(SpmMetadata({}));
  EXPECT_EQ(vocabulary.bos, 1);
  EXPECT_EQ(vocabulary.eos, 2);
  EXPECT_EQ(vocabulary.unknown, 0);
  EXPECT_TRUE(vocabulary.add_bos);
  EXPECT_FALSE(vocabulary.add_eos);
  EXPECT_TRUE(vocabulary.add_space_prefix);
}

TEST(Vocabulary, BpeDefaultsFollowThePreTokenizer) {
  const auto with_bos = [](const char* pre) {
    GgufMetadata metadata = BpeMetadata(pre, {"a b"});
    metadata.Set("tokenizer.ggml.bos_token_id", uint64_t{7});
    return Load(metadata).add_bos;
  };
  EXPECT_TRUE(with_bos("llama-bpe"));
  EXPECT_FALSE(with_bos("qwen2"));
}

TEST(Vocabulary, IdsThatTheFileDoesNotNameAreNone) {
  // Id 11 of a BPE vocabulary is "," in GPT-2's, ids 1 and 2 of this SentencePiece vocabulary are words.
  for (const char* pre : {"gpt-2", "llama-bpe", "glm4"}) {
    const Vocabulary bpe = Load(BpeMetadata(pre, {"a b"}));
    EXPECT_EQ(bpe.bos, kNoToken) << pre;
    EXPECT_EQ(bpe.eos, kNoToken) << pre;
    EXPECT_FALSE(bpe.add_bos) << pre;
    EXPECT_THAT(bpe.end_of_generation, IsEmpty()) << pre;
  }
  const Vocabulary spm = Load(MetadataOf("llama", {{"a"}, {"b"}, {"c"}, {"<unk>", kUnknown}}));
  EXPECT_EQ(spm.bos, kNoToken);
  EXPECT_EQ(spm.eos, kNoToken);
  EXPECT_FALSE(spm.add_bos);
  EXPECT_EQ(spm.unknown, 3);
  const Vocabulary words = Load(MetadataOf("bert", std::vector<TokenSpec>(200, {"word"})));
  for (TokenId id : {words.bos, words.separator, words.unknown, words.padding}) EXPECT_EQ(id, kNoToken);
}

TEST(Vocabulary, ClassTokenOpensWordPieceTexts) {
  GgufMetadata metadata = MetadataOf("bert", {{"[SEP]", kControl}, {"[CLS]", kControl}});
  metadata.Set("tokenizer.ggml.cls_token_id", uint64_t{1});
  EXPECT_EQ(Load(metadata).bos, 1);
}

TEST(Vocabulary, EndsAreStillFoundByTheirTextWhereNoIdIsNamed) {
  const Vocabulary vocabulary = Load(MetadataOf("llama", {{"a"}, {"b"}, {"</s>"}}));
  EXPECT_EQ(vocabulary.eos, kNoToken);
  EXPECT_THAT(vocabulary.end_of_generation, ElementsAre(2));
}

TEST(Vocabulary, WhatTheFileSaysBeatsDefaults) {
  GgufMetadata metadata = SpmMetadata({});
  metadata.Set("tokenizer.ggml.add_bos_token", false);
  metadata.Set("tokenizer.ggml.add_eos_token", true);
  metadata.Set("tokenizer.ggml.add_space_prefix", false);
  metadata.Set("tokenizer.ggml.eos_token_id", uint64_t{1});
  const Vocabulary vocabulary = Load(metadata);
  EXPECT_FALSE(vocabulary.add_bos);
  EXPECT_TRUE(vocabulary.add_eos);
  EXPECT_FALSE(vocabulary.add_space_prefix);
  EXPECT_EQ(vocabulary.eos, 1);
}

TEST(Vocabulary, AnEmptyTokenIsNeverFound) {
  const Vocabulary vocabulary = Load(SpmMetadata({{""}, {"", kControl}}));
  EXPECT_EQ(vocabulary.size(), 261);
  EXPECT_EQ(vocabulary.Find(""), kNoToken);
}

TEST(Vocabulary, KimiNeedsNoMerges) {
  GgufMetadata metadata = MetadataOf("gpt2", {{"a"}, {"b"}});
  metadata.Set("tokenizer.ggml.pre", std::string("kimi-k2"));
  EXPECT_EQ(Load(metadata).size(), 2);
}

TEST(Vocabulary, AnUnknownModelIsNamedWithTheKnownOnes) {
  ExpectError(MetadataOf("t5", {{"a"}}), absl::StatusCode::kUnimplemented,
              "unknown tokenizer \"t5\" (tokenizer.ggml.model); known: llama, gpt2, gemma4, bert");
}

TEST(Vocabulary, AnUnknownPreTokenizerIsNamedWithTheKnownOnes) {
  ExpectError(BpeMetadata("mystery", {"a b"}), absl::StatusCode::kUnimplemented,
              "unknown pre-tokenizer \"mystery\"");
  ExpectError(BpeMetadata("mystery", {"a b"}), absl::StatusCode::kUnimplemented, "llama-bpe");
}

TEST(Vocabulary, AFileWithoutAModelIsRefused) { ExpectInvalid(GgufMetadata(), "tokenizer.ggml.model"); }

TEST(Vocabulary, AFileWithoutTokensIsRefused) {
  GgufMetadata metadata;
  metadata.Set("tokenizer.ggml.model", std::string("llama"));
  ExpectInvalid(metadata, "tokenizer.ggml.tokens");
  metadata.Set("tokenizer.ggml.tokens", std::vector<std::string>());
  ExpectInvalid(metadata, "tokenizer.ggml.tokens");
  metadata.Set("tokenizer.ggml.tokens", uint64_t{3});
  ExpectInvalid(metadata, "tokenizer.ggml.tokens");
}

TEST(Vocabulary, ArraysOfAnotherLengthAreRefused) {
  GgufMetadata metadata = SpmMetadata({});
  metadata.Set("tokenizer.ggml.scores", std::vector<float>(5));
  ExpectInvalid(metadata, "tokenizer.ggml.scores has 5 entries for 259 tokens");
  metadata = SpmMetadata({});
  metadata.Set("tokenizer.ggml.token_type", std::vector<int64_t>(260));
  ExpectInvalid(metadata, "tokenizer.ggml.token_type has 260 entries for 259 tokens");
}

TEST(Vocabulary, AScoreThatIsNoNumberIsRefused) {
  ExpectInvalid(SpmMetadata({{"a", kNormal, std::numeric_limits<float>::quiet_NaN()}}), "score of token 259");
}

TEST(Vocabulary, SpecialIdsOutOfRangeAreRefused) {
  GgufMetadata metadata = SpmMetadata({});
  metadata.Set("tokenizer.ggml.eos_token_id", uint64_t{259});
  ExpectInvalid(metadata, "tokenizer.ggml.eos_token_id is 259, beyond the 259 tokens");
}

TEST(Vocabulary, TheLowestOfTokensThatAreWrittenAlikeIsFound) {
  EXPECT_EQ(Load(SpmMetadata({{"a"}, {"b"}, {"a"}, {"a", kControl}})).Find("a"), 259);
}

TEST(Vocabulary, AByteTokenMustNameAByte) {
  for (const char* text : {"x", "<0x1>", "<0xGG>", "<0x111>"})
    ExpectInvalid(SpmMetadata({{text, kByte}}), "byte token 259");
}

TEST(Vocabulary, MergesMustBeThereAndHaveTwoParts) {
  ExpectInvalid(MetadataOf("gpt2", {{"a"}}), "tokenizer.ggml.merges");
  for (const char* merge : {"ab", "", "a ", " a"}) {
    GgufMetadata metadata = BpeMetadata("gpt-2", {"a b"});
    metadata.Set("tokenizer.ggml.merges", std::vector<std::string>{"a b", merge});
    ExpectInvalid(metadata, "merge 1");
  }
}

TEST(Vocabulary, AddingATokenThatIsNotSetIsRefused) {
  GgufMetadata metadata = BpeMetadata("glm4", {"a b"});
  metadata.Set("tokenizer.ggml.add_bos_token", true);
  ExpectInvalid(metadata, "tokenizer.ggml.bos_token_id");
}

TEST(TokenRoles, EndsAreFoundByTextAndBecomeControlTokens) {
  const Vocabulary vocabulary =
      Load(SpmMetadata({{"<|im_end|>", kNormal}, {"<|eom_id|>", kNormal}, {"word", kNormal}}));
  EXPECT_EQ(vocabulary.eot, 259);
  EXPECT_EQ(vocabulary.eom, 260);
  EXPECT_THAT(vocabulary.end_of_generation, ElementsAre(2, 259, 260));
  EXPECT_TRUE(vocabulary.Has(259, kControlToken));
  EXPECT_FALSE(vocabulary.Has(261, kControlToken));
}

TEST(TokenRoles, TheFilesEndOfTurnIsNotSearchedFor) {
  GgufMetadata metadata = SpmMetadata({{"stop", kControl}});
  metadata.Set("tokenizer.ggml.eot_token_id", uint64_t{259});
  const Vocabulary vocabulary = Load(metadata);
  EXPECT_EQ(vocabulary.eot, 259);
  EXPECT_THAT(vocabulary.end_of_generation, ElementsAre(2, 259));
}

TEST(TokenRoles, FillInMiddleSeparatorsEndAGeneration) {
  EXPECT_THAT(Load(SpmMetadata({{"<|fim_pad|>"}, {"<|repo_name|>"}, {"<|file_sep|>"}, {"<|fim_prefix|>"}}))
                  .end_of_generation,
              ElementsAre(2, 259, 260, 261));
}

TEST(TokenRoles, EndOfMessageDoesNotEndWhereCallsHaveTokens) {
  const Vocabulary vocabulary =
      Load(SpmMetadata({{"<|end|>", kControl}, {"<|return|>", kControl}, {"<|call|>", kControl}}));
  EXPECT_THAT(vocabulary.end_of_generation, ElementsAre(2, 260, 261));
  EXPECT_TRUE(vocabulary.Has(259, kUserDefinedToken));
}

TEST(TokenRoles, ClosingTagIsTextWhereToolResponsesExist) {
  GgufMetadata metadata = SpmMetadata({{"<|tool_response>", kControl}, {"<eos>", kControl}});
  metadata.Set("tokenizer.ggml.eos_token_id", uint64_t{260});
  const Vocabulary vocabulary = Load(metadata);
  EXPECT_THAT(vocabulary.end_of_generation, ElementsAre(259, 260));
  EXPECT_TRUE(vocabulary.Has(2, kNormalToken));
}

TEST(TokenRoles, Phi3TokensSwallowTheWhitespaceBehindThem) {
  GgufMetadata metadata = SpmMetadata({{"<|user|>", kControl}, {"word", kNormal}});
  metadata.Set("general.name", std::string("My Phi-3 mini"));
  const Vocabulary vocabulary = Load(metadata);
  EXPECT_TRUE(vocabulary.Has(vocabulary.Find("<|user|>"), kStripsRight));
  EXPECT_TRUE(vocabulary.Has(vocabulary.Find("</s>"), kStripsRight));
  EXPECT_FALSE(vocabulary.Has(vocabulary.Find("<s>"), kStripsRight));
  EXPECT_FALSE(vocabulary.Has(vocabulary.Find("word"), kStripsRight));
}

}  // namespace
}  // namespace hearth
