#ifndef HEARTH_CLIENT_LIBRARY_HTTP_ANSWER_H_
#define HEARTH_CLIENT_LIBRARY_HTTP_ANSWER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace hearth {

// What a web server says before the bytes; all pure.

struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // behind the last byte
  std::optional<uint64_t> total;
};
// Of "bytes 0-99/1000" or "bytes 0-99/*"; nullopt for anything else and for impossible numbers.
std::optional<ContentRange> ParseContentRange(std::string_view text);

struct HttpAnswer {
  uint32_t status = 0;
  std::optional<uint64_t> content_length;
  std::string content_range;
  std::string content_encoding;
  std::string etag;
  std::string last_modified;
  std::string link;

  // Takes one line of the head; a status line begins anew.
  void AddLine(std::string_view line);
  // What If-Range may ask for: a strong ETag, else the time of the last change; empty: nothing.
  std::string Validator() const;
};

// What is to be done about a request that has ended.
struct HttpEnd {
  enum Kind {
    kDone,         // all has come
    kAgain,        // a later try may do better
    kUnreachable,  // the same, but where nobody has answered yet the address is likelier to be wrong
    kFailed,
  };
  Kind kind = kDone;
  absl::Status status;        // what is wrong; without the URL
  uint64_t wait_seconds = 0;  // before a later try: what the server asks for
};

// How an answer ends that is neither 200 nor 206. `retry_after_seconds`: 0 where the server asks for nothing.
HttpEnd EndOfRefusal(uint32_t status, uint64_t retry_after_seconds, bool has_token);

// When to try again; pure.
class Retries {
 public:
  static constexpr uint64_t kLongestWaitSeconds = 60;

  // `most`: tries in a row that may fail, after the first one.
  explicit Retries(uint32_t most) : most_(most) {}

  // How long to wait before the next try: half a second, then twice as long each time, or what was asked for;
  // nullopt: no further try.
  std::optional<double> WaitSeconds(uint64_t asked_seconds);
  // So many bytes have come. After some of them failures are counted from the beginning.
  void Succeeded(uint64_t bytes);

 private:
  uint32_t most_;
  uint32_t failed_ = 0;
  uint64_t bytes_ = 0;  // since the last failure
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_HTTP_ANSWER_H_
