#include "daemon/scheduling/text_stream.h"

#include <algorithm>
#include <utility>

#include "engine/token/unicode.h"

namespace hearth {

std::string StopMatcher::Push(std::string_view text) {
  if (matched_) return "";
  held_.append(text);
  size_t best_end = std::string::npos;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const size_t start = held_.find(stops_[i]);
    if (start == std::string::npos) continue;
    const size_t end = start + stops_[i].size();
    const bool longer = matched_ && end == best_end && stops_[i].size() > stops_[*matched_].size();
    if (!matched_ || end < best_end || longer) {
      matched_ = i;
      best_end = end;
    }
  }
  const size_t certain = matched_ ? best_end - stops_[*matched_].size() : held_.size() - HeldBack();
  std::string result = held_.substr(0, certain);
  held_ = matched_ ? "" : held_.substr(certain);
  return result;
}

size_t StopMatcher::HeldBack() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
      if (held_.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return longest;
}

std::string StopMatcher::Flush() { return std::exchange(held_, ""); }

std::string TextStream::Push(TokenId token) {
  if (std::find(shown_.begin(), shown_.end(), token) == shown_.end())
    return matcher_.Push(decoder_.Push(token));
  return matcher_.Push(decoder_.Flush() + tokenizer_.TokenBytes(token, /*special=*/true));
}

std::string ToValidUtf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    bool truncated = false;
    const size_t valid = ValidUtf8Length(bytes, &truncated);
    text.append(valid > 0 ? bytes.substr(0, valid) : "\uFFFD");
    bytes.remove_prefix(valid > 0 ? valid : InvalidUtf8Length(bytes));
  }
  return text;
}

}  // namespace hearth
