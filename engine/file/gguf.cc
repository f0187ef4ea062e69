#include "engine/file/gguf.h"

#include <utility>

#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_reader.h"

namespace hearth {

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(MappedFile mapping, MappedFile::Open(path));
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->mapping_ = std::move(mapping);
  file->bytes_ = file->mapping_->bytes();
  file->name_ = path;
  const absl::Status read = GgufReader(file.get()).Read();
  HEARTH_RETURN_IF_ERROR(file->CheckUnchanged());  // if it was, that is why it cannot be read
  HEARTH_RETURN_IF_ERROR(read);
  return file;
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Parse(absl::Span<const uint8_t> bytes, std::string name) {
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->bytes_ = bytes;
  file->name_ = std::move(name);
  HEARTH_RETURN_IF_ERROR(GgufReader(file.get()).Read());
  return file;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(AbslView(name));
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::Release(absl::Span<const uint8_t> part) const {
  const bool own = part.data() >= bytes_.data() && part.data() + part.size() <= bytes_.data() + bytes_.size();
  if (mapping_ && own) mapping_->Release(part);
}

absl::Status GgufFile::CheckUnchanged() const {
  return mapping_ ? mapping_->CheckUnchanged() : absl::OkStatus();
}

std::string GgufFile::Identity() const { return mapping_ ? mapping_->Identity() : ""; }

}  // namespace hearth
