#include "engine/disk/read_speed.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/disk/disk_reader.h"
#include "engine/file/gguf_packed.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kMeasures{100};
constexpr size_t kDepth = 64;

}  // namespace

absl::StatusOr<double> MeasureRandomReads(const GgufFile& file, size_t part_bytes) {
  const uint64_t size = file.bytes().size();
  if (part_bytes == 0 || part_bytes >= size) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": ", size, " bytes have no parts of ", part_bytes, " at random places"));
  }
  DiskReaderOptions options{.depth = kDepth};
  options.buffer_bytes = std::max(options.buffer_bytes, part_bytes + 2 * kPackAlignment);
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<DiskReader> reader, DiskReader::Open(file, options));
  std::mt19937_64 random(1);
  uint64_t started = 0, done = 0;
  const Clock::time_point start = Clock::now();
  const auto took = [&] { return Clock::now() - start; };
  while (took() < kMeasures) {
    for (; reader->can_start(); ++started) reader->Start(random() % (size - part_bytes), part_bytes, 0);
    reader->Flush();
    HEARTH_RETURN_IF_ERROR(reader->Finish().status());
    ++done;
  }
  const double seconds = std::chrono::duration<double>(took()).count();
  const uint64_t measured = done;
  for (; done < started; ++done) HEARTH_RETURN_IF_ERROR(reader->Finish().status());
  return static_cast<double>(measured * part_bytes) / seconds;
}

}  // namespace hearth
