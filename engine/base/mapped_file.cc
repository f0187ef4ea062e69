#include "engine/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/fault_guard.h"
#include "engine/base/status_macros.h"

namespace hearth {

// The descriptor stays open, to ask for the state of the very file that is mapped.
class MappedFile::Mapping {
 public:
  Mapping(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    guard_.reset();
    if (data_ != nullptr) munmap(data_, size());
    close(fd_);
  }

  absl::Status Map() {
    if (fstat(fd_, &opened_) != 0) return Error("cannot examine ");
    if (S_ISDIR(opened_.st_mode)) return Refused(" is a directory; give the path of a file");
    if (!S_ISREG(opened_.st_mode)) return Refused(" is not a regular file; copy it to a disk first");
    if (opened_.st_size == 0) return Refused(" is empty; download or copy it again");
    void* data = mmap(nullptr, size(), PROT_READ, MAP_SHARED, fd_, 0);
    if (data == MAP_FAILED) return Error("cannot map ");
    data_ = data;
    HEARTH_ASSIGN_OR_RETURN(guard_, FaultGuard::Watch(data_, size()));
    return absl::OkStatus();
  }

  absl::Status CheckUnchanged() const {
    struct stat now;
    const bool same = fstat(fd_, &now) == 0 && now.st_size == opened_.st_size &&
                      now.st_mtim.tv_sec == opened_.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec;
    if (same && !guard_->faulted()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(path_, same ? " could not be read; check its disk"
                                                        : " was changed while it was in use; load it again"));
  }

  std::string Identity() const {
    return absl::StrCat(opened_.st_dev, "\n", opened_.st_ino, "\n", opened_.st_size, "\n",
                        opened_.st_mtim.tv_sec, ".", opened_.st_mtim.tv_nsec);
  }

  absl::StatusOr<int> OpenDescriptor(int flags) const {
    const int fd = open(absl::StrCat("/proc/self/fd/", fd_).c_str(), O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) return Error("cannot open ");
    return fd;
  }

  // Advice only.
  void DropCache() const { (void)posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

  const std::string& path() const { return path_; }
  absl::Span<const uint8_t> bytes() const { return {static_cast<const uint8_t*>(data_), size()}; }

 private:
  size_t size() const { return static_cast<size_t>(opened_.st_size); }
  absl::Status Error(const char* what) const { return absl::ErrnoToStatus(errno, absl::StrCat(what, path_)); }
  absl::Status Refused(const char* why) const { return absl::InvalidArgumentError(absl::StrCat(path_, why)); }

  const std::string path_;
  const int fd_;
  struct stat opened_ = {};
  void* data_ = nullptr;
  std::optional<FaultGuard> guard_;
};

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must be refused, not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  auto mapping = std::make_unique<Mapping>(path, fd);
  HEARTH_RETURN_IF_ERROR(mapping->Map());
  return MappedFile(std::move(mapping));
}

MappedFile::MappedFile(std::unique_ptr<const Mapping> mapping) : mapping_(std::move(mapping)) {}
MappedFile::MappedFile(MappedFile&& other) noexcept = default;
MappedFile& MappedFile::operator=(MappedFile&& other) noexcept = default;
MappedFile::~MappedFile() = default;

absl::Span<const uint8_t> MappedFile::bytes() const { return mapping_->bytes(); }
const std::string& MappedFile::path() const { return mapping_->path(); }
absl::Status MappedFile::CheckUnchanged() const { return mapping_->CheckUnchanged(); }
absl::StatusOr<int> MappedFile::OpenDescriptor(int flags) const { return mapping_->OpenDescriptor(flags); }
void MappedFile::DropCache() const { mapping_->DropCache(); }
std::string MappedFile::Identity() const { return mapping_->Identity(); }

void MappedFile::Release(absl::Span<const uint8_t> part) const {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const uintptr_t last = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (first >= last) return;
  // Advice only: when the kernel refuses it the pages stay resident, which is correct too.
  (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace hearth
