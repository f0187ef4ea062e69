#include "engine/token/byte_trie.h"

#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

std::vector<std::pair<size_t, uint32_t>> Prefixes(const ByteTrie& trie, std::string_view text) {
  std::vector<std::pair<size_t, uint32_t>> found;
  trie.VisitPrefixes(text, [&](size_t length, uint32_t value) { found.emplace_back(length, value); });
  return found;
}

TEST(ByteTrie, FindsEveryKeyThatTheTextBeginsWith) {
  ByteTrie trie;
  trie.Insert("a", 1);
  trie.Insert("abc", 2);
  trie.Insert("b", 3);
  EXPECT_THAT(Prefixes(trie, "abcd"), ElementsAre(Pair(1, 1), Pair(3, 2)));
}

TEST(ByteTrie, FindsNothingWhereNoKeyFits) {
  ByteTrie trie;
  trie.Insert("abc", 1);
  EXPECT_THAT(Prefixes(trie, "ab"), IsEmpty());
  EXPECT_THAT(Prefixes(trie, "xabc"), IsEmpty());
  EXPECT_THAT(Prefixes(trie, ""), IsEmpty());
  EXPECT_THAT(Prefixes(ByteTrie(), "a"), IsEmpty());
}

TEST(ByteTrie, TakesAnyByteAndTheValueZero) {
  ByteTrie trie;
  trie.Insert(std::string_view("\0\xFF", 2), 0);
  EXPECT_THAT(Prefixes(trie, std::string_view("\0\xFF\0", 3)), ElementsAre(Pair(2, 0)));
}

TEST(ByteTrie, KeepsTheFirstValueOfAKey) {
  ByteTrie trie;
  trie.Insert("a", 1);
  trie.Insert("a", 2);
  EXPECT_THAT(Prefixes(trie, "a"), ElementsAre(Pair(1, 1)));
}

}  // namespace
}  // namespace hearth
