#include "engine/base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/file_descriptor.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status Refused(const std::string& path, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("cannot write ", path, ": ", why));
}

// Folders that are only entered need no permission to be listed, so they cannot always be opened and flushed;
// then the new name is as safe as the system makes it by itself.
void FlushFolder(const std::string& path) {
  const int folder = open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

// Moves `from` to `to`, over nothing that is there. File systems without such a move get a link.
int RenameToNew(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  if (link(from.c_str(), to.c_str()) != 0) return -1;
  return unlink(from.c_str());
}

}  // namespace

absl::Status OutputFile::Check(const std::string& path, Replace replace) {
  if (path.empty()) return absl::InvalidArgumentError("the path of the file to write is empty; give one");
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
    if (path.back() == '/') return Refused(path, "it ends with a slash; give the path of a file");
  } else if (S_ISDIR(info.st_mode)) {
    return Refused(path, "it is a directory; give the path of a file in it");
  } else if (S_ISLNK(info.st_mode)) {
    return Refused(path, "it is a symbolic link; give the path of a file");
  } else if (!S_ISREG(info.st_mode)) {
    return Refused(path, "it is a device, pipe or socket; give the path of a file");
  } else if (replace != Replace::kRegularFile) {
    return absl::AlreadyExistsError(absl::StrCat("cannot write ", path,
                                                 ": the file exists; choose another name",
                                                 replace == Replace::kIfForced ? " or add --force" : ""));
  }
  if (access(FolderOf(path).c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
}

absl::Status OutputFile::CheckIsNot(const std::string& path, const std::string& input) {
  struct stat output_info, input_info;
  if (stat(path.c_str(), &output_info) != 0 || stat(input.c_str(), &input_info) != 0) return absl::OkStatus();
  if (output_info.st_dev != input_info.st_dev || output_info.st_ino != input_info.st_ino)
    return absl::OkStatus();
  return Refused(path, "it is the file that is read; choose another name");
}

absl::StatusOr<OutputFile> OutputFile::Create(const std::string& path, Replace replace, unsigned mode) {
  HEARTH_RETURN_IF_ERROR(Check(path, replace));
  // Not made from the file's own name, which may be as long as names can be.
  static std::atomic<uint64_t> counter = 0;
  OutputFile file(path, replace);
  do {
    file.temporary_ = absl::StrCat(FolderOf(path), "/.hearth-", getpid(), "-", ++counter, ".partial");
    file.fd_ = open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  } while (file.fd_ < 0 && errno == EEXIST);
  if (file.fd_ >= 0) return file;
  file.temporary_.clear();
  return file.Failure();
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      replace_(other.replace_),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  replace_ = other.replace_;
  temporary_ = std::exchange(other.temporary_, {});
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

OutputFile::~OutputFile() { Discard(); }

absl::Status OutputFile::Write(absl::Span<const uint8_t> bytes) {
  return WriteAll(fd_, bytes) ? absl::OkStatus() : Failure();
}

absl::Status OutputFile::Write(std::string_view text) {
  return Write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

absl::Status OutputFile::Commit() {
  // Some file systems tell only now that the disk is full.
  if (fsync(fd_) != 0 || close(std::exchange(fd_, -1)) != 0) return Failure();
  HEARTH_RETURN_IF_ERROR(Place(temporary_, path_, replace_));
  temporary_.clear();
  return absl::OkStatus();
}

absl::Status OutputFile::Place(const std::string& from, const std::string& path, Replace replace) {
  HEARTH_RETURN_IF_ERROR(Check(path, replace));
  const bool replaces = replace == Replace::kRegularFile;
  const int moved = replaces ? rename(from.c_str(), path.c_str()) : RenameToNew(from, path);
  if (moved != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
  FlushFolder(path);
  return absl::OkStatus();
}

absl::Status OutputFile::Failure() const {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path_));
}

void OutputFile::Discard() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  if (!temporary_.empty()) unlink(std::exchange(temporary_, {}).c_str());
}

absl::Status WriteFile(const std::string& path, std::string_view text, Replace replace, unsigned mode) {
  HEARTH_ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path, replace, mode));
  HEARTH_RETURN_IF_ERROR(file.Write(text));
  return file.Commit();
}

}  // namespace hearth
