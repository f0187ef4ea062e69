#include "engine/chat/chat_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;

constexpr TokenId kBos = 1, kEnd = 259;

std::unique_ptr<Tokenizer> TokenizerThatAddsBos(bool adds) {
  GgufMetadata metadata = SpmMetadata({{"<|end|>", kControl}});
  metadata.Set("tokenizer.ggml.add_bos_token", adds);
  metadata.Set("tokenizer.ggml.add_space_prefix", false);
  return MakeTokenizer(metadata);
}

// The id of a byte.
TokenId Byte(char c) { return 3 + static_cast<uint8_t>(c); }

TEST(ChatTokensTest, ControlTokensOfTheTemplateBecomeTheirIds) {
  const auto tokenizer = TokenizerThatAddsBos(false);
  EXPECT_THAT(ChatTokens(*tokenizer, {"a<|end|>", {{0, 1}}}), ElementsAre(Byte('a'), kEnd));
}

TEST(ChatTokensTest, ControlTokensInAMessageStayText) {
  const auto tokenizer = TokenizerThatAddsBos(false);
  const std::vector<TokenId> ids = ChatTokens(*tokenizer, {"<|end|><|end|>", {{0, 7}}});
  EXPECT_EQ(ids.size(), 8u);
  EXPECT_EQ(ids.front(), Byte('<'));
  EXPECT_EQ(ids.back(), kEnd);
}

TEST(ChatTokensTest, AControlTokenThatIsHalfAMessagesIsText) {
  const auto tokenizer = TokenizerThatAddsBos(false);
  EXPECT_EQ(ChatTokens(*tokenizer, {"<|end|>", {{2, 5}}}).size(), 7u);
}

TEST(ChatTokensTest, BosStandsInFrontOnce) {
  for (const char* text : {"a", "<s>a", "<s><s>a"}) {
    EXPECT_THAT(ChatTokens(*TokenizerThatAddsBos(true), {text, {}}), ElementsAre(kBos, Byte('a'))) << text;
  }
}

TEST(ChatTokensTest, WithoutTheVocabularysWishBosIsTheTemplatesMatter) {
  EXPECT_THAT(ChatTokens(*TokenizerThatAddsBos(false), {"a", {}}), ElementsAre(Byte('a')));
  EXPECT_THAT(ChatTokens(*TokenizerThatAddsBos(false), {"<s>a", {}}), ElementsAre(kBos, Byte('a')));
}

TEST(ChatTokensTest, BosInAMessageDoesNotCount) {
  const std::vector<TokenId> ids = ChatTokens(*TokenizerThatAddsBos(true), {"<s>", {{0, 3}}});
  EXPECT_THAT(ids, ElementsAre(kBos, Byte('<'), Byte('s'), Byte('>')));
}

TEST(ChatTokensTest, AnEmptyTextIsBosAlone) {
  EXPECT_THAT(ChatTokens(*TokenizerThatAddsBos(true), {"", {}}), ElementsAre(kBos));
}

}  // namespace
}  // namespace hearth
