#ifndef HEARTH_TESTS_DAEMON_OPENAI_STREAM_EVENTS_H_
#define HEARTH_TESTS_DAEMON_OPENAI_STREAM_EVENTS_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace hearth {

// The server-sent events of a stream; "[DONE]" is null. Fails the test where they have another shape.
inline std::vector<nlohmann::json> StreamEvents(const std::string& stream) {
  EXPECT_TRUE(stream.empty() || stream.ends_with("\n\n")) << stream;
  std::vector<nlohmann::json> events;
  for (absl::string_view event : absl::StrSplit(stream, "\n\n", absl::SkipEmpty())) {
    if (absl::StartsWith(event, "id: ")) event.remove_prefix(event.find('\n') + 1);
    EXPECT_TRUE(absl::ConsumePrefix(&event, "data: ")) << event;
    events.push_back(event == "[DONE]" ? nlohmann::json() : nlohmann::json::parse(std::string(event)));
  }
  return events;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_OPENAI_STREAM_EVENTS_H_
