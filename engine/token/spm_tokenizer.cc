#include "engine/token/spm_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <queue>

#include "absl/strings/str_replace.h"
#include "engine/base/absl_view.h"
#include "engine/token/unicode.h"

namespace hearth {
namespace {

// A stretch of the text that has been merged so far, in a list. An absorbed one has length 0.
struct Piece {
  uint32_t begin;
  uint32_t length;
  int32_t previous;  // -1: none
  int32_t next;
};

struct Candidate {
  float score;
  int32_t left;
  int32_t right;
  uint32_t length;  // of both together, when this was found: tells whether it is outdated

  bool operator<(const Candidate& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

class Merger {
 public:
  explicit Merger(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // Calls visit(piece) for each stretch of `text` that no merge makes longer. `text` is not empty.
  template <class Visitor>
  void Merge(std::string_view text, Visitor visit) {
    text_ = text;
    SplitIntoCharacters();
    for (int32_t right = 1; right < static_cast<int32_t>(symbols_.size()); ++right)
      Consider(right - 1, right);
    MergeCandidates();
    for (int32_t i = 0; i >= 0; i = symbols_[i].next) {
      visit(text_.substr(symbols_[i].begin, symbols_[i].length));
    }
  }

 private:
  void SplitIntoCharacters() {
    symbols_.clear();
    for (size_t at = 0; at < text_.size();) {
      const size_t length = std::min(Utf8Length(static_cast<uint8_t>(text_[at])), text_.size() - at);
      const auto index = static_cast<int32_t>(symbols_.size());
      symbols_.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(length), index - 1, index + 1});
      at += length;
    }
    symbols_.back().next = -1;
  }

  void Consider(int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const uint32_t length = symbols_[left].length + symbols_[right].length;
    if (length > vocabulary_.longest_token_bytes) return;
    const TokenId id = vocabulary_.Find(text_.substr(symbols_[left].begin, length));
    if (id != kNoToken) candidates_.push({vocabulary_.scores[id], left, right, length});
  }

  void MergeCandidates() {
    while (!candidates_.empty()) {
      const Candidate candidate = candidates_.top();
      candidates_.pop();
      Piece& left = symbols_[candidate.left];
      Piece& right = symbols_[candidate.right];
      const bool outdated =
          left.length == 0 || right.length == 0 || left.length + right.length != candidate.length;
      if (outdated) continue;
      left.length += right.length;
      right.length = 0;
      left.next = right.next;
      if (left.next >= 0) symbols_[left.next].previous = candidate.left;
      Consider(left.previous, candidate.left);
      Consider(candidate.left, left.next);
    }
  }

  const Vocabulary& vocabulary_;
  std::string_view text_;
  std::vector<Piece> symbols_;
  std::priority_queue<Candidate> candidates_;
};

}  // namespace

SpmTokenizer::SpmTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {
  for (const std::string& token : this->vocabulary().tokens) {
    for (size_t mark = token.find(kSpaceMark, 1); mark != std::string::npos;
         mark = token.find(kSpaceMark, mark + 1)) {
      joins_next_word_[static_cast<uint8_t>(token[mark - 1])] = true;
    }
  }
}

size_t SpmTokenizer::WordEnd(std::string_view text, size_t begin) const {
  size_t end = begin;
  do {  // character by character: a mark may be swallowed by the cut-off character before it
    end += Utf8Length(static_cast<uint8_t>(text[end]));
  } while (end < text.size() && (text.substr(end, kSpaceMark.size()) != kSpaceMark ||
                                 joins_next_word_[static_cast<uint8_t>(text[end - 1])]));
  return std::min(end, text.size());
}

void SpmTokenizer::EncodeText(std::string_view text, bool after_token, std::vector<TokenId>* ids) const {
  std::string escaped = vocabulary().add_space_prefix && after_token ? " " : "";
  escaped += text;
  escaped = absl::StrReplaceAll(escaped, {{" ", AbslView(kSpaceMark)}});
  Merger merger(vocabulary());
  for (size_t begin = 0; begin < escaped.size();) {
    const size_t end = WordEnd(escaped, begin);
    merger.Merge(std::string_view(escaped).substr(begin, end - begin), [&](std::string_view piece) {
      const TokenId id = vocabulary().Find(piece);
      if (id != kNoToken) {
        ids->push_back(id);
      } else {
        AppendBytes(piece, ids);
      }
    });
    begin = end;
  }
}

// A byte without a token of its own is unknown.
void SpmTokenizer::AppendBytes(std::string_view text, std::vector<TokenId>* ids) const {
  for (char c : text) {
    TokenId id = vocabulary().FindByteToken(static_cast<uint8_t>(c));
    if (id == kNoToken) id = vocabulary().Find(std::string_view(&c, 1));
    if (id == kNoToken) id = vocabulary().unknown;
    if (id != kNoToken) ids->push_back(id);
  }
}

}  // namespace hearth
