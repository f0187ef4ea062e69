// sample_json_schema COUNT < SCHEMAS: for every line, a JSON schema, writes one line: a JSON list of COUNT
// texts that were drawn token by token through the schema's masks, or a JSON text with the compiler's error.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/grammar/constraint.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace hearth::grammar {
namespace {

constexpr int kLongEnough = 60;  // tokens, behind which texts are brought to an end
constexpr int kMostTokens = 20000;

std::unique_ptr<Tokenizer> JsonTokenizer() {
  std::vector<std::string> words = {"{\"", "\":",  "\": ",  "\", \"", "\"}",   "\"},", "]}",  "},",   "[[",
                                    "]]",  "true", "false", "null",   "\\u00", "\\\"", "  ",  "\n  ", "12",
                                    "0.",  "e5",   "abc",   "xyz",    "-1",    "ä",    "ö\"", "a\": "};
  for (const char* name : {"p0", "p1", "p2", "kind", "value"}) {
    words.push_back(name);
    words.push_back("\"" + std::string(name) + "\"");
  }
  return ByteTokenizer(words);
}

// -1 where nothing is allowed.
TokenId Choose(const TokenMask& mask, const TokenTrie& trie, int step, std::mt19937& random) {
  const bool end = step >= kLongEnough || random() % 3 == 0;
  if (end && mask.Contains(trie.end_of_generation().front())) return trie.end_of_generation().front();
  if (step >= kLongEnough) {
    // At random, since within a string only one of them closes anything.
    constexpr std::string_view kClosing = "}]\"";
    const size_t first = random() % kClosing.size();
    for (size_t i = 0; i < kClosing.size(); ++i) {
      const TokenId closing = 3 + kClosing[(first + i) % kClosing.size()];
      if (mask.Contains(closing)) return closing;
    }
  }
  std::vector<TokenId> allowed;
  for (TokenId token = 0; token < trie.vocab_size(); ++token) {
    // Words and ASCII are drawn more often than single bytes of other characters.
    const int weight = token >= 259 ? 8 : token < 3 + 128 ? 2 : 1;
    if (mask.Contains(token)) allowed.insert(allowed.end(), weight, token);
  }
  return allowed.empty() ? -1 : allowed[random() % allowed.size()];
}

std::string Sample(const std::shared_ptr<const TokenMasks>& masks, std::mt19937& random) {
  Constraint constraint(masks);
  std::string text;
  for (int step = 0; step < kMostTokens; ++step) {
    if (constraint.MustEnd()) return text;
    const auto mask = constraint.Allowed();
    const TokenId token = mask.ok() ? Choose(**mask, masks->trie(), step, random) : -1;
    if (token < 0) return "no token is left behind " + text;
    if (token == masks->trie().end_of_generation().front()) return text;
    text += masks->trie().bytes(token);
    constraint.Accept(token);
  }
  return "no end is found of " + text;
}

nlohmann::json Answer(const std::string& schema, int count, const std::shared_ptr<const TokenTrie>& trie,
                      std::mt19937& random) {
  auto grammar = CompileSchema(schema);
  if (!grammar.ok()) return std::string(grammar.status().message());
  const auto masks = std::make_shared<const TokenMasks>(*std::move(grammar), trie);
  nlohmann::json samples = nlohmann::json::array();
  for (int i = 0; i < count; ++i) samples.push_back(Sample(masks, random));
  return samples;
}

int Main(int count) {
  const auto tokenizer = JsonTokenizer();
  if (tokenizer == nullptr) return 1;
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
  std::mt19937 random(11);
  for (std::string schema; std::getline(std::cin, schema);) {
    std::printf("%s\n", Answer(schema, count, trie, random).dump().c_str());
  }
  return 0;
}

}  // namespace
}  // namespace hearth::grammar

int main(int argc, char** argv) { return argc == 2 ? hearth::grammar::Main(std::atoi(argv[1])) : 2; }
