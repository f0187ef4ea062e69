#ifndef HEARTH_ENGINE_JINJA_RUN_H_
#define HEARTH_ENGINE_JINJA_RUN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/jinja/value.h"

namespace hearth::jinja {

// What one rendering may take at most; beyond it ends with RESOURCE_EXHAUSTED. The defaults are far above
// what the longest conversation needs and keep a hostile template below a few seconds and some hundred
// megabytes.
struct Limits {
  uint64_t steps = 20'000'000;             // about one per operation, and one per 64 bytes copied or compared
  size_t memory_bytes = size_t{64} << 20;  // of all values that live at a time
  size_t output_bytes = size_t{16} << 20;
  int depth = 500;  // expressions, statements and calls within one another
};

// What the parts of one rendering share: its limits, its clock, and the making of values. Outlives every
// value that was made with it. For one thread.
class Run {
 public:
  Run(Limits limits, absl::Time now, absl::TimeZone zone) : limits_(limits), now_(now), zone_(zone) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run();

  // RESOURCE_EXHAUSTED where `steps` more are too many; whether `bytes` more are too much memory.
  absl::Status Step(uint64_t steps = 1);
  absl::Status CheckMemory(size_t bytes) const;
  // For work that goes over `bytes` of text.
  absl::Status StepBytes(size_t bytes) { return Step(bytes / 64 + 1); }

  // Values that count against the memory, each with an error where that is used up or nesting is too deep.
  Result String(Text text);
  Result String(std::string_view text) { return String(Text(text)); }
  Result List(std::vector<Value> items, SequenceKind kind = SequenceKind::kList);
  // Of `step` != 0; the caller has checked the length.
  Result Range(int64_t start, int64_t stop, int64_t step, int64_t length);
  // Keys are unique.
  Result Dict(std::vector<std::pair<Value, Value>> entries);
  // An object that may take part in a ring; lives until the end of the rendering.
  template <typename T, typename... Parameters>
  std::shared_ptr<T> Make(Parameters&&... parameters) {
    auto object = std::make_shared<T>(std::forward<Parameters>(parameters)...);
    Keep(object);
    return object;
  }
  void Keep(std::shared_ptr<Object> object);

  // One more level of depth while it lives; `status` is an error where that is one too many.
  class Level {
   public:
    explicit Level(Run& run) : run_(run) { ++run_.depth_; }
    ~Level() { --run_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    absl::Status status() const;

   private:
    Run& run_;
  };

  const Limits& limits() const { return limits_; }
  absl::Time now() const { return now_; }
  absl::TimeZone zone() const { return zone_; }

 private:
  const Limits limits_;
  const absl::Time now_;
  const absl::TimeZone zone_;
  uint64_t steps_ = 0;
  int depth_ = 0;
  size_t memory_bytes_ = 0;
  std::vector<std::shared_ptr<Object>> objects_;
};

// The arguments of a call under the names that its function gives them, null where one is absent. An error
// names what is missing (of the first `required`), unknown or given twice.
absl::StatusOr<std::vector<const Value*>> Bind(std::string_view function, const Arguments& arguments,
                                               const std::vector<std::string_view>& names, size_t required);

// "what: message" for a wrong type or value.
absl::Status Fail(std::string message);

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_RUN_H_
