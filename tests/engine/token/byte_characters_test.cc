#include "engine/token/byte_characters.h"

#include <string>

#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(CharacterOfByte, IsTheByteWherePrintable) {
  EXPECT_EQ(CharacterOfByte('a'), "a");
  EXPECT_EQ(CharacterOfByte(0xE9), "é");
}

TEST(CharacterOfByte, IsShiftedWhereNot) {
  EXPECT_EQ(CharacterOfByte(0), "Ā");
  EXPECT_EQ(CharacterOfByte('\n'), "Ċ");
  EXPECT_EQ(CharacterOfByte(' '), "Ġ");
  EXPECT_EQ(CharacterOfByte(0xAD), "Ń");
}

TEST(BytesOfCharacters, IsTheInverseForEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(BytesOfCharacters(CharacterOfByte(static_cast<uint8_t>(byte))),
              std::string(1, static_cast<char>(byte)));
  }
}

TEST(BytesOfCharacters, KeepsACharacterThatStandsForNoByte) {
  EXPECT_EQ(BytesOfCharacters("a中"), "a中");
  EXPECT_EQ(BytesOfCharacters(std::string_view("\0", 1)), std::string(1, '\0'));
}

}  // namespace
}  // namespace hearth
