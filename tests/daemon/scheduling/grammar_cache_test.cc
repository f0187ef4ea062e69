#include "daemon/scheduling/grammar_cache.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/fakes.h"

namespace hearth {
namespace {

using enum GrammarCache::Kind;
using testing::HasSubstr;

std::string GrammarOf(int number) { return absl::StrCat("root ::= \"", number, "\""); }

TEST(GrammarCacheTest, TheLastGrammarsAreKept) {
  const ByteTokenizer tokenizer;
  GrammarCache cache(tokenizer);
  const auto first = cache.Get(kGbnf, GrammarOf(0));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*cache.Get(kGbnf, GrammarOf(0)), *first);
  for (int i = 1; i < 16; ++i) ASSERT_TRUE(cache.Get(kGbnf, GrammarOf(i)).ok());
  EXPECT_EQ(*cache.Get(kGbnf, GrammarOf(0)), *first);  // and is the last one used again
  ASSERT_TRUE(cache.Get(kGbnf, GrammarOf(16)).ok());
  EXPECT_EQ(*cache.Get(kGbnf, GrammarOf(0)), *first);
  for (int i = 17; i < 33; ++i) ASSERT_TRUE(cache.Get(kGbnf, GrammarOf(i)).ok());
  EXPECT_NE(*cache.Get(kGbnf, GrammarOf(0)), *first);
}

TEST(GrammarCacheTest, OneTextIsTwoThingsAsGrammarAndAsSchema) {
  const ByteTokenizer tokenizer;
  GrammarCache cache(tokenizer);
  EXPECT_TRUE(cache.Get(kJsonSchema, "{}").ok());
  EXPECT_FALSE(cache.Get(kGbnf, "{}").ok());
}

TEST(GrammarCacheTest, ErrorsSayWhatIsWrongAndAreNotKept) {
  const ByteTokenizer tokenizer;
  GrammarCache cache(tokenizer);
  const auto error = [&](GrammarCache::Kind kind, const std::string& text) {
    EXPECT_TRUE(absl::IsInvalidArgument(cache.Get(kind, text).status()));
    return std::string(cache.Get(kind, text).status().message());
  };
  EXPECT_EQ(error(kGbnf, "root ::= root"),
            "the grammar cannot be used: the rule `root` never ends: it always calls itself again");
  EXPECT_EQ(error(kJsonSchema, "[1"), "the JSON schema is not JSON in UTF-8");
  EXPECT_THAT(error(kJsonSchema, std::string(200, '[')), HasSubstr("nests more than 100 levels deep"));
  EXPECT_EQ(error(kJsonSchema, std::string(200'000, ' ')),
            "the JSON schema has 200000 bytes; at most 131072 are read");
}

}  // namespace
}  // namespace hearth
