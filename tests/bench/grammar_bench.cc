// grammar_bench [M.gguf ...]: what token masks cost. For a made-up vocabulary of 128,000 tokens, and for
// those of the files: milliseconds to prepare the vocabulary and a grammar, and for each token of a text the
// time of its mask (typical, 99th of 100, longest) at first and when the same grammar is used again.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "engine/base/absl_view.h"
#include "engine/file/gguf.h"
#include "engine/grammar/constraint.h"
#include "engine/grammar/gbnf_parser.h"
#include "engine/grammar/json_schema.h"
#include "engine/token/tokenizer.h"

namespace hearth::grammar {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Words, numbers, punctuation and code, as long as those of real vocabularies.
GgufMetadata MadeUpVocabulary(size_t size) {
  constexpr std::string_view kParts[] = {
      "the", "an", "ing", "er", "on", "re", "tion", "al", "in", "st", "ed", "or", "en", "is", "it", "ar",
      "ou",  "le", "ch",  "un", "e",  "s",  "t",    "A",  "\"", "{",  "}",  ":",  ",",  "[",  "]",  "(",
      ")",   "_",  ".",   "-",  "0",  "1",  "9",    "ä",  "中", "文", "的", "я",  "\n", "\t"};
  std::mt19937 random(3);
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int64_t> types = {2, 3, 3};
  absl::flat_hash_set<std::string> seen;
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    tokens.push_back(text);
    types.push_back(6);
  }
  while (tokens.size() < size) {
    std::string word = random() % 2 == 0 ? " " : "";
    const size_t letters = random() % 8 == 0 ? std::size(kParts) : 24;  // most words are words
    for (size_t parts = 1 + random() % 5; parts > 0; --parts) word += kParts[random() % letters];
    if (!seen.insert(word).second) continue;
    tokens.push_back(word);
    types.push_back(4);
  }
  GgufMetadata metadata;
  metadata.Set("tokenizer.ggml.model", std::string("llama"));
  metadata.Set("tokenizer.ggml.scores", std::vector<float>(tokens.size()));
  metadata.Set("tokenizer.ggml.tokens", std::move(tokens));
  metadata.Set("tokenizer.ggml.token_type", std::move(types));
  metadata.Set("tokenizer.ggml.eos_token_id", uint64_t{2});
  return metadata;
}

struct Case {
  const char* name;
  const char* schema;
  const char* grammar;  // instead of the schema
  const char* text;
};
constexpr Case kCases[] = {
    {"JSON schema",
     R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0},
      "tags":{"type":"array","items":{"type":"string"}},"address":{"type":"object","properties":{
      "street":{"type":"string","maxLength":60},"kind":{"enum":["home","work"]}},"required":["street","kind"]},
      "born":{"type":"string","format":"date"}},"required":["name","age","tags","address"]})",
     "",
     "{\n  \"name\": \"Ada the first one\",\n  \"age\": 36,\n  \"tags\": [\"an engineer\", \"in the "
     "house\"],\n"
     "  \"address\": {\n    \"street\": \"Stone street 7\",\n    \"kind\": \"home\"\n  },\n  \"born\": "
     "\"1815-12-10\"\n}"},
    {"JSON object", R"({"type":"object"})", "",
     R"({"name": "Ada", "list": [1, 2, {"a": true, "b": "the stone in the house \"ä\""}], "end": null})"},
    {"GBNF", "",
     "root ::= object\nobject ::= \"{\" ws (pair (\",\" ws pair)*)? \"}\" ws\npair ::= string \":\" ws "
     "value\n"
     "value ::= object | string | [0-9]+ ws\nstring ::= \"\\\"\" char* \"\\\"\" ws\n"
     "char ::= [^\"\\\\] | \"\\\\\" [\"\\\\n]\nws ::= [ \\n]*",
     "{\"name\": \"Ada the first one\", \"in\": {\"the\": \"stone\", \"n\": 17}}"},
};

