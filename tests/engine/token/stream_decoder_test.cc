#include <string>
#include <vector>

#include "engine/token/tokenizer.h"
#include "gtest/gtest.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

constexpr TokenId kByteZero = 3;  // id of <0x00>

class StreamDecoderTest : public testing::Test {
 protected:
  std::string PushBytes(StreamDecoder* decoder, std::string_view bytes) {
    std::string text;
    for (char byte : bytes) text += decoder->Push(kByteZero + static_cast<uint8_t>(byte));
    return text;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = MakeTokenizer(SpmMetadata({{"▁word"}, {"<x>", kControl}}));
  const TokenId word_ = 259;
};

TEST_F(StreamDecoderTest, HoldsACharacterBackUntilItIsWhole) {
  StreamDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(PushBytes(&decoder, "a\xF0\x9F"), "a");
  EXPECT_EQ(PushBytes(&decoder, "\x98"), "");
  EXPECT_EQ(PushBytes(&decoder, "\x80!"), "😀!");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST_F(StreamDecoderTest, ReplacesInvalidBytes) {
  StreamDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(PushBytes(&decoder, "a\xFF\x80z"), "a\uFFFD\uFFFDz");
}

TEST_F(StreamDecoderTest, ReplacesACharacterThatBreaksOff) {
  StreamDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(PushBytes(&decoder, "\xE4\xB8x"), "\uFFFDx");
}

TEST_F(StreamDecoderTest, FlushReplacesWhatIsIncomplete) {
  StreamDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(PushBytes(&decoder, "\xE4\xB8"), "");
  EXPECT_EQ(decoder.Flush(), "\uFFFD");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST_F(StreamDecoderTest, DropsTheSpacePrefixAtTheStartOnly) {
  StreamDecoder decoder(*tokenizer_, true);
  EXPECT_EQ(decoder.Push(word_), "word");
  EXPECT_EQ(decoder.Push(word_), " word");
}

TEST_F(StreamDecoderTest, KeepsTheSpaceInAContinuation) {
  StreamDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(decoder.Push(word_), " word");
}

TEST_F(StreamDecoderTest, ControlTokensAndForeignIdsGiveNothing) {
  StreamDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(decoder.Push(260), "");
  EXPECT_EQ(decoder.Push(-5), "");
  EXPECT_EQ(decoder.Flush(), "");
}

}  // namespace
}  // namespace hearth
