#include "engine/token/tokenizer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Tokenizer::EncodeOptions kPlain = {.add_special = false, .parse_special = false};

// "ab" scores above "bc", so "abc" becomes "ab" "c".
GgufMetadata SmallSpm() {
  return SpmMetadata({{"▁", kNormal, -9},
                      {"a", kNormal, -9},
                      {"b", kNormal, -9},
                      {"c", kNormal, -9},
                      {"ab", kNormal, -1},
                      {"bc", kNormal, -2},
                      {"▁a", kNormal, -5},
                      {"<x>", kControl}});
}

TEST(SpmTokenizer, MergesTheHighestScoreFirst) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "abc"), ElementsAre("▁", "ab", "c"));
  EXPECT_EQ(tokenizer->description(), "spm");
}

TEST(SpmTokenizer, MergesTheLeftmostOfEqualScores) {
  const auto tokenizer = MakeTokenizer(SpmMetadata({{"▁"}, {"a"}, {"aa", kNormal, 1}}));
  EXPECT_THAT(Pieces(*tokenizer, "aaa"), ElementsAre("▁", "aa", "a"));
}

TEST(SpmTokenizer, FallsBackToBytes) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  EXPECT_THAT(Pieces(*tokenizer, "é"), ElementsAre("▁", "<0xC3>", "<0xA9>"));
  EXPECT_THAT(Pieces(*tokenizer, "\xFF"), ElementsAre("▁", "<0xFF>"));
}

TEST(SpmTokenizer, GivesTheUnknownTokenWhereThereAreNoBytes) {
  const auto tokenizer =
      MakeTokenizer(MetadataOf("llama", {{"<unk>", kUnknown}, {"<s>", kControl}, {"</s>"}, {"▁"}}));
  EXPECT_THAT(Pieces(*tokenizer, "é"), ElementsAre("▁", "<unk>", "<unk>"));
}

TEST(SpmTokenizer, PutsASpaceBeforeTheTextAndBehindSpecialTokens) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  EXPECT_THAT(Pieces(*tokenizer, "a<x>c", true), ElementsAre("▁a", "<x>", "▁", "c"));
  GgufMetadata without = SmallSpm();
  without.Set("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(Pieces(*MakeTokenizer(without), "a<x>c", true), ElementsAre("a", "<x>", "c"));
}

TEST(SpmTokenizer, AddsBosEvenToAnEmptyText) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  EXPECT_THAT(tokenizer->Encode("", {}), ElementsAre(1));
  EXPECT_THAT(tokenizer->Encode("", kPlain), IsEmpty());
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_FALSE(tokenizer->adds_eos());
}

// A character that is cut off takes bytes of the space mark with it, so the words are not the text's words.
TEST(SpmTokenizer, MergesAcrossAMarkThatACutOffCharacterSwallows) {
  const auto tokenizer = MakeTokenizer(SpmMetadata({{"▁"}, {"a"}, {"▁a", kNormal, 1}}));
  EXPECT_THAT(Pieces(*tokenizer, "\xF0 a"), ElementsAre("▁", "<0xF0>", "<0xE2>", "<0x96>", "<0x81>", "a"));
}

TEST(SpmTokenizer, JoinsWordsWhereATokenSpansThem) {
  const auto tokenizer =
      MakeTokenizer(SpmMetadata({{"▁"}, {"a"}, {"b"}, {"a▁", kNormal, 2}, {"a▁b", kNormal, 3}}));
  EXPECT_THAT(Pieces(*tokenizer, "a b"), ElementsAre("▁", "a▁b"));
}

TEST(SpmTokenizer, DecodingTakesTheSpacePrefixOff) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  const std::vector<TokenId> ids = tokenizer->Encode("ab c é", kPlain);
  EXPECT_EQ(tokenizer->Decode(ids, {}), "ab c é");
}

TEST(SpmTokenizer, DecodingBehindBosKeepsTheSpace) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  const std::vector<TokenId> ids = tokenizer->Encode("a", {});
  EXPECT_EQ(tokenizer->Decode(ids, {.remove_special = true}), " a");
  EXPECT_EQ(tokenizer->Decode(ids, {.unparse_special = true}), "<s> a");
  EXPECT_EQ(tokenizer->Decode(ids, {}), " a");
}

