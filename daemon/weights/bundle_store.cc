#include "daemon/weights/bundle_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/weights/file_hash.h"
#include "engine/base/file_descriptor.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// Written instead where a disk cannot be asked for room.
constexpr size_t kProbeBytes = 64 << 10;

absl::Status DiskError(const std::string& what, const std::string& path, int error = errno) {
  return absl::FailedPreconditionError(
      absl::StrCat("cache: cannot ", what, " ", path, ": ", std::strerror(error)));
}

// Makes a rename in the directory durable.
void SyncDirectory(const std::string& path) {
  const FileDescriptor directory(path, O_RDONLY | O_DIRECTORY);
  if (directory.ok()) ::fsync(directory.get());
}

// The time as files have it.
int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool IsHexDigest(const std::string& name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BundleStore>> BundleStore::Open(const std::string& dir, uint64_t max_bytes) {
  auto store = std::unique_ptr<BundleStore>(new BundleStore(dir, max_bytes));
  HEARTH_RETURN_IF_ERROR(store->Scan());
  return store;
}

BundleStore::BundleStore(std::string dir, uint64_t max_bytes) : dir_(std::move(dir)), max_bytes_(max_bytes) {}

std::string BundleStore::EntryPath(const std::string& hex) const {
  return absl::StrCat(dir_, "/sha256/", hex.substr(0, 2), "/", hex);
}

std::string BundleStore::PartialPath(const std::string& hex) const {
  return absl::StrCat(dir_, "/partial/", hex);
}

absl::Status BundleStore::Scan() {
  std::error_code error;
  fs::create_directories(dir_ + "/sha256", error);
  if (!error) fs::create_directories(dir_ + "/partial", error);
  if (error) return absl::UnavailableError(absl::StrCat("cache: cannot make ", dir_, ": ", error.message()));
  auto it = fs::recursive_directory_iterator(dir_ + "/sha256", error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    struct stat info;
    if (!IsHexDigest(name) || ::stat(it->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    entries_[name] = {static_cast<uint64_t>(info.st_size),
                      info.st_mtim.tv_sec * 1000000000LL + info.st_mtim.tv_nsec};
    stored_bytes_ += static_cast<uint64_t>(info.st_size);
  }
  if (error) return absl::UnavailableError(absl::StrCat("cache: cannot read ", dir_, ": ", error.message()));
  return absl::OkStatus();
}

void BundleStore::Protect(const std::vector<Sha256Digest>& bundles) {
  protected_.clear();
  for (const Sha256Digest& sha256 : bundles) protected_.insert(Sha256Hex(sha256));
}

bool BundleStore::Has(const Sha256Digest& sha256, uint64_t bytes) const {
  const auto found = entries_.find(Sha256Hex(sha256));
  return found != entries_.end() && found->second.bytes == bytes;
}

absl::StatusOr<std::vector<uint8_t>> BundleStore::Read(const Sha256Digest& sha256, uint64_t bytes) {
  const std::string hex = Sha256Hex(sha256);
  const auto found = entries_.find(hex);
  if (found == entries_.end()) return absl::NotFoundError(absl::StrCat("cache: no bundle ", hex));
  if (found->second.bytes == bytes) {
    const FileDescriptor file(EntryPath(hex), O_RDONLY);
    std::vector<uint8_t> data(bytes);
    if (file.ok() && ReadAll(file.get(), absl::MakeSpan(data)) && Sha256Of(data) == sha256) {
      ::futimens(file.get(), nullptr);  // for the order in which entries go
      found->second.last_use_ns = NowNs();
      if (!found->second.fetched) ++counters_.cached_bundles;
      return data;
    }
  }
  Discard(hex);
  ++counters_.discarded_bundles;
  return absl::NotFoundError(absl::StrCat("cache: bundle ", hex, " was damaged and is thrown away"));
}

uint64_t BundleStore::PartialBytes(const Sha256Digest& sha256) const {
  struct stat info;
  if (::stat(PartialPath(Sha256Hex(sha256)).c_str(), &info) != 0) return 0;
  return static_cast<uint64_t>(info.st_size);
}

absl::Status BundleStore::Append(const Sha256Digest& sha256, uint64_t offset,
                                 absl::Span<const uint8_t> data) {
  const std::string hex = Sha256Hex(sha256);
  const std::string path = PartialPath(hex);
  if (offset != PartialBytes(sha256)) {
    return absl::InvalidArgumentError(absl::StrCat("cache: bytes of bundle ", hex, " from ", offset,
                                                   " on, but ", PartialBytes(sha256), " bytes are here"));
  }
  HEARTH_RETURN_IF_ERROR(MakeRoom(offset + data.size()));
  const FileDescriptor file(path, O_WRONLY | O_CREAT | O_APPEND);
  if (!file.ok() || !WriteAll(file.get(), data)) return DiskError("write", path);
  counters_.fetched_bytes += data.size();
  return absl::OkStatus();
}

absl::Status BundleStore::Finish(const Sha256Digest& sha256, uint64_t bytes) {
  const std::string hex = Sha256Hex(sha256);
  const std::string partial = PartialPath(hex);
  {
    const FileDescriptor file(partial, O_RDWR);
    if (!file.ok()) return DiskError("open", partial);
    Sha256 sha;
    if (!HashFile(file.get(), bytes, sha) || sha.Finish() != sha256) {
      ::unlink(partial.c_str());
      ++counters_.discarded_bundles;
      return absl::DataLossError(absl::StrCat("bundle ", hex, " arrived damaged; it will be fetched again"));
    }
    if (::fsync(file.get()) != 0) return DiskError("write", partial);
  }
  const std::string path = EntryPath(hex);
  const std::string directory = fs::path(path).parent_path().string();
  std::error_code error;
  fs::create_directories(directory, error);
  if (error || ::rename(partial.c_str(), path.c_str()) != 0) return DiskError("make", path);
  SyncDirectory(directory);
  entries_[hex] = {bytes, NowNs(), true};
  stored_bytes_ += bytes;
  ++counters_.fetched_bundles;
  return absl::OkStatus();
}

absl::Status BundleStore::Probe(uint64_t bytes) const {
  const std::string path = PartialPath("probe");
  const FileDescriptor file(path, O_WRONLY | O_CREAT);
  if (!file.ok()) return DiskError("write", path);
  int error =
      ::fallocate(file.get(), 0, 0, static_cast<off_t>(std::max<uint64_t>(bytes, 1))) == 0 ? 0 : errno;
  if (error == EOPNOTSUPP) error = WriteAll(file.get(), std::vector<uint8_t>(kProbeBytes)) ? 0 : errno;
  ::unlink(path.c_str());
  return error == 0 ? absl::OkStatus() : DiskError("write", path, error);
}

absl::Status BundleStore::MakeRoom(uint64_t bytes) {
  if (max_bytes_ == 0) return absl::OkStatus();
  while (stored_bytes_ + bytes > max_bytes_) {
    auto oldest = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (protected_.contains(it->first)) continue;
      if (oldest == entries_.end() || it->second.last_use_ns < oldest->second.last_use_ns) oldest = it;
    }
    if (oldest == entries_.end()) {
      return absl::ResourceExhaustedError(absl::StrCat("the cache in ", dir_, " may hold ", max_bytes_,
                                                       " bytes, all in use; it needs ", bytes, " more"));
    }
    Discard(std::string(oldest->first));
  }
  return absl::OkStatus();
}

void BundleStore::Discard(const std::string& hex) {
  const auto found = entries_.find(hex);
  if (found == entries_.end()) return;
  ::unlink(EntryPath(hex).c_str());
  stored_bytes_ -= found->second.bytes;
  entries_.erase(found);
}

}  // namespace hearth
