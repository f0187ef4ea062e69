#ifndef HEARTH_ENGINE_JINJA_STRING_FUNCTIONS_H_
#define HEARTH_ENGINE_JINJA_STRING_FUNCTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

// Python's functions on strings that methods and filters have in common. Parts keep the marks of where they
// came from; where characters change, all of the result counts as input if anything of the text does.

Text Upper(const Text& text);
Text Lower(const Text& text);
Text Capitalize(const Text& text);
Text SwapCase(const Text& text);
// str.title: a letter behind anything that is none is the first of a word.
Text TitleWords(const Text& text);

// Without whitespace, or without `characters` where they are not null, on the sides asked for.
Text Strip(const Text& text, const Text* characters, bool left, bool right);

// At most `limit` times, at every `separator` (not empty), or at runs of whitespace.
std::vector<Text> Split(const Text& text, std::string_view separator, size_t limit, bool from_right);
std::vector<Text> SplitWords(const Text& text, size_t limit, bool from_right);
std::vector<Text> SplitLines(const Text& text, bool keep_ends);

// The first `limit` occurrences of `old` replaced; between all characters where it is empty.
absl::StatusOr<Text> Replace(Run& run, const Text& text, std::string_view old, const Text& replacement,
                             size_t limit);

// Filled up to `width` characters with `fill`, a single character.
enum class Alignment { kLeft, kCenter, kRight };
absl::StatusOr<Text> Pad(Run& run, const Text& text, int64_t width, const Text& fill, Alignment alignment);

// The answer of the methods "isalpha", "isdigit", ...
bool HasCharacterClass(const Text& text, std::string_view method);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_STRING_FUNCTIONS_H_