TEST(SpmTokenizer, DecodingRemovesTheEosThatEncodingAdds) {
  GgufMetadata metadata = SmallSpm();
  metadata.Set("tokenizer.ggml.add_eos_token", true);
  const auto tokenizer = MakeTokenizer(metadata);
  const std::vector<TokenId> ids = tokenizer->Encode("a", {});
  EXPECT_EQ(ids.back(), 2);
  EXPECT_EQ(tokenizer->Decode(ids, {.remove_special = true, .unparse_special = true}), " a");
}

TEST(BpeTokenizer, MergesTheLowestRankFirst) {
  const auto tokenizer = MakeTokenizer(BpeMetadata("gpt-2", {"b c", "a b", "Ġ a"}));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "abc a"), ElementsAre("a", "bc", "Ġa"));
  EXPECT_EQ(tokenizer->description(), "bpe:gpt-2");
}

TEST(BpeTokenizer, MergesNeverCrossWords) {
  const auto tokenizer = MakeTokenizer(BpeMetadata("gpt-2", {"a Ġ", "a 1"}));
  EXPECT_THAT(Pieces(*tokenizer, "a a1"), ElementsAre("a", "Ġ", "a", "1"));
}

TEST(BpeTokenizer, TheFirstOfTwoEqualMergesCounts) {
  GgufMetadata metadata = BpeMetadata("gpt-2", {"a b", "b c"});
  metadata.Set("tokenizer.ggml.merges", std::vector<std::string>{"a b", "b c", "a b"});
  EXPECT_THAT(Pieces(*MakeTokenizer(metadata), "abc"), ElementsAre("ab", "c"));
}

TEST(BpeTokenizer, AWholeWordIsTakenWhereMergesAreIgnored) {
  const std::vector<TokenSpec> word = {{"abc"}};
  EXPECT_THAT(Pieces(*MakeTokenizer(BpeMetadata("llama-bpe", {"a b"}, word)), "abc"), ElementsAre("abc"));
  EXPECT_THAT(Pieces(*MakeTokenizer(BpeMetadata("gpt-2", {"a b"}, word)), "abc"), ElementsAre("ab", "c"));
}

TEST(BpeTokenizer, AMergedStringWithoutATokenFallsBackToItsCharacters) {
  GgufMetadata metadata = MetadataOf("gpt2", {{"a"}, {"b"}, {"z"}});
  metadata.Set("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  for (const char* key : {"bos", "eos"})
    metadata.Set(std::string("tokenizer.ggml.") + key + "_token_id", uint64_t{2});
  EXPECT_THAT(Pieces(*MakeTokenizer(metadata), "abq"), ElementsAre("a", "b"));
}

TEST(BpeTokenizer, BrokenUtf8BecomesReplacementCharacters) {
  const auto tokenizer = MakeTokenizer(BpeMetadata("gpt-2", {"a b"}));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a\xFFz", kPlain), {}), "a\xEF\xBF\xBDz");
}

TEST(BpeTokenizer, EveryByteOfValidTextComesBack) {
  const auto tokenizer = MakeTokenizer(BpeMetadata("qwen2", {"a b"}));
  const std::string text = "Tab\t, new\nline, é, 中, 😀, nul\0!";
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, kPlain), {}), text);
}

TEST(BpeTokenizer, Gemma4WritesSpacesAsMarksAndBytesByName) {
  GgufMetadata metadata = MetadataOf(
      "gemma4",
      {{"<bos>", kControl}, {"▁"}, {"a"}, {"▁a"}, {"\n\n"}, {"<0xC3>", kByte}, {"<0xA9>", kByte}, {"\n"}});
  metadata.Set("tokenizer.ggml.merges", std::vector<std::string>{"▁ a"});
  metadata.Set("tokenizer.ggml.bos_token_id", uint64_t{0});
  const auto tokenizer = MakeTokenizer(metadata);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "a a\n\né"), ElementsAre("a", "▁a", "\n\n", "<0xC3>", "<0xA9>"));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a a\n\né", kPlain), {}), "a a\n\né");
  EXPECT_THAT(tokenizer->Encode("a", {}), ElementsAre(0, 2));
}

