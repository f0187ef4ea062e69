#include "engine/grammar/constraint.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

class ConstraintTest : public testing::Test {
 protected:
  Constraint Make(std::string_view text) {
    auto grammar = CompileGbnf(text);
    EXPECT_TRUE(grammar.ok()) << grammar.status();
    return Constraint(std::make_shared<const TokenMasks>(*std::move(grammar), trie_));
  }

  std::unique_ptr<Tokenizer> tokenizer_ = ByteTokenizer({"ab", "ba"});
  std::shared_ptr<const TokenTrie> trie_ = std::make_shared<const TokenTrie>(*tokenizer_);
};

TEST_F(ConstraintTest, FollowsTheTokensThatWereChosen) {
  Constraint constraint = Make("root ::= \"aba\"");
  EXPECT_TRUE((*constraint.Allowed())->Contains(259));
  EXPECT_FALSE((*constraint.Allowed())->Contains(260));
  constraint.Accept(259);
  EXPECT_FALSE((*constraint.Allowed())->Contains(259));
  EXPECT_TRUE((*constraint.Allowed())->Contains(3 + 'a'));
  EXPECT_FALSE(constraint.MayEnd());
  constraint.Accept(3 + 'a');
  EXPECT_TRUE(constraint.MayEnd());
  EXPECT_TRUE(constraint.MustEnd());
  constraint.Accept(2);
  EXPECT_TRUE((*constraint.Allowed())->Contains(2));
}

TEST_F(ConstraintTest, TokensMayEndWithinACharacter) {
  Constraint constraint = Make("root ::= \"\\u00e4\"+");
  constraint.Accept(3 + 0xC3);
  EXPECT_FALSE(constraint.MayEnd());
  EXPECT_TRUE((*constraint.Allowed())->Contains(3 + 0xA4));
  EXPECT_FALSE((*constraint.Allowed())->Contains(3 + 0xA5));
  constraint.Accept(3 + 0xA4);
  EXPECT_TRUE(constraint.MayEnd());
  EXPECT_FALSE(constraint.MustEnd());
}

TEST_F(ConstraintTest, NamesWhatNoTokenFits) {
  // A vocabulary of one letter, without the tokens of bytes.
  GgufMetadata metadata = MetadataOf("llama", {{"<unk>", kUnknown}, {"</s>", kControl}, {"a"}});
  metadata.Set("tokenizer.ggml.eos_token_id", uint64_t{1});
  const auto tokenizer = MakeTokenizer(metadata);
  ASSERT_NE(tokenizer, nullptr);
  auto grammar = CompileGbnf("root ::= \"a\" \"b\"");
  Constraint constraint(
      std::make_shared<const TokenMasks>(*std::move(grammar), std::make_shared<const TokenTrie>(*tokenizer)));
  ASSERT_TRUE(constraint.Allowed().ok());
  constraint.Accept(2);
  EXPECT_EQ(constraint.Allowed().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ConstraintTest, LongNestedTextsStayWithinMemory) {
  Constraint constraint = Make("root ::= \"(\" root \")\" | \"a\"");
  for (int i = 0; i < 20000; ++i) {
    ASSERT_TRUE(constraint.Allowed().ok());
    constraint.Accept(3 + '(');
  }
  constraint.Accept(3 + 'a');
  for (int i = 0; i < 20000; ++i) constraint.Accept(3 + ')');
  EXPECT_TRUE(constraint.MustEnd());
}

TEST(TokenMaskTest, ForbidsAllOthers) {
  TokenMask mask(70);
  EXPECT_TRUE(mask.empty());
  mask.Add(1);
  mask.Add(69);
  std::vector<float> logits(72, 0.5f);  // rows may be wider than the vocabulary
  mask.ForbidOthers(absl::MakeSpan(logits));
  for (size_t token = 0; token < logits.size(); ++token) {
    const bool allowed = token == 1 || token == 69;
    EXPECT_EQ(logits[token], allowed ? 0.5f : -std::numeric_limits<float>::infinity());
  }
}

}  // namespace
}  // namespace hearth::grammar
