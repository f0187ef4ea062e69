#include "engine/token/special_tokens.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"

namespace hearth {
namespace {

std::string_view WithoutTrailingSpace(std::string_view text) {
  while (!text.empty() && absl::ascii_isspace(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view WithoutLeadingSpace(std::string_view text) {
  while (!text.empty() && absl::ascii_isspace(text.front())) text.remove_prefix(1);
  return text;
}

// Whether the bytes [begin, end) touch one of `ranges`, which ascend.
bool Touches(absl::Span<const ByteRange> ranges, size_t begin, size_t end) {
  const auto first = std::partition_point(ranges.begin(), ranges.end(),
                                          [&](const ByteRange& range) { return range.end <= begin; });
  return first != ranges.end() && first->begin < end;
}

// Appends `text` cut at every place where it contains token `id`, but for those that `is_literal` (their
// first byte) tells to leave.
template <typename IsLiteral>
void CutAt(TokenId id, const Vocabulary& vocabulary, std::string_view text, IsLiteral is_literal,
           std::vector<TextFragment>* fragments) {
  const std::string& token = vocabulary.tokens[id];
  for (size_t found = text.find(token); found != std::string_view::npos;) {
    if (is_literal(text.data() + found)) {
      found = text.find(token, found + 1);
      continue;
    }
    std::string_view left = text.substr(0, found);
    if (vocabulary.Has(id, kStripsLeft)) left = WithoutTrailingSpace(left);
    if (!left.empty()) fragments->push_back({kNoToken, left});
    fragments->push_back({id, {}});
    text.remove_prefix(found + token.size());
    if (vocabulary.Has(id, kStripsRight)) text = WithoutLeadingSpace(text);
    found = text.find(token);
  }
  if (!text.empty()) fragments->push_back({kNoToken, text});
}

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.tokens[id].empty()) continue;  // occurs nowhere in a text
    if (vocabulary.Has(id, kControlToken | kUserDefinedToken | kUnknownToken)) tokens_.push_back(id);
  }
  std::stable_sort(tokens_.begin(), tokens_.end(), [&](TokenId a, TokenId b) {
    return vocabulary.tokens[a].size() > vocabulary.tokens[b].size();
  });
  for (uint32_t i = 0; i < tokens_.size(); ++i) trie_.Insert(vocabulary.tokens[tokens_[i]], i);
}

// Vocabularies have up to thousands of special tokens and texts nearly none of them: one pass finds which.
std::vector<uint32_t> SpecialTokens::Occurring(std::string_view text) const {
  std::vector<bool> occurs(tokens_.size());
  for (size_t at = 0; at < text.size(); ++at) {
    trie_.VisitPrefixes(text.substr(at), [&](size_t, uint32_t index) { occurs[index] = true; });
  }
  std::vector<uint32_t> indices;
  for (uint32_t i = 0; i < occurs.size(); ++i) {
    if (occurs[i]) indices.push_back(i);
  }
  return indices;
}

std::vector<TextFragment> SpecialTokens::Split(std::string_view text, bool parse_special,
                                               absl::Span<const ByteRange> literal) const {
  std::vector<TextFragment> fragments;
  if (!text.empty()) fragments.push_back({kNoToken, text});
  std::vector<TextFragment> finer;
  for (uint32_t index : Occurring(text)) {
    const TokenId id = tokens_[index];
    const bool control = vocabulary_.Has(id, kControlToken | kUnknownToken);
    if (control && !parse_special) continue;
    const auto is_literal = [&](const char* first) {
      const auto begin = static_cast<size_t>(first - text.data());
      return control && Touches(literal, begin, begin + vocabulary_.tokens[id].size());
    };
    finer.clear();
    for (const TextFragment& fragment : fragments) {
      if (fragment.token != kNoToken) {
        finer.push_back(fragment);
      } else {
        CutAt(id, vocabulary_, fragment.text, is_literal, &finer);
      }
    }
    fragments.swap(finer);
  }
  return fragments;
}

}  // namespace hearth
