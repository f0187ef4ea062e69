#ifndef HEARTH_DAEMON_IDENTITY_BASE32_H_
#define HEARTH_DAEMON_IDENTITY_BASE32_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace hearth {

// Bytes as people read them to each other: RFC 4648's base32 (A-Z, 2-7), without padding.
std::string EncodeBase32(absl::Span<const uint8_t> bytes);

// What a person wrote as the digits of base32: small letters are capitals, 0, 1 and 8 are O, I and B; blanks
// and dashes between digits count for nothing. nullopt where there is any other character.
std::optional<std::string> NormalBase32(absl::string_view text);

// The bytes of digits in normal form; bits that fill no byte are left out.
std::vector<uint8_t> DecodeBase32(absl::string_view digits);

// 0 to 31: what a digit in normal form stands for, and back.
uint32_t Base32Value(char digit);
char Base32Digit(uint32_t value);

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_BASE32_H_
