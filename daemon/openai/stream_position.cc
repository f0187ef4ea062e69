#include "daemon/openai/stream_position.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/sample/sampler.h"

namespace hearth {
namespace {

constexpr size_t kKeyLetters = 32;

bool IsKey(absl::string_view text) {
  return text.size() == kKeyLetters &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
}

}  // namespace

StreamPosition StreamPosition::New(size_t choices) {
  StreamPosition position;
  position.key_ =
      absl::StrCat(absl::Hex(RandomSeed(), absl::kZeroPad16), absl::Hex(RandomSeed(), absl::kZeroPad16));
  position.places_.resize(choices);
  return position;
}

absl::StatusOr<StreamPosition> StreamPosition::Parse(absl::string_view id, size_t choices) {
  const absl::Status wrong = absl::InvalidArgumentError(
      "Last-Event-ID is no id of a stream of this request: send the id that came last, with the request's "
      "own body");
  const std::vector<absl::string_view> parts = absl::StrSplit(id, absl::MaxSplits('.', kMaxChoices + 1));
  if (!IsKey(parts[0]) || parts.size() != choices + 1 || choices > kMaxChoices) return wrong;
  StreamPosition position;
  position.key_ = std::string(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    Place& place = position.places_.emplace_back();
    absl::string_view number = parts[i];
    place.ended = absl::ConsumeSuffix(&number, "e");
    const bool digits = !number.empty() && std::all_of(number.begin(), number.end(), absl::ascii_isdigit);
    if (!digits || !absl::SimpleAtoi(number, &place.offset)) return wrong;
  }
  return position;
}

std::string StreamPosition::Text() const {
  std::string text = key_;
  for (const Place& place : places_) absl::StrAppend(&text, ".", place.offset, place.ended ? "e" : "");
  return text;
}

std::string StreamPosition::RequestId(size_t choice) const { return absl::StrCat(key_, "-", choice); }

std::string WithEventId(std::string lines, const StreamPosition& position) {
  constexpr char kBetween[] = "\n\ndata: ";
  const size_t found = lines.rfind(kBetween);
  lines.insert(found == std::string::npos ? 0 : found + 2, absl::StrCat("id: ", position.Text(), "\n"));
  return lines;
}

}  // namespace hearth
