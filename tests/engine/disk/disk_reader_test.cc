#include "engine/disk/disk_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "tests/engine/disk/file_of.h"
#include "tests/engine/disk/scripted_queue.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr size_t kSector = 512;
constexpr DiskReaderOptions kSmall = {.depth = 4, .buffer_bytes = 16384};

struct Part {
  uint64_t offset;
  size_t bytes;
};

// Reads the parts, as many at a time as go, and compares them with what the file holds from `base` on.
void ExpectParts(DiskReader& reader, const std::vector<uint8_t>& expected, uint64_t base,
                 const std::vector<Part>& parts) {
  size_t started = 0, done = 0;
  for (; done < parts.size(); ++done) {
    for (; started < parts.size() && reader.can_start(); ++started)
      reader.Start(base + parts[started].offset, parts[started].bytes, started);
    const auto read = reader.Finish();
    ASSERT_TRUE(read.ok()) << read.status();
    const Part& part = parts[read->tag];
    ASSERT_EQ(read->bytes.size(), part.bytes);
    EXPECT_EQ(std::vector<uint8_t>(read->bytes.begin(), read->bytes.end()),
              std::vector<uint8_t>(expected.begin() + static_cast<ptrdiff_t>(part.offset),
                                   expected.begin() + static_cast<ptrdiff_t>(part.offset + part.bytes)));
  }
}

const std::vector<Part> kParts = {{0, 1},        {1, 511},     {511, 2},     {4095, 4098},
                                  {12345, 6912}, {100, 15000}, {50000, 777}, {99999, 1},
                                  {0, 4096},     {65536, 512}, {98000, 2000}};

TEST(DiskReaderTest, PartsOfAFileAreReadByTheKernelsQueueAndByThreads) {
  const std::vector<uint8_t> bytes = Pattern(100000);
  const FileOf on_disk(bytes);
  for (const bool io_uring : {true, false}) {
    DiskReaderOptions options = kSmall;
    options.io_uring = io_uring;
    const auto reader = DiskReader::Open(*on_disk.file, options);
    ASSERT_TRUE(reader.ok()) << reader.status();
    ExpectParts(**reader, bytes, on_disk.offset, kParts);
    EXPECT_GE((*reader)->bytes_read(), 30000u);
    EXPECT_EQ((*reader)->reads(), kParts.size());
  }
}

TEST(DiskReaderTest, ReaderThatEndsWhileReadsAreOnTheirWayWaitsForThem) {
  const FileOf on_disk(Pattern(100000));
  for (const bool io_uring : {true, false}) {
    DiskReaderOptions options = kSmall;
    options.io_uring = io_uring;
    const std::unique_ptr<DiskReader> reader = DiskReader::Open(*on_disk.file, options).value();
    for (uint64_t i = 0; i < 4; ++i) reader->Start(i * 10000, 10000, i);
    reader->Flush();
  }
}

TEST(DiskReaderTest, FileIsReadOnUnderItsOldNameWhenAnotherTakesItsPlace) {
  const std::vector<uint8_t> bytes = Pattern(100000);
  const FileOf on_disk(bytes);
  std::filesystem::rename(on_disk.path, on_disk.path + ".old");
  const FileOf other(std::vector<uint8_t>(100000));
  const std::unique_ptr<DiskReader> reader = DiskReader::Open(*on_disk.file, kSmall).value();
  ExpectParts(*reader, bytes, on_disk.offset, kParts);
}

TEST(DiskReaderTest, FileThatIsCutShortIsDataLoss) {
  const FileOf on_disk(Pattern(100000));
  const std::unique_ptr<DiskReader> reader = DiskReader::Open(*on_disk.file, kSmall).value();
  std::filesystem::resize_file(on_disk.path, 60000);
  reader->Start(on_disk.offset + 59000, 5000, 1);
  const auto read = reader->Finish();
  EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(read.status().message(), HasSubstr("was cut short while it was in use"));
}

std::unique_ptr<DiskReader> Scripted(const std::vector<uint8_t>& disk, ScriptedQueue::Script script,
                                     ScriptedQueue::Pick pick = {}) {
  return DiskReader::Make("disk", kSmall, kSector,
                          [&](absl::Span<uint8_t>) {
                            return std::make_unique<ScriptedQueue>(disk, std::move(script), std::move(pick));
                          })
      .value();
}

TEST(DiskReaderTest, ShortReadsAreGoneOnWith) {
  const std::vector<uint8_t> disk = Pattern(100000);
  const auto reader = Scripted(disk, [](size_t number, size_t wanted) {
    return static_cast<ssize_t>(wanted > kSector ? wanted / 2 + number % 3 : wanted);
  });
  ExpectParts(*reader, disk, 0, kParts);
  EXPECT_GT(reader->reads(), kParts.size());
}

TEST(DiskReaderTest, ReadsComeInAnyOrder) {
  const std::vector<uint8_t> disk = Pattern(100000);
  const auto reader = Scripted(disk, {}, [](size_t waiting) { return waiting - 1; });
  ExpectParts(*reader, disk, 0, kParts);
}

TEST(DiskReaderTest, FailedReadNamesFileAndReason) {
  const std::vector<uint8_t> disk = Pattern(100000);
  const auto reader = Scripted(
      disk, [](size_t number, size_t wanted) { return number == 1 ? -EIO : static_cast<ssize_t>(wanted); });
  reader->Start(0, 100, 0);
  reader->Start(1000, 100, 1);
  EXPECT_TRUE(reader->Finish().ok());
  const auto failed = reader->Finish();
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(failed.status().message(), HasSubstr("cannot read disk: Input/output error"));
}

TEST(DiskReaderTest, DiskThatGivesNothingIsNotAskedForEver) {
  const std::vector<uint8_t> disk = Pattern(100000);
  for (const ssize_t bytes : {0, 1, 100}) {
    const auto reader = Scripted(disk, [bytes](size_t, size_t) { return bytes; });
    reader->Start(0, 5000, 0);
    EXPECT_EQ(reader->Finish().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(DiskReaderOptionsTest, BuffersAreASmallShareOfTheBudgetAndHoldTheLargestPart) {
  const DiskReaderOptions large = DiskReaderOptions::For(7000, uint64_t{2} << 30);
  EXPECT_EQ(large.depth, 128u);
  EXPECT_EQ(large.buffer_bytes, size_t{64} << 10);
  const DiskReaderOptions small = DiskReaderOptions::For(400, 1000000);
  EXPECT_LE(small.depth * small.buffer_bytes, 100000u);
  EXPECT_GE(DiskReaderOptions::For(300000, 1000000).buffer_bytes, 308192u);
}

}  // namespace
}  // namespace hearth
