#include "daemon/scheduling/grammar_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/chat/json_text.h"
#include "engine/grammar/gbnf_parser.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/json_schema.h"

namespace hearth {
namespace {

constexpr size_t kMaxSchemaBytes = size_t{128} << 10;

absl::StatusOr<grammar::GrammarRules> ReadRules(GrammarCache::Kind kind, const std::string& text) {
  if (kind == GrammarCache::Kind::kGbnf) return grammar::ParseGbnf(text);
  if (text.size() > kMaxSchemaBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the JSON schema has ", text.size(), " bytes; at most ", kMaxSchemaBytes, " are read"));
  }
  HEARTH_ASSIGN_OR_RETURN(const auto schema, ParseJson("the JSON schema", text));
  return grammar::CompileJsonSchema(schema);
}

// With what it is in front: errors of a grammar speak of lines and rules.
absl::Status Named(GrammarCache::Kind kind, const absl::Status& status) {
  if (kind == GrammarCache::Kind::kJsonSchema) return status;
  return absl::Status(status.code(), absl::StrCat("the grammar cannot be used: ", status.message()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const grammar::TokenMasks>> GrammarCache::Get(Kind kind,
                                                                             const std::string& text) {
  if (auto masks = Find(kind, text)) return masks;
  const auto rules = ReadRules(kind, text);
  if (!rules.ok()) return Named(kind, rules.status());
  auto compiled = grammar::Grammar::Compile(*rules);
  if (!compiled.ok()) return Named(kind, compiled.status());
  auto masks = std::make_shared<const grammar::TokenMasks>(*std::move(compiled), Trie());
  MutexLock lock(&mutex_);
  entries_.push_front({kind, text, masks});
  if (entries_.size() > kKept) entries_.pop_back();
  return masks;
}

std::shared_ptr<const grammar::TokenMasks> GrammarCache::Find(Kind kind, const std::string& text) {
  MutexLock lock(&mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.kind == kind && entry.text == text;
  });
  if (found == entries_.end()) return nullptr;
  std::rotate(entries_.begin(), found, found + 1);
  return entries_.front().masks;
}

std::shared_ptr<const grammar::TokenTrie> GrammarCache::Trie() {
  MutexLock lock(&mutex_);
  if (trie_ == nullptr) trie_ = std::make_shared<const grammar::TokenTrie>(tokenizer_);
  return trie_;
}

}  // namespace hearth
