#include "engine/token/byte_characters.h"

#include <array>
#include <vector>

#include "engine/token/unicode.h"

namespace hearth {
namespace {

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr int kCharacters = 0x100 + 68;  // 68 bytes do not stand for themselves

struct Tables {
  std::array<std::string, 256> characters;
  std::array<int, kCharacters> bytes;  // -1: none

  Tables() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t character = StandsForItself(byte) ? static_cast<char32_t>(byte) : next++;
      AppendUtf8(character, &characters[byte]);
      bytes[character] = byte;
    }
  }
};

const Tables& GetTables() {
  static const auto* const tables = new Tables;
  return *tables;
}

}  // namespace

std::string_view CharacterOfByte(uint8_t byte) { return GetTables().characters[byte]; }

std::string BytesOfCharacters(std::string_view text) {
  std::string bytes;
  for (char32_t character : DecodeUtf8(text)) {
    const int byte = character < kCharacters ? GetTables().bytes[character] : -1;
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      AppendUtf8(character, &bytes);
    }
  }
  return bytes;
}

}  // namespace hearth
