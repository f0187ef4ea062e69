#ifndef HEARTH_TESTS_ENGINE_DISK_SCRIPTED_QUEUE_H_
#define HEARTH_TESTS_ENGINE_DISK_SCRIPTED_QUEUE_H_

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "engine/disk/read_queue.h"

namespace hearth {

// A disk in memory. `script`, asked for every read by its number, says how many bytes of it come, or gives a
// negative errno; reads are done in any order that `pick` gives (the first by default).
class ScriptedQueue : public ReadQueue {
 public:
  using Script = std::function<ssize_t(size_t number, size_t wanted)>;
  using Pick = std::function<size_t(size_t waiting)>;
  explicit ScriptedQueue(const std::vector<uint8_t>& disk, Script script = {}, Pick pick = {})
      : disk_(disk), script_(std::move(script)), pick_(std::move(pick)) {}

  void Submit(size_t buffer, uint64_t offset, absl::Span<uint8_t> to) override {
    waiting_.push_back({buffer, offset, to});
  }
  void Flush() override {}
  ReadResult Wait() override {
    const size_t at = pick_ ? pick_(waiting_.size()) : 0;
    const Read read = waiting_[at];
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(at));
    const size_t there = disk_.size() - std::min<size_t>(disk_.size(), read.offset);
    ssize_t bytes = static_cast<ssize_t>(std::min(there, read.to.size()));
    if (script_) bytes = std::min(bytes, script_(done_, read.to.size()));
    ++done_;
    if (bytes > 0) std::memcpy(read.to.data(), disk_.data() + read.offset, static_cast<size_t>(bytes));
    return {read.buffer, bytes};
  }

 private:
  struct Read {
    size_t buffer;
    uint64_t offset;
    absl::Span<uint8_t> to;
  };
  const std::vector<uint8_t>& disk_;
  const Script script_;
  const Pick pick_;
  std::deque<Read> waiting_;
  size_t done_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_DISK_SCRIPTED_QUEUE_H_
