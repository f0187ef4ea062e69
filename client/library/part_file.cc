#include "client/library/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/library/bytes_text.h"
#include "engine/base/checked.h"
#include "engine/base/checksum.h"
#include "engine/base/output_file.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// At the end of the file: the checksum of what follows as 16 digits, JSON, blanks.
constexpr size_t kRecordBytes = 4096;
constexpr size_t kChecksumDigits = 16;

std::string ChecksumText(const std::string& text) {
  return absl::StrFormat("%016x", Checksum({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
}

// What root fetches into the folder of the service is the service's.
void GiveToOwnerOfFolder(int fd, const std::string& path) {
  struct stat folder;
  if (geteuid() != 0 || stat(std::filesystem::path(path).parent_path().c_str(), &folder) != 0) return;
  [[maybe_unused]] const int given = fchown(fd, folder.st_uid, folder.st_gid);
}

// Whether `path` is still the file that is open: whoever had it locked may have moved it to its place.
bool IsStill(const std::string& path, int fd) {
  struct stat here, open;
  return stat(path.c_str(), &here) == 0 && fstat(fd, &open) == 0 && here.st_dev == open.st_dev &&
         here.st_ino == open.st_ino;
}

}  // namespace

absl::StatusOr<PartFile> PartFile::Open(const std::string& path) {
  for (;;) {
    if (std::error_code error; std::filesystem::exists(std::filesystem::symlink_status(path, error))) {
      return absl::AlreadyExistsError(absl::StrCat(path, " is there already"));
    }
    const std::string part_path = path + ".part";
    const int fd = open(part_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", part_path));
    PartFile file(path, fd);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot write ", part_path, ": it is no regular file; remove it"));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return absl::UnavailableError(absl::StrCat("another hearth pull is fetching ", path, "; wait for it"));
    }
    if (IsStill(part_path, fd)) {
      GiveToOwnerOfFolder(fd, path);
      return file;
    }
  }
}

PartFile::PartFile(PartFile&& other) noexcept
    : path_(std::move(other.path_)),
      part_path_(std::move(other.part_path_)),
      fd_(std::exchange(other.fd_, -1)) {}

PartFile::~PartFile() {
  if (fd_ >= 0) close(fd_);
}

std::optional<PartFile::Record> PartFile::ReadRecord() const {
  struct stat info;
  if (fstat(fd_, &info) != 0 || info.st_size < static_cast<off_t>(kRecordBytes)) return std::nullopt;
  const off_t at = info.st_size - static_cast<off_t>(kRecordBytes);
  std::string text(kRecordBytes, '\0');
  if (pread(fd_, text.data(), text.size(), at) != static_cast<ssize_t>(text.size())) return std::nullopt;
  const std::string content = text.substr(kChecksumDigits);
  if (text.substr(0, kChecksumDigits) != ChecksumText(content)) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false);
  // Past the checksum it is what Save wrote, of this version or another.
  try {
    Record record{json.at("identity").get<std::string>(), json.at("validator").get<std::string>(),
                  json.at("bytes").get<uint64_t>(), json.at("done").get<std::vector<uint64_t>>()};
    if (record.bytes == static_cast<uint64_t>(at)) return record;
  } catch (const nlohmann::json::exception&) {
  }
  return std::nullopt;
}

absl::Status PartFile::Reserve(uint64_t bytes) {
  const std::optional<uint64_t> all = CheckedAdd<uint64_t>(bytes, kRecordBytes);
  if (!all || *all > static_cast<uint64_t>(INT64_MAX)) {
    return absl::InvalidArgumentError(absl::StrCat("a file of ", bytes, " bytes cannot be"));
  }
  if (ftruncate(fd_, 0) != 0) return Failure();
  HEARTH_RETURN_IF_ERROR(CheckRoom(std::filesystem::path(path_).parent_path(), *all));
  if (fallocate(fd_, 0, 0, static_cast<off_t>(*all)) == 0) return absl::OkStatus();
  if (errno != EOPNOTSUPP && errno != ENOSYS) return Failure();
  return ftruncate(fd_, static_cast<off_t>(*all)) == 0 ? absl::OkStatus() : Failure();
}

absl::Status PartFile::Write(uint64_t at, absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure();
    at += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

void PartFile::WriteBehind(uint64_t at, uint64_t bytes) {
  // Where a file system does not know it, Commit has more to wait for.
  sync_file_range(fd_, static_cast<off64_t>(at), static_cast<off64_t>(bytes), SYNC_FILE_RANGE_WRITE);
}

absl::Status PartFile::Save(const Record& record) {
  if (fdatasync(fd_) != 0) return Failure();
  std::string content = nlohmann::json{
      {"identity", record.identity},
      {"validator", record.validator},
      {"bytes", record.bytes},
      {"done", record.done}}.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (content.size() > kRecordBytes - kChecksumDigits)
    return absl::InternalError("the record of what has come is too long");
  content.resize(kRecordBytes - kChecksumDigits, ' ');
  const std::string text = ChecksumText(content) + content;
  return Write(record.bytes, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

absl::Status PartFile::Commit(uint64_t bytes) {
  if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0 || fsync(fd_) != 0) return Failure();
  return OutputFile::Place(part_path_, path_, Replace::kNever);
}

void PartFile::Remove() { unlink(part_path_.c_str()); }

absl::Status PartFile::Failure() const {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", part_path_));
}

absl::Status CheckRoom(const std::string& folder, uint64_t bytes) {
  struct statvfs disk;
  if (statvfs(folder.empty() ? "." : folder.c_str(), &disk) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot write into ", folder));
  }
  const uint64_t free_bytes = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free_bytes >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      folder, " has ", BytesText(free_bytes), " left, ", BytesText(bytes - free_bytes), " less than the ",
      BytesText(bytes), " that are needed; make room, or choose another folder with --to"));
}

}  // namespace hearth
