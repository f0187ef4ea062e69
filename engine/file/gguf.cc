#include "engine/file/gguf.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_packed.h"
#include "engine/file/gguf_reader.h"

namespace hearth {

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(MappedFile mapping, MappedFile::Open(path));
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->mapping_ = std::move(mapping);
  file->bytes_ = file->mapping_->bytes();
  file->name_ = path;
  const absl::Status read = file->Read();
  HEARTH_RETURN_IF_ERROR(file->CheckUnchanged());  // if it was, that is why it cannot be read
  HEARTH_RETURN_IF_ERROR(read);
  return file;
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Parse(absl::Span<const uint8_t> bytes, std::string name) {
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->bytes_ = bytes;
  file->name_ = std::move(name);
  HEARTH_RETURN_IF_ERROR(file->Read());
  return file;
}

absl::Status GgufFile::Read() {
  HEARTH_RETURN_IF_ERROR(GgufReader(this).Read());
  return PackedReader(this).Read();
}

absl::Status GgufFile::AddDescription(GgufTensor tensor) {
  if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": two tensors are called ", Printable(tensor.name),
                                                   "; download or copy the file again"));
  }
  tensors_.push_back(std::move(tensor));
  return absl::OkStatus();
}

absl::Span<const PackedBlock> GgufFile::packed_blocks(uint32_t layer) const {
  if (layer >= packed_blocks_.size()) return {};
  return packed_blocks_[layer];
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(AbslView(name));
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::Release(absl::Span<const uint8_t> part) const {
  const bool own = part.data() >= bytes_.data() && part.data() + part.size() <= bytes_.data() + bytes_.size();
  if (mapping_ && own) mapping_->Release(part);
}

void GgufFile::DropCache() const {
  if (mapping_) mapping_->DropCache();
}

absl::Status GgufFile::CheckUnchanged() const {
  return mapping_ ? mapping_->CheckUnchanged() : absl::OkStatus();
}

absl::StatusOr<int> GgufFile::OpenDescriptor(int flags) const {
  if (mapping_) return mapping_->OpenDescriptor(flags);
  return absl::FailedPreconditionError(absl::StrCat(name_, ": is no file on a disk"));
}

std::string GgufFile::Identity() const { return mapping_ ? mapping_->Identity() : ""; }

}  // namespace hearth
