#ifndef HEARTH_DAEMON_SCHEDULING_TEXT_STREAM_H_
#define HEARTH_DAEMON_SCHEDULING_TEXT_STREAM_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/tokenizer.h"

namespace hearth {

// Finds stop strings in text that comes in pieces. The result does not depend on where the pieces are cut:
// the stop string that is complete first counts, the longest one where several are complete at the same
// character.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // The text that is certain not to belong to a stop string; the rest is held back. After a match: what came
  // before it, and nothing from then on.
  std::string Push(std::string_view text);
  // What is still held back at the end.
  std::string Flush();
  // The stop string that was met, or null.
  const std::string* matched() const { return matched_ ? &stops_[*matched_] : nullptr; }

 private:
  size_t HeldBack() const;  // length of the longest end of held_ that begins a stop string

  std::vector<std::string> stops_;
  std::string held_;
  std::optional<size_t> matched_;
};

// Turns generated tokens into the text that may be shown: whole UTF-8 characters, without stop strings.
class TextStream {
 public:
  // `tokenizer` outlives this. Control tokens give nothing but for those that are `shown`: their names.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops, std::vector<TokenId> shown = {})
      : tokenizer_(tokenizer),
        decoder_(tokenizer, /*at_start_of_text=*/false),
        matcher_(std::move(stops)),
        shown_(std::move(shown)) {}

  // The text that may be sent once the token is there.
  std::string Push(TokenId token);
  // The end without a stop string: all that was held back. A stop string that only becomes complete here
  // still counts.
  std::string Flush() {
    std::string text = matcher_.Push(decoder_.Flush());
    return text + matcher_.Flush();
  }
  const std::string* matched_stop() const { return matcher_.matched(); }

 private:
  const Tokenizer& tokenizer_;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  const std::vector<TokenId> shown_;
};

// The text with U+FFFD in place of bytes that are no UTF-8: messages may carry nothing else.
std::string ToValidUtf8(std::string_view bytes);

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_TEXT_STREAM_H_