absl::StatusOr<Grammar> CompileCase(const Case& test) {
  if (*test.grammar != '\0') {
    auto rules = ParseGbnf(test.grammar);
    return rules.ok() ? Grammar::Compile(*rules) : rules.status();
  }
  auto rules = CompileJsonSchema(nlohmann::ordered_json::parse(test.schema));
  return rules.ok() ? Grammar::Compile(*rules) : rules.status();
}

// The text as tokens, always the longest that fits; empty where one is missing.
std::vector<TokenId> Cut(std::string_view text, const TokenTrie& trie) {
  absl::flat_hash_map<absl::string_view, TokenId> tokens;
  for (TokenId token = 0; token < trie.vocab_size(); ++token)
    tokens.try_emplace(AbslView(trie.bytes(token)), token);
  std::vector<TokenId> result;
  while (!text.empty()) {
    size_t length = std::min<size_t>(text.size(), trie.longest());
    while (length > 0 && !tokens.contains(AbslView(text.substr(0, length)))) --length;
    if (length == 0) return {};
    result.push_back(tokens[AbslView(text.substr(0, length))]);
    text.remove_prefix(length);
  }
  return result;
}

// The time of each mask along the text, sorted.
bool Follow(const std::shared_ptr<const TokenMasks>& masks, const std::vector<TokenId>& tokens,
            std::vector<double>& times) {
  times.clear();
  Constraint constraint(masks);
  std::vector<float> logits(static_cast<size_t>(masks->trie().vocab_size()));
  for (const TokenId token : tokens) {
    const auto start = Clock::now();
    const auto mask = constraint.Allowed();
    if (!mask.ok() || !(*mask)->Contains(token)) return false;
    (*mask)->ForbidOthers(absl::MakeSpan(logits));
    constraint.Accept(token);
    times.push_back(MillisecondsSince(start));
  }
  std::sort(times.begin(), times.end());
  return !times.empty();
}

void Print(const char* what, const std::vector<double>& times) {
  double sum = 0;
  for (const double time : times) sum += time;
  std::printf("    %-6s mean %.3f  median %.3f  99th %.3f  longest %.3f ms\n", what,
              sum / static_cast<double>(times.size()), times[times.size() / 2],
              times[times.size() * 99 / 100], times.back());
}

bool Measure(const char* name, const GgufMetadata& metadata) {
  const auto tokenizer = Tokenizer::FromMetadata(metadata);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s: %s\n", name, tokenizer.status().ToString().c_str());
    return false;
  }
  auto start = Clock::now();
  const auto trie = std::make_shared<const TokenTrie>(**tokenizer);
  std::printf("%s: %d tokens, %u nodes, prepared in %.1f ms\n", name, trie->vocab_size(), trie->size(),
              MillisecondsSince(start));
  for (const Case& test : kCases) {
    start = Clock::now();
    auto grammar = CompileCase(test);
    if (!grammar.ok()) return false;
    std::printf("  %s: compiled in %.2f ms, %zu states\n", test.name, MillisecondsSince(start),
                grammar->state_count());
    const auto masks = std::make_shared<const TokenMasks>(*std::move(grammar), trie);
    const std::vector<TokenId> tokens = Cut(test.text, *trie);
    std::vector<double> times;
    for (const char* what : {"first", "again"}) {
      if (!Follow(masks, tokens, times)) {
        std::fprintf(stderr, "%s: the text does not follow the grammar in this vocabulary\n", test.name);
        return false;
      }
      Print(what, times);
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  bool ok = Measure("made up", MadeUpVocabulary(128'000));
  for (int i = 1; i < argc; ++i) {
    const auto file = GgufFile::Open(argv[i]);
    ok = file.ok() && Measure(argv[i], (*file)->metadata()) && ok;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace hearth::grammar

int main(int argc, char** argv) { return hearth::grammar::Main(argc, argv); }