TEST(BpeTokenizer, DecodingCleansSpacesWhereTheVocabularyAsks) {
  const std::string text = "Hi , it 's";
  const auto cleaning = MakeTokenizer(BpeMetadata("gpt-2", {"a b"}));
  EXPECT_EQ(cleaning->Decode(cleaning->Encode(text, kPlain), {}), "Hi, it's");
  const auto keeping = MakeTokenizer(BpeMetadata("qwen2", {"a b"}));
  EXPECT_EQ(keeping->Decode(keeping->Encode(text, kPlain), {}), text);
}

class WordPieceTokenizerTest : public testing::Test {
 protected:
  std::vector<std::string> Split(std::string_view text) { return Pieces(*tokenizer_, text); }

  GgufMetadata metadata_ =
      WordPieceMetadata({"▁un", "▁una", "able", "aff", "▁cafe", "▁,", "▁中", "▁文", "▁$", "▁E", "▁é"});
  std::unique_ptr<Tokenizer> tokenizer_ = MakeTokenizer(metadata_);
};

TEST_F(WordPieceTokenizerTest, TakesTheLongestTokenEachTime) {
  EXPECT_THAT(Split("unaaff una"), ElementsAre("▁una", "aff", "▁una"));
  EXPECT_EQ(tokenizer_->description(), "wpm");
}

TEST_F(WordPieceTokenizerTest, DoesNotGoBackToAShorterToken) {
  EXPECT_THAT(Split("unable"), ElementsAre("[UNK]"));
}

TEST_F(WordPieceTokenizerTest, LowersCaseAndDropsAccents) {
  EXPECT_THAT(Split("CAFÉ Cafe\u0301"), ElementsAre("▁cafe", "▁cafe"));
}

TEST_F(WordPieceTokenizerTest, KeepsCaseAndAccentsWhereTheFileSaysSo) {
  metadata_.Set("tokenizer.ggml.normalizer.lowercase", false);
  EXPECT_THAT(Pieces(*MakeTokenizer(metadata_), "E é"), ElementsAre("▁E", "▁é"));
}

TEST_F(WordPieceTokenizerTest, SplitsAtPunctuationAndIdeographs) {
  EXPECT_THAT(Split("un,un$中文"), ElementsAre("▁un", "▁,", "▁un", "▁$", "▁中", "▁文"));
}

TEST_F(WordPieceTokenizerTest, DropsControlAndReplacementCharacters) {
  EXPECT_THAT(Split(std::string_view("u\0\x01\xFFn", 5)), ElementsAre("▁un"));
}

TEST_F(WordPieceTokenizerTest, AWordThatIsNotCoveredIsUnknown) {
  EXPECT_THAT(Split("unx"), ElementsAre("[UNK]"));
}

TEST_F(WordPieceTokenizerTest, PutsClassAndSeparatorAround) {
  EXPECT_THAT(tokenizer_->Encode("un", {}), ElementsAre(2, 4, 3));
  EXPECT_THAT(tokenizer_->Encode("", {}), ElementsAre(2, 3));
}

TEST(Tokenizer, IdsOutsideTheVocabularyAreSkipped) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  const TokenId a = tokenizer->Encode("xa", kPlain).back();
  EXPECT_EQ(tokenizer->Decode({-1, 1'000'000, a}, {}), "a");
  EXPECT_EQ(tokenizer->TokenText(-1), "");
  EXPECT_EQ(tokenizer->TokenBytes(tokenizer->vocab_size()), "");
  EXPECT_FALSE(tokenizer->IsControl(-1));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(-1));
}

// Every kind of vocabulary with two equal tokens, an empty one and NUL, the last four in this order.
std::vector<GgufMetadata> VocabulariesWithOddTokens() {
  const std::vector<TokenSpec> odd = {{"twin"}, {"twin"}, {""}, {std::string(1, '\0')}};
  GgufMetadata words = WordPieceMetadata({"twin", "twin", "", std::string(1, '\0')});
  return {SpmMetadata(odd), BpeMetadata("gpt-2", {"a b"}, odd), words};
}

