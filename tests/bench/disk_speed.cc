// How fast a disk gives parts of a file, read as neurons are: disk_speed FILE BYTES prints reads per second
// of parts of so many bytes at random places, and bytes per second front to back.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "engine/disk/disk_reader.h"
#include "engine/file/gguf.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSeconds = 2;

struct Speed {
  double reads_per_s = 0;
  double bytes_per_s = 0;
};

// Keeps the queue full with parts that `next` places.
template <class Next>
Speed Measure(const GgufFile& file, const DiskReaderOptions& options, size_t bytes, Next next) {
  const std::unique_ptr<DiskReader> reader = DiskReader::Open(file, options).value();
  const Clock::time_point start = Clock::now();
  double seconds = 0;
  uint64_t done = 0;
  for (; seconds < kSeconds; ++done) {
    while (reader->can_start()) reader->Start(next(), bytes, 0);
    reader->Flush();
    if (const auto read = reader->Finish(); !read.ok()) std::exit(1);
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  const double reads = static_cast<double>(done) / seconds;
  return {reads, reads * static_cast<double>(bytes)};
}

int Main(const char* path, size_t bytes) {
  const auto file = GgufFile::Open(path);
  if (!file.ok()) {
    std::fprintf(stderr, "%s\n", std::string(file.status().message()).c_str());
    return 1;
  }
  const uint64_t size = (*file)->bytes().size();
  std::mt19937_64 random(1);
  std::printf("{");
  for (const size_t depth : {4, 16, 64}) {
    const DiskReaderOptions options = {.depth = depth,
                                       .buffer_bytes = std::max<size_t>(bytes + 8192, 1 << 17)};
    const Speed speed = Measure(**file, options, bytes, [&] { return random() % (size - bytes); });
    std::printf("\"random_reads_per_second_depth_%zu\": %.0f, ", depth, speed.reads_per_s);
  }
  uint64_t at = 0;
  const DiskReaderOptions options;
  const size_t part = options.buffer_bytes - 8192;
  const Speed speed = Measure(**file, options, part, [&] {
    at = at + 2 * part > size ? 0 : at + part;
    return at;
  });
  std::printf("\"part_bytes\": %zu, \"sequential_bytes_per_second\": %.0f}\n", bytes, speed.bytes_per_s);
  return 0;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: disk_speed FILE BYTES\n");
    return 2;
  }
  return hearth::Main(argv[1], std::strtoull(argv[2], nullptr, 10));
}
