#include "engine/token/bpe_tokenizer.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/base/absl_view.h"
#include "engine/token/byte_characters.h"
#include "engine/token/unicode.h"

namespace hearth {
namespace {

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// A stretch of the word that has been merged so far, in a list.
struct Symbol {
  uint32_t begin;
  uint32_t length;  // 0: absorbed by its left neighbour
  int32_t piece;
  int32_t previous;  // -1: none
  int32_t next;
};

}  // namespace

struct BpeTokenizer::Workspace {
  std::string bytes;  // of the word
  std::vector<Symbol> symbols;
  // Merges that may be done: rank and index of the left symbol, so that the lowest, on top, comes first.
  std::vector<uint64_t> heap;
};

BpeTokenizer::BpeTokenizer(Vocabulary vocabulary)
    : VocabularyTokenizer(std::move(vocabulary)), pre_tokenizer_(*this->vocabulary().rule) {
  LoadMerges();
}

std::string BpeTokenizer::description() const {
  const std::string_view name = vocabulary().rule->names.front();
  return absl::StrCat("bpe:", AbslView(name.empty() ? "default" : name));
}

BpeTokenizer::Piece BpeTokenizer::Intern(std::string_view text) {
  const auto [entry, is_new] = pieces_.emplace(text, static_cast<Piece>(pieces_.size()));
  if (is_new) piece_tokens_.push_back(vocabulary().Find(text));
  return entry->second;
}

void BpeTokenizer::LoadMerges() {
  // A byte's character is the piece of that number.
  for (int byte = 0; byte < 256; ++byte) Intern(CharacterOfByte(static_cast<uint8_t>(byte)));
  const std::vector<std::string>& merges = vocabulary().merges;
  merges_.reserve(merges.size());
  ranks_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ', 1);
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    merges_.push_back({Intern(left), Intern(right), Intern(absl::StrCat(AbslView(left), AbslView(right)))});
    ranks_.try_emplace(PairKey(merges_[rank].left, merges_[rank].right), static_cast<int32_t>(rank));
  }
}

void BpeTokenizer::EncodeText(std::string_view text, bool after_token, std::vector<TokenId>* ids) const {
  std::string escaped;
  if (vocabulary().escape_spaces) {
    escaped = absl::StrReplaceAll(AbslView(text), {{" ", AbslView(kSpaceMark)}});
    text = escaped;
  }
  const std::u32string code_points = DecodeUtf8(text);
  Workspace workspace;
  size_t begin = 0;
  for (size_t end : pre_tokenizer_.WordEnds(code_points)) {
    EncodeWord(std::u32string_view(code_points).substr(begin, end - begin), &workspace, ids);
    begin = end;
  }
}

void BpeTokenizer::EncodeWord(std::u32string_view word, Workspace* workspace,
                              std::vector<TokenId>* ids) const {
  std::string& bytes = workspace->bytes;
  bytes.clear();
  for (char32_t code_point : word) AppendUtf8(code_point, &bytes);
  if (TakeWhole(bytes, ids)) return;
  SplitIntoSymbols(bytes, workspace);
  MergeSymbols(workspace);
  for (int32_t i = 0; i >= 0; i = workspace->symbols[i].next) {
    const Symbol& symbol = workspace->symbols[i];
    AppendTokens(symbol.piece, std::string_view(bytes).substr(symbol.begin, symbol.length), ids);
  }
}

std::string BpeTokenizer::AsWritten(std::string_view bytes) const {
  if (vocabulary().rule->utf8_tokens) return std::string(bytes);
  std::string written;
  for (char byte : bytes) written += CharacterOfByte(static_cast<uint8_t>(byte));
  return written;
}

bool BpeTokenizer::TakeWhole(std::string_view word, std::vector<TokenId>* ids) const {
  const PreTokenizerRule& rule = *vocabulary().rule;
  const bool newlines = rule.whole_newlines && word.find_first_not_of('\n') == std::string_view::npos;
  if ((!rule.ignore_merges && !newlines) || word.size() > vocabulary().longest_token_bytes) return false;
  const TokenId id = vocabulary().Find(AsWritten(word));
  if (id != kNoToken) ids->push_back(id);
  return id != kNoToken;
}

BpeTokenizer::Piece BpeTokenizer::FindPiece(std::string_view character) const {
  if (!vocabulary().rule->utf8_tokens)
    return static_cast<uint8_t>(character[0]);  // as LoadMerges numbered them
  const auto piece = pieces_.find(AbslView(character));
  return piece == pieces_.end() ? kNoPiece : piece->second;
}

void BpeTokenizer::SplitIntoSymbols(std::string_view word, Workspace* workspace) const {
  const bool by_byte = !vocabulary().rule->utf8_tokens;
  workspace->symbols.clear();
  for (size_t at = 0; at < word.size();) {
    const size_t length =
        by_byte ? 1 : std::min(Utf8Length(static_cast<uint8_t>(word[at])), word.size() - at);
    const auto index = static_cast<int32_t>(workspace->symbols.size());
    workspace->symbols.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(length),
                                  FindPiece(word.substr(at, length)), index - 1, index + 1});
    at += length;
  }
  workspace->symbols.back().next = -1;
}

void BpeTokenizer::Consider(int32_t left, int32_t right, Workspace* workspace) const {
  if (left < 0 || right < 0) return;
  const auto rank = ranks_.find(PairKey(workspace->symbols[left].piece, workspace->symbols[right].piece));
  if (rank == ranks_.end()) return;
  workspace->heap.push_back(PairKey(rank->second, left));
  std::push_heap(workspace->heap.begin(), workspace->heap.end(), std::greater<>());
}

void BpeTokenizer::MergeSymbols(Workspace* workspace) const {
  std::vector<Symbol>& symbols = workspace->symbols;
  std::vector<uint64_t>& heap = workspace->heap;
  const auto count = static_cast<int32_t>(symbols.size());
  for (int32_t right = 1; right < count; ++right) Consider(right - 1, right, workspace);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Merge& merge = merges_[heap.back() >> 32];
    const auto left_index = static_cast<int32_t>(heap.back() & 0xFFFFFFFF);
    heap.pop_back();
    Symbol& left = symbols[left_index];
    const bool outdated = left.length == 0 || left.piece != merge.left || left.next < 0 ||
                          symbols[left.next].piece != merge.right;
    if (outdated) continue;
    Symbol& right = symbols[left.next];
    left.length += right.length;
    left.piece = merge.result;
    right.length = 0;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = left_index;
    Consider(left.previous, left_index, workspace);
    Consider(left_index, left.next, workspace);
  }
}

void BpeTokenizer::AppendTokens(Piece piece, std::string_view bytes, std::vector<TokenId>* ids) const {
  TokenId id = piece == kNoPiece ? vocabulary().Find(bytes) : piece_tokens_[piece];
  if (id != kNoToken) {
    ids->push_back(id);
    return;
  }
  // A string that merges make but no token is written like: byte by byte, what has no token is dropped.
  for (char c : AsWritten(bytes)) {
    id = vocabulary().rule->utf8_tokens ? vocabulary().FindByteToken(static_cast<uint8_t>(c))
                                        : vocabulary().Find(std::string_view(&c, 1));
    if (id != kNoToken) ids->push_back(id);
  }
}

}  // namespace hearth