TEST(Tokenizer, EveryIdDecodesWhereTokensAreEqualOrEmpty) {
  for (const GgufMetadata& metadata : VocabulariesWithOddTokens()) {
    const auto tokenizer = MakeTokenizer(metadata);
    ASSERT_NE(tokenizer, nullptr);
    const TokenId first = tokenizer->vocab_size() - 4;
    EXPECT_EQ(tokenizer->TokenBytes(first), "twin") << tokenizer->description();
    EXPECT_EQ(tokenizer->TokenBytes(first + 1), "twin");
    EXPECT_EQ(tokenizer->TokenBytes(first + 2), "");
    EXPECT_EQ(tokenizer->TokenBytes(first + 3), std::string(1, '\0'));
    EXPECT_EQ(tokenizer->Decode({first, first + 2, first + 1}, {}), "twintwin");
  }
}

TEST(Tokenizer, EncodingTakesTheLowestOfEqualTokens) {
  const auto spm = MakeTokenizer(
      SpmMetadata({{"▁"}, {"a", kNormal, -1}, {"aa", kNormal, 1}, {"aa", kNormal, 2}, {"", kUserDefined}}));
  EXPECT_THAT(spm->Encode("aa", kPlain), ElementsAre(259, 261));
  const auto bpe = MakeTokenizer(BpeMetadata("gpt-2", {"a b"}, {{"ab"}, {"", kControl}}));
  EXPECT_THAT(bpe->Encode("ab", {.add_special = false, .parse_special = true}), ElementsAre(256));
}

TEST(Tokenizer, ControlTokensAreSilentUnlessSpeltOut) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  EXPECT_TRUE(tokenizer->IsControl(2));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(2));
  EXPECT_EQ(tokenizer->TokenBytes(2), "");
  EXPECT_EQ(tokenizer->TokenBytes(2, /*special=*/true), "</s>");
}

TEST(Tokenizer, SpecialTokensInATextAreTextUnlessAskedFor) {
  const auto tokenizer = MakeTokenizer(SmallSpm());
  EXPECT_THAT(Pieces(*tokenizer, "<x>", true), ElementsAre("<x>"));
  EXPECT_EQ(Pieces(*tokenizer, "<x>", false).size(), 4u);
}

TEST(SameVocabulary, IsSoForOneThatHasPaddingAtItsEnd) {
  std::vector<TokenSpec> tokens = {{"a"}, {"b"}};
  const auto one = MakeTokenizer(SpmMetadata(tokens));
  tokens.push_back({"[PAD]", kUnused});
  const auto padded = MakeTokenizer(SpmMetadata(tokens));
  EXPECT_TRUE(CheckSameVocabulary(*one, *padded).ok());
  EXPECT_TRUE(CheckSameVocabulary(*padded, *one).ok());
}

TEST(SameVocabulary, IsNotWhereATokenIsAnotherOrAControlTokenThere) {
  const auto one = MakeTokenizer(SpmMetadata({{"a"}, {"b"}}));
  const absl::Status other = CheckSameVocabulary(*one, *MakeTokenizer(SpmMetadata({{"a"}, {"c"}})));
  EXPECT_EQ(other.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(other.message()), HasSubstr("token 260 is 'b', in the other model 'c'"));
  EXPECT_FALSE(CheckSameVocabulary(*one, *MakeTokenizer(SpmMetadata({{"a"}, {"b", kControl}}))).ok());
}

TEST(SameVocabulary, IsNotWhereOneHasFarMoreTokens) {
  const auto one = MakeTokenizer(SpmMetadata({{"a"}}));
  std::vector<TokenSpec> tokens = {{"a"}};
  for (int i = 0; i < 200; ++i) tokens.push_back({"t" + std::to_string(i)});
  const absl::Status status = CheckSameVocabulary(*one, *MakeTokenizer(SpmMetadata(tokens)));
  EXPECT_THAT(std::string(status.message()), HasSubstr("260 tokens, the other model 460"));
}

}  // namespace
}  // namespace hearth
