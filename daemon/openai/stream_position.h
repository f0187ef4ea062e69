#ifndef HEARTH_DAEMON_OPENAI_STREAM_POSITION_H_
#define HEARTH_DAEMON_OPENAI_STREAM_POSITION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hearth {

// How far a stream of server-sent events has come: the `id:` of its events, which a client gives back as
// Last-Event-ID. "KEY.OFFSET.OFFSET...": what the requests of its choices are called, and how many tokens of
// each have been sent; an "e" behind the number where its end was as well.
class StreamPosition {
 public:
  // Most choices that a stream with positions has.
  static constexpr size_t kMaxChoices = 16;

  // The beginning of a stream.
  static StreamPosition New(size_t choices);
  // INVALID_ARGUMENT where it is no id of a stream of so many choices.
  static absl::StatusOr<StreamPosition> Parse(absl::string_view id, size_t choices);

  std::string Text() const;
  // The request_id of a choice's request.
  std::string RequestId(size_t choice) const;
  uint32_t offset(size_t choice) const { return places_[choice].offset; }
  bool ended(size_t choice) const { return places_[choice].ended; }

  void Advance(size_t choice, uint32_t offset) { places_[choice].offset = offset; }
  void End(size_t choice) { places_[choice].ended = true; }

 private:
  struct Place {
    uint32_t offset = 0;
    bool ended = false;
  };
  std::string key_;
  std::vector<Place> places_;
};

// The events `lines` with the id at the last of them: what a client has of others comes again.
std::string WithEventId(std::string lines, const StreamPosition& position);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_STREAM_POSITION_H_
