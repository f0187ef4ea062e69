#include "engine/grammar/utf8_ranges.h"

#include <algorithm>
#include <string>

#include "engine/base/check.h"
#include "engine/token/unicode.h"

namespace hearth::grammar {
namespace {

// The last character that has a form of 1, 2, 3, 4 bytes.
constexpr std::array<char32_t, 4> kLastOfLength = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

ByteSequence Joined(char32_t first, char32_t last) {
  std::string low;
  std::string high;
  AppendUtf8(first, &low);
  AppendUtf8(last, &high);
  HEARTH_CHECK(low.size() == high.size());
  ByteSequence sequence{.length = low.size()};
  for (size_t i = 0; i < low.size(); ++i) {
    sequence.bytes[i] = {static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])};
  }
  return sequence;
}

// Both ends have forms of one length. Cut so that behind a byte that differs all others are free.
void Split(char32_t first, char32_t last, size_t length, std::vector<ByteSequence>& to) {
  for (size_t free_bytes = length - 1; free_bytes > 0; --free_bytes) {
    const char32_t mask = (char32_t{1} << (6 * free_bytes)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;  // they differ further behind
    if ((first & mask) != 0) {
      Split(first, first | mask, length, to);
      return Split((first | mask) + 1, last, length, to);
    }
    if ((last & mask) != mask) {
      Split(first, (last & ~mask) - 1, length, to);
      return Split(last & ~mask, last, length, to);
    }
  }
  to.push_back(Joined(first, last));
}

}  // namespace

std::vector<ByteSequence> Utf8Sequences(CodePointRange range) {
  std::vector<ByteSequence> sequences;
  char32_t first = range.first;
  for (size_t length = 1; length <= kLastOfLength.size() && first <= range.last; ++length) {
    const char32_t last = std::min(range.last, kLastOfLength[length - 1]);
    if (first > last) continue;
    Split(first, last, length, sequences);
    first = last + 1;
  }
  return sequences;
}

}  // namespace hearth::grammar
