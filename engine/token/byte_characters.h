#ifndef HEARTH_ENGINE_TOKEN_BYTE_CHARACTERS_H_
#define HEARTH_ENGINE_TOKEN_BYTE_CHARACTERS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

// Byte-level vocabularies (GPT-2's and its successors') write every byte as a visible character: printable
// bytes of Latin-1 as themselves, the others as U+0100 and following, in order. A space is "Ġ", a newline
// "Ċ".

// The character of `byte` in UTF-8.
std::string_view CharacterOfByte(uint8_t byte);
// The way back. A character that stands for no byte, such as NUL, gives its own UTF-8.
std::string BytesOfCharacters(std::string_view text);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_BYTE_CHARACTERS_H_
