#include "daemon/weights/model_copies.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/weights/file_hash.h"
#include "engine/base/file_descriptor.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// What is not whole yet lies in a folder whose name ends so.
constexpr char kBegun[] = ".part";
// In each folder, whose copy it is.
constexpr char kDigestFile[] = ".digest";
constexpr uint64_t kMostDigestBytes = 1024;

absl::Status DiskError(const std::string& path, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot copy a model to ", path, ": ", std::strerror(error)));
}

bool IsFile(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// 0 where there is none.
uint64_t SizeOf(const std::string& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

std::string DigestIn(const std::string& folder) {
  return ReadInputFile(absl::StrCat(folder, "/", kDigestFile), kMostDigestBytes).value_or("");
}

// Brings a file to its size, from what is there of it.
absl::Status Complete(const ModelFiles::Named& file, const std::string& path,
                      const ModelCopies::Fetch& fetch) {
  const FileDescriptor descriptor(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW);
  if (!descriptor.ok()) return DiskError(path, errno);
  const uint64_t there = SizeOf(path);
  uint64_t left = file.bytes - there;  // Begin has looked
  if (left > 0) {
    HEARTH_RETURN_IF_ERROR(fetch(file, there, [&](absl::Span<const uint8_t> bytes) -> absl::Status {
      if (bytes.size() > left) return absl::DataLossError("more bytes came than the file has");
      left -= bytes.size();
      return WriteAll(descriptor.get(), bytes) ? absl::OkStatus() : DiskError(path, errno);
    }));
  }
  if (left > 0) return absl::DataLossError("fewer bytes came than the file has");
  return ::fsync(descriptor.get()) == 0 ? absl::OkStatus() : DiskError(path, errno);
}

absl::StatusOr<std::string> DigestOf(const ModelFiles& model, const std::string& folder) {
  Sha256 sha;
  for (const ModelFiles::Named& file : model.files) {
    if (file.beside) continue;
    const std::string path = absl::StrCat(folder, "/", file.name);
    const FileDescriptor descriptor(path, O_RDONLY);
    if (!descriptor.ok() || !HashFile(descriptor.get(), file.bytes, sha)) return DiskError(path, errno);
  }
  return absl::StrCat("sha256:", Sha256Hex(sha.Finish()));
}

}  // namespace

ModelCopies::ModelCopies(std::string folder, std::function<uint64_t(const std::string&)> free_bytes)
    : folder_(std::move(folder)), free_bytes_(std::move(free_bytes)) {}

ModelCopies::ModelCopies(std::string folder) : ModelCopies(std::move(folder), FreeForCopies) {}

std::string ModelCopies::FolderOf(const std::string& path) const {
  return absl::StrCat(folder_, "/", Sha256Hex(Sha256Of(path)).substr(0, 32));
}

std::string ModelCopies::Resolve(const std::string& path) const {
  std::error_code error;
  if (fs::exists(path, error)) return path;
  const std::string copy = absl::StrCat(FolderOf(path), "/", fs::path(path).filename().string());
  return IsFile(copy) ? copy : path;
}

bool ModelCopies::Has(const ModelFiles& model) const {
  return IsFile(model.path) || DigestIn(FolderOf(model.path)) == model.digest;
}

// Makes the folder of a copy that is begun ready to be gone on with, and looks whether there is room for the
// rest.
absl::Status ModelCopies::Begin(const ModelFiles& model, const std::string& begun) const {
  std::error_code error;
  if (DigestIn(begun) != model.digest) {
    fs::remove_all(begun, error);
    fs::create_directories(begun, error);
    if (error) return DiskError(begun, error.value());
    HEARTH_RETURN_IF_ERROR(
        WriteFile(absl::StrCat(begun, "/", kDigestFile), model.digest, Replace::kRegularFile));
  }
  uint64_t missing = 0;
  for (const ModelFiles::Named& file : model.files) {
    const std::string path = absl::StrCat(begun, "/", file.name);
    if (SizeOf(path) > file.bytes) fs::remove(path, error);
    missing += file.bytes - SizeOf(path);
  }
  if (const uint64_t free = free_bytes_(folder_); missing > free) {
    return absl::ResourceExhaustedError(absl::StrCat("the disk of ", folder_, " has no room for a copy of ",
                                                     Printable(model.path), ": ", missing >> 20,
                                                     " MiB are missing, ", free >> 20, " may be taken"));
  }
  return absl::OkStatus();
}

absl::Status ModelCopies::Add(const ModelFiles& model, const Fetch& fetch) {
  const std::string whole = FolderOf(model.path), begun = whole + kBegun;
  HEARTH_RETURN_IF_ERROR(Begin(model, begun));
  std::error_code error;
  for (const ModelFiles::Named& file : model.files)
    HEARTH_RETURN_IF_ERROR(Complete(file, absl::StrCat(begun, "/", file.name), fetch));
  HEARTH_ASSIGN_OR_RETURN(const std::string digest, DigestOf(model, begun));
  if (digest != model.digest) {
    fs::remove_all(begun, error);
    return absl::DataLossError(absl::StrCat("the copy of ", Printable(model.path),
                                            " was another one than the file; it is made anew"));
  }
  fs::remove_all(whole, error);
  fs::rename(begun, whole, error);
  return error ? DiskError(whole, error.value()) : absl::OkStatus();
}

void ModelCopies::KeepOnly(absl::Span<const ModelFiles> models) {
  std::set<std::string> kept;
  for (const ModelFiles& model : models) {
    kept.insert(FolderOf(model.path));
    kept.insert(FolderOf(model.path) + kBegun);
  }
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    if (!kept.contains(entry.path())) fs::remove_all(entry.path(), error);
  }
}

uint64_t FreeForCopies(const std::string& folder) {
  constexpr uint64_t kGibibyte = uint64_t{1} << 30;
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  const uint64_t stays = error ? 0 : kGibibyte + space.capacity / 20;
  return error || space.available < stays ? 0 : space.available - stays;
}

}  // namespace hearth
