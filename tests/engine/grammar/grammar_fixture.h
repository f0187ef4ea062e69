#ifndef HEARTH_TESTS_ENGINE_GRAMMAR_GRAMMAR_FIXTURE_H_
#define HEARTH_TESTS_ENGINE_GRAMMAR_GRAMMAR_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/status_macros.h"
#include "engine/grammar/gbnf_parser.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/recognizer.h"
#include "engine/grammar/token_trie.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth::grammar {

inline absl::StatusOr<Grammar> CompileGbnf(std::string_view text) {
  HEARTH_ASSIGN_OR_RETURN(const GrammarRules rules, ParseGbnf(text));
  return Grammar::Compile(rules);
}

inline absl::StatusOr<Grammar> CompileSchema(std::string_view schema) {
  HEARTH_ASSIGN_OR_RETURN(const GrammarRules rules, CompileJsonSchema(nlohmann::ordered_json::parse(schema)));
  return Grammar::Compile(rules);
}

// Whether a text is refused, the beginning of one that follows the grammar, or whole.
enum class Verdict { kRefused, kBegun, kWhole };

inline Verdict Judge(Recognizer& recognizer, std::string_view text) {
  ConfigId config = recognizer.Start();
  for (const char byte : text) config = recognizer.Next(config, static_cast<uint8_t>(byte));
  if (config == kDeadConfig) return Verdict::kRefused;
  return recognizer.MayEnd(config) ? Verdict::kWhole : Verdict::kBegun;
}

inline Verdict Judge(const absl::StatusOr<Grammar>& grammar, std::string_view text) {
  EXPECT_TRUE(grammar.ok()) << grammar.status();
  if (!grammar.ok()) return Verdict::kRefused;
  Recognizer recognizer(*grammar);
  return Judge(recognizer, text);
}

// Byte b is token 3 + b, </s> (2) ends a generation, and `words` begin at 259.
inline std::unique_ptr<Tokenizer> ByteTokenizer(const std::vector<std::string>& words) {
  std::vector<TokenSpec> specs;
  for (const std::string& word : words) specs.push_back({word, kUserDefined});
  return MakeTokenizer(SpmMetadata(specs));
}

}  // namespace hearth::grammar

#endif  // HEARTH_TESTS_ENGINE_GRAMMAR_GRAMMAR_FIXTURE_H_
