#include "engine/grammar/token_masks.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

TEST(TokenTrieTest, NodesLeadToTheTokensOfTheirBytes) {
  const auto tokenizer = ByteTokenizer({"ab", "abc", "b", "ab"});
  const TokenTrie trie(*tokenizer);
  EXPECT_EQ(trie.longest(), 3u);
  EXPECT_EQ(trie.bytes(260), "abc");
  EXPECT_EQ(trie.bytes(2), "");  // ends a generation
  EXPECT_EQ(trie.bytes(-1), "");
  EXPECT_EQ(trie.bytes(100000), "");
  size_t tokens = 0;
  for (uint32_t node = 0; node < trie.size(); ++node) tokens += trie.tokens(node).size();
  EXPECT_EQ(tokens, 256u + 4);
}

// The tokens that can follow, found by trying each.
std::string Tried(const Grammar& grammar, const TokenTrie& trie, const std::string& before) {
  std::string allowed;
  for (TokenId token = 0; token < trie.vocab_size(); ++token) {
    Recognizer recognizer(grammar);
    const bool fits = !trie.bytes(token).empty() &&
                      Judge(recognizer, before + std::string(trie.bytes(token))) != Verdict::kRefused;
    const bool ends = token == 2 && Judge(recognizer, before) == Verdict::kWhole;
    if (fits || ends) absl::StrAppend(&allowed, " ", token, " ");
  }
  return allowed;
}

std::string Masked(const TokenMasks& masks, const std::string& before) {
  Recognizer recognizer(masks.grammar());
  ConfigId config = recognizer.Start();
  for (const char byte : before) config = recognizer.Next(config, static_cast<uint8_t>(byte));
  const auto mask = masks.Allowed(recognizer, &config);
  EXPECT_TRUE(mask.ok()) << mask.status();
  std::string allowed;
  for (TokenId token = 0; mask.ok() && token < masks.trie().vocab_size(); ++token) {
    if (mask->Contains(token)) absl::StrAppend(&allowed, " ", token, " ");
  }
  return allowed;
}

// Grammars with nesting, ambiguity, empty rules, characters of several bytes, and rules that end within
// tokens.
constexpr const char* kGrammars[] = {
    "root ::= \"a\"* \"b\"",
    "root ::= \"(\" root \")\" | \"[\" root \"]\" | [ab]*",
    "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"",
    "root ::= word (\" \" word)* \".\"\nword ::= letter letter?\nletter ::= [a-c] | \"\\u00e4\"",
    "root ::= s s\ns ::= \"\\\"\" char* \"\\\"\"\nchar ::= [^\"\\\\] | \"\\\\\" [\"n]",
    "root ::= e x e\ne ::= \"-\"?\nx ::= e [abc] | \"(\" x \")\" e",
    "root ::= (\"ab\" | \"abc\" | \"b\"){2,3} [^a]?",
};

TEST(TokenMasksTest, MasksEqualTryingEachTokenAlongRandomTexts) {
  std::mt19937 random(5);
  const std::vector<std::string> alphabet = {"a", "a",  "b",  "b", "c", "(", ")", "[",
                                             "]", "\"", "\\", "-", ".", " ", "n", "ä"};
  std::vector<std::string> words;
  for (int i = 0; i < 150; ++i) {
    std::string word;
    for (size_t length = 1 + random() % 6; length > 0; --length) word += alphabet[random() % alphabet.size()];
    words.push_back(word);
  }
  const auto tokenizer = ByteTokenizer(words);
  ASSERT_NE(tokenizer, nullptr);
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
  for (const char* text : kGrammars) {
    auto grammar = CompileGbnf(text);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    const TokenMasks masks(*std::move(grammar), trie);
    for (int walk = 0; walk < 4; ++walk) {
      std::string before;
      for (int step = 0; step < 8; ++step) {
        const std::string expected = Tried(masks.grammar(), *trie, before);
        ASSERT_EQ(Masked(masks, before), expected) << text << "\nbehind " << before;
        std::vector<TokenId> next;
        for (TokenId token = 3; token < trie->vocab_size(); ++token) {
          if (absl::StrContains(expected, absl::StrCat(" ", token, " "))) next.push_back(token);
        }
        if (next.empty()) break;
        before += trie->bytes(next[random() % next.size()]);
      }
    }
  }
}

TEST(TokenMasksTest, RulesThatEndWithEveryCharacterAreFollowedWithTheirCallers) {
  // `char` ends behind each character: taken alone, everything would be left to its caller.
  std::vector<std::string> words;
  for (int i = 0; i < 40000; ++i) words.push_back(absl::StrCat("w", i));
  words.push_back("w1\"");
  words.push_back("w1\",");
  words.push_back("w1\";");
  const auto tokenizer = ByteTokenizer(words);
  auto grammar = CompileGbnf("root ::= s \",\" s\ns ::= \"\\\"\" char* \"\\\"\"\nchar ::= [^\"]");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const TokenMasks masks(*std::move(grammar), std::make_shared<const TokenTrie>(*tokenizer));
  Recognizer recognizer(masks.grammar());
  ConfigId config = recognizer.Next(recognizer.Start(), '"');
  const auto mask = masks.Allowed(recognizer, &config);
  ASSERT_TRUE(mask.ok()) << mask.status();
  EXPECT_TRUE(mask->Contains(259 + 12345));
  EXPECT_TRUE(mask->Contains(259 + 40000));
  EXPECT_TRUE(mask->Contains(259 + 40001));
  EXPECT_FALSE(mask->Contains(259 + 40002));
  EXPECT_FALSE(mask->Contains(2));
}

TEST(TokenMasksTest, EndTokensAreAllowedWhereTheTextMayEndAndControlTokensNever) {
  const auto tokenizer = ByteTokenizer({"<s>x"});
  auto grammar = CompileGbnf("root ::= \"<\" .*");
  ASSERT_TRUE(grammar.ok());
  const TokenMasks masks(*std::move(grammar), std::make_shared<const TokenTrie>(*tokenizer));
  Recognizer recognizer(masks.grammar());
  ConfigId config = recognizer.Start();
  EXPECT_FALSE(masks.Allowed(recognizer, &config)->Contains(2));
  config = recognizer.Next(config, '<');
  EXPECT_TRUE(masks.Allowed(recognizer, &config)->Contains(2));
  EXPECT_FALSE(masks.Allowed(recognizer, &config)->Contains(0));
  EXPECT_FALSE(masks.Allowed(recognizer, &config)->Contains(1));
}

}  // namespace
}  // namespace hearth::grammar
