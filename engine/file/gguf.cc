#include "engine/file/gguf.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_packed.h"
#include "engine/file/gguf_reader.h"
#include "engine/file/gguf_split.h"

namespace hearth {

namespace {

// One of the parts that a name and a header speak of.
absl::Status CheckPart(const GgufFile& file, uint32_t number, const SplitPart& opened) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<SplitPart> part, ReadSplitPart(file));
  if (part && part->part == number && part->parts == opened.parts && part->tensors == opened.tensors) {
    return absl::OkStatus();
  }
  const std::string says = !part ? "a whole model" : absl::StrCat("part ", part->part, " of ", part->parts);
  const bool strange = part && part->part == number && part->parts == opened.parts;
  return absl::InvalidArgumentError(absl::StrCat(
      file.name(), ": is to be part ", number, " of ", opened.parts, " of a split model, but holds ", says,
      strange ? " of another model" : "", "; download this part again"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, OpenOne(path));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<SplitPart> part, ReadSplitPart(*file));
  if (part) return OpenSplit(std::move(file), *part);
  return file;
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::OpenOne(const std::string& path) {
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

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::OpenSplit(std::unique_ptr<GgufFile> part,
                                                              const SplitPart& opened) {
  const std::optional<SplitName> name = ParseSplitName(part->name());
  if (!name) {
    return absl::InvalidArgumentError(absl::StrCat(
        part->name(), ": is part ", opened.part, " of ", opened.parts,
        " of a split model, whose parts are found by their names; give them those that they had, such as ",
        SplitName{"NAME", opened.part, opened.parts, ".gguf"}.Of(opened.part)));
  }
  if (name->parts != opened.parts) return CheckPart(*part, name->part, {name->part, name->parts, {}});
  std::unique_ptr<GgufFile> model;
  for (uint32_t number = 1; number <= opened.parts; ++number) {
    absl::StatusOr<std::unique_ptr<GgufFile>> next =
        number == name->part ? std::move(part) : OpenOne(name->Of(number));
    if (absl::IsNotFound(next.status())) {
      return absl::NotFoundError(
          absl::StrCat(name->Of(number), ": part ", number, " of ", opened.parts,
                       " of the split model is missing; download it into the same folder"));
    }
    HEARTH_RETURN_IF_ERROR(next.status());
    HEARTH_RETURN_IF_ERROR(CheckPart(**next, number, opened));
    if (model == nullptr) {
      model = *std::move(next);
    } else {
      HEARTH_RETURN_IF_ERROR(model->Append(*std::move(next)));
    }
  }
  if (opened.tensors && *opened.tensors != model->tensors_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model->name_, ": the ", opened.parts, " parts have ", model->tensors_.size(),
                     " tensors together, but are to have ", *opened.tensors, "; download them again"));
  }
  model->ForgetSplit();
  return model;
}

absl::Status GgufFile::Append(std::unique_ptr<GgufFile> part) {
  for (const GgufTensor& tensor : part->tensors_) {
    if (!tensor_index_.try_emplace(tensor.name, tensors_.size()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(part->name_, ": tensor ", Printable(tensor.name),
                       " is in a part before as well; download this part again"));
    }
    tensors_.push_back(tensor);
  }
  further_parts_.push_back(std::move(part));
  return absl::OkStatus();
}

// The model as it would be in one file: what copies its metadata is whole.
void GgufFile::ForgetSplit() {
  const GgufMetadata all = std::exchange(metadata_, {});
  const std::vector<absl::Span<const uint8_t>> entries = std::exchange(metadata_entries_, {});
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string& key = all.keys()[i];
    if (key.starts_with("split.")) continue;
    metadata_.Set(key, *all.Find(key));
    metadata_entries_.push_back(entries[i]);
  }
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Parse(absl::Span<const uint8_t> bytes, std::string name) {
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->bytes_ = bytes;
  file->name_ = std::move(name);
  HEARTH_RETURN_IF_ERROR(file->Read());
  return file;
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::ParseIntegers(absl::Span<const uint8_t> bytes,
                                                                  std::string name) {
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->bytes_ = bytes;
  file->name_ = std::move(name);
  HEARTH_RETURN_IF_ERROR(GgufReader(file.get(), /*integers=*/true).Read());
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

std::vector<absl::Span<const uint8_t>> GgufFile::parts() const {
  std::vector<absl::Span<const uint8_t>> parts = {bytes_};
  for (const auto& part : further_parts_) parts.push_back(part->bytes_);
  return parts;
}

uint64_t GgufFile::file_bytes() const {
  uint64_t bytes = 0;
  for (const absl::Span<const uint8_t>& part : parts()) bytes += part.size();
  return bytes;
}

void GgufFile::Release(absl::Span<const uint8_t> part) const {
  const bool own = part.data() >= bytes_.data() && part.data() + part.size() <= bytes_.data() + bytes_.size();
  if (mapping_ && own) mapping_->Release(part);
  for (const auto& further : further_parts_) further->Release(part);
}

void GgufFile::DropCache() const {
  if (mapping_) mapping_->DropCache();
  for (const auto& part : further_parts_) part->DropCache();
}

absl::Status GgufFile::CheckUnchanged() const {
  if (mapping_) HEARTH_RETURN_IF_ERROR(mapping_->CheckUnchanged());
  for (const auto& part : further_parts_) HEARTH_RETURN_IF_ERROR(part->CheckUnchanged());
  return absl::OkStatus();
}

absl::StatusOr<int> GgufFile::OpenDescriptor(int flags) const {
  if (!further_parts_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, ": is split over several files; make one of them first (hearth-model pack)"));
  }
  if (mapping_) return mapping_->OpenDescriptor(flags);
  return absl::FailedPreconditionError(absl::StrCat(name_, ": is no file on a disk"));
}

std::string GgufFile::Identity() const {
  std::string identity = mapping_ ? mapping_->Identity() : "";
  for (const auto& part : further_parts_) absl::StrAppend(&identity, "\n", part->Identity());
  return identity;
}

}  // namespace hearth
