#include "engine/file/stored_zip.h"

#include <array>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/little_endian.h"

namespace hearth {
namespace {

// Signatures and sizes of the three kinds of header, without what varies.
constexpr uint32_t kEndSignature = 0x06054b50, kEntrySignature = 0x02014b50, kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22, kEntryBytes = 46, kLocalBytes = 30;
constexpr uint16_t kMaxEntries = 64;
constexpr uint16_t kEncrypted = 1;

absl::Status BadZip(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }

uint32_t Crc32(absl::Span<const uint8_t> bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// What the directory says of one entry.
struct Entry {
  std::string_view name;
  uint16_t flags = 0, method = 0;
  uint32_t crc = 0, stored_bytes = 0, bytes = 0, local_header = 0;
};

// Takes the entry in front off the directory.
absl::StatusOr<Entry> NextEntry(absl::Span<const uint8_t>& directory) {
  if (directory.size() < kEntryBytes || LoadLittle<uint32_t>(directory, 0) != kEntrySignature) {
    return BadZip("its directory is cut off");
  }
  const size_t name_bytes = LoadLittle<uint16_t>(directory, 28);
  const size_t all =
      kEntryBytes + name_bytes + LoadLittle<uint16_t>(directory, 30) + LoadLittle<uint16_t>(directory, 32);
  if (directory.size() < all) return BadZip("its directory is cut off");
  Entry entry;
  entry.name = {reinterpret_cast<const char*>(directory.data()) + kEntryBytes, name_bytes};
  entry.flags = LoadLittle<uint16_t>(directory, 8);
  entry.method = LoadLittle<uint16_t>(directory, 10);
  entry.crc = LoadLittle<uint32_t>(directory, 16);
  entry.stored_bytes = LoadLittle<uint32_t>(directory, 20);
  entry.bytes = LoadLittle<uint32_t>(directory, 24);
  entry.local_header = LoadLittle<uint32_t>(directory, 42);
  directory.remove_prefix(all);
  return entry;
}

// The data of an entry; `bytes` end where the directory begins.
absl::StatusOr<absl::Span<const uint8_t>> DataOf(const Entry& entry, absl::Span<const uint8_t> bytes) {
  const std::string name = Printable(AbslView(entry.name));
  if (entry.method != 0 || (entry.flags & kEncrypted) != 0 || entry.stored_bytes != entry.bytes) {
    return BadZip("its entry ", name, " is compressed or encrypted");
  }
  const uint64_t header = entry.local_header;
  if (header + kLocalBytes > bytes.size() || LoadLittle<uint32_t>(bytes, header) != kLocalSignature) {
    return BadZip("its entry ", name, " is not where the directory says");
  }
  const uint64_t begin = header + kLocalBytes + LoadLittle<uint16_t>(bytes, header + 26) +
                         LoadLittle<uint16_t>(bytes, header + 28);
  if (begin + entry.bytes > bytes.size()) return BadZip("its entry ", name, " is cut off");
  const absl::Span<const uint8_t> data = bytes.subspan(begin, entry.bytes);
  if (Crc32(data) != entry.crc) return BadZip("its entry ", name, " is damaged");
  return data;
}

}  // namespace

absl::StatusOr<std::map<std::string, absl::Span<const uint8_t>>> ReadStoredZip(
    absl::Span<const uint8_t> bytes) {
  if (bytes.size() < kEndBytes || LoadLittle<uint32_t>(bytes, bytes.size() - kEndBytes) != kEndSignature) {
    return BadZip("it is no zip archive, or cut off");
  }
  const absl::Span<const uint8_t> end = bytes.last(kEndBytes);
  const uint16_t entries = LoadLittle<uint16_t>(end, 10);
  const uint64_t directory_bytes = LoadLittle<uint32_t>(end, 12),
                 directory_begin = LoadLittle<uint32_t>(end, 16);
  if (entries > kMaxEntries) return BadZip("it has more than ", kMaxEntries, " entries");
  if (directory_begin + directory_bytes > bytes.size() - kEndBytes) return BadZip("its directory is cut off");
  absl::Span<const uint8_t> directory = bytes.subspan(directory_begin, directory_bytes);
  std::map<std::string, absl::Span<const uint8_t>> found;
  for (uint16_t i = 0; i < entries; ++i) {
    HEARTH_ASSIGN_OR_RETURN(const Entry entry, NextEntry(directory));
    HEARTH_ASSIGN_OR_RETURN(const absl::Span<const uint8_t> data,
                            DataOf(entry, bytes.first(directory_begin)));
    if (!found.emplace(entry.name, data).second) {
      return BadZip("two entries are called ", Printable(AbslView(entry.name)));
    }
  }
  return found;
}

}  // namespace hearth
