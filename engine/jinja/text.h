#ifndef HEARTH_ENGINE_JINJA_TEXT_H_
#define HEARTH_ENGINE_JINJA_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/byte_range.h"

namespace hearth::jinja {

// A string of a template: UTF-8, and which of its bytes came from the inputs (messages, tools, variables)
// rather than from the template. `inputs` is ascending; ranges are not empty and do not touch.
struct Text {
  std::string bytes;
  std::vector<ByteRange> inputs;

  Text() = default;
  explicit Text(std::string_view text, bool input = false);

  // Length in characters (code points), as Python counts.
  size_t characters() const;
  // Every character is one byte.
  bool ascii() const { return characters() == bytes.size(); }
  bool any_input() const { return !inputs.empty(); }
};

// Joins texts and keeps their marks.
class TextBuilder {
 public:
  // Appends bytes of the template (or of the inputs), a text, or the bytes [begin, end) of one.
  void Append(std::string_view bytes, bool input = false);
  void Append(const Text& text) { Append(text, 0, text.bytes.size()); }
  void Append(const Text& text, size_t begin, size_t end);

  size_t size() const { return text_.bytes.size(); }
  const std::string& bytes() const { return text_.bytes; }
  // Leaves the builder empty.
  Text Take();

 private:
  void Mark(size_t begin, size_t end);
  Text text_;
};

// The bytes [begin, end), which lie at borders of characters.
Text Part(const Text& text, size_t begin, size_t end);

// Where the first `needle` lies in the bytes [begin, end) of `text`, or the last one; npos where none does.
// Linear time.
size_t FindFirst(std::string_view text, std::string_view needle, size_t begin, size_t end);
size_t FindLast(std::string_view text, std::string_view needle, size_t begin, size_t end);

// Characters of UTF-8 text; the byte where character `index` begins (`text.size()` behind the last).
size_t CountCharacters(std::string_view text);
size_t ByteOfCharacter(std::string_view text, size_t index);

// The character that begins at `at`, which moves behind it. `text` is valid UTF-8.
char32_t NextCharacter(std::string_view text, size_t* at);

// What Python's str methods call so.
bool IsSpace(char32_t character);
// Not shown as an escape by repr.
bool IsPrintable(char32_t character);
// Simple upper case, the other way round of Unicode's simple lower case; "SS" for U+00DF.
std::string UpperCase(char32_t character);
char32_t SimpleUpperCase(char32_t character);
bool IsUpperCase(char32_t character);
bool IsLowerCase(char32_t character);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_TEXT_H_
