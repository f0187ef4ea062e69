#include "daemon/identity/base32.h"

#include "absl/strings/ascii.h"
#include "engine/base/check.h"

namespace hearth {

uint32_t Base32Value(char digit) {
  return static_cast<uint32_t>(digit >= 'A' ? digit - 'A' : digit - '2' + 26);
}

char Base32Digit(uint32_t value) {
  HEARTH_CHECK(value < 32);
  return static_cast<char>(value < 26 ? 'A' + value : '2' + (value - 26));
}

std::string EncodeBase32(absl::Span<const uint8_t> bytes) {
  std::string digits;
  uint32_t bits = 0, count = 0;
  for (const uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 5; count -= 5) digits += Base32Digit(bits >> (count - 5) & 31);
  }
  if (count > 0) digits += Base32Digit(bits << (5 - count) & 31);
  return digits;
}

std::optional<std::string> NormalBase32(absl::string_view text) {
  std::string digits;
  for (char c : text) {
    if (absl::ascii_isspace(static_cast<unsigned char>(c)) || c == '-') continue;
    c = absl::ascii_toupper(static_cast<unsigned char>(c));
    if (c == '0') c = 'O';
    if (c == '1') c = 'I';
    if (c == '8') c = 'B';
    if ((c < 'A' || c > 'Z') && (c < '2' || c > '7')) return std::nullopt;
    digits += c;
  }
  return digits;
}

std::vector<uint8_t> DecodeBase32(absl::string_view digits) {
  std::vector<uint8_t> bytes;
  uint32_t bits = 0, count = 0;
  for (const char digit : digits) {
    bits = bits << 5 | Base32Value(digit);
    count += 5;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<uint8_t>(bits >> count));
  }
  return bytes;
}

}  // namespace hearth
