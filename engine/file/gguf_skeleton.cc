#include "engine/file/gguf_skeleton.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_writer.h"
#include "engine/file/tensor_list.h"

namespace hearth {
namespace {

constexpr char kList[] = "hearth.skeleton";

// Copies the keys that begin with none of `without`.
void CopyMetadata(const GgufFile& file, const std::vector<std::string>& without, GgufWriter& writer) {
  for (const std::string& key : file.metadata().keys()) {
    const auto begins = [&](const std::string& prefix) { return absl::StartsWith(key, prefix); };
    if (std::none_of(without.begin(), without.end(), begins)) writer.Set(key, *file.metadata().Find(key));
  }
}

// Tensors of a single value keep it, of others only the description stays.
void AddTensor(const GgufTensor& tensor, TensorList& list, GgufWriter& writer) {
  if (tensor.values() == 1) {
    writer.AddTensor(tensor.name, tensor.type, {1}, {tensor.data.begin(), tensor.data.end()});
  } else {
    list.Add(tensor);
  }
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> MakeSkeleton(const GgufFile& file, const GgufFile* profile,
                                                  const GgufFile* adapter) {
  GgufWriter writer(file.is_powerinfer());
  std::vector<std::string> without = {"tokenizer.", "hearth.pack."};
  if (profile != nullptr) without.push_back("hearth.profile.");
  CopyMetadata(file, without, writer);
  if (profile != nullptr) CopyMetadata(*profile, {"general."}, writer);
  if (adapter != nullptr) CopyMetadata(*adapter, {"general."}, writer);
  TensorList list;
  const auto lies_beside = [&](const std::string& name) {
    return (profile != nullptr && profile->FindTensor(name) != nullptr) ||
           (adapter != nullptr && adapter->FindTensor(name) != nullptr);
  };
  for (const GgufTensor& tensor : file.tensors()) {
    if (!lies_beside(tensor.name)) AddTensor(tensor, list, writer);
  }
  for (const GgufFile* beside : {profile, adapter}) {
    if (beside == nullptr) continue;
    for (const GgufTensor& tensor : beside->tensors()) AddTensor(tensor, list, writer);
  }
  std::move(list).Write(kList, writer);
  return writer.Serialize();
}

absl::StatusOr<std::unique_ptr<GgufFile>> ParseSkeleton(std::vector<uint8_t> bytes, std::string name) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Parse(bytes, std::move(name)));
  file->owned_ = std::move(bytes);  // the same memory
  absl::StatusOr<std::vector<GgufTensor>> tensors = TensorList::Read(file->metadata(), kList);
  if (!tensors.ok()) {
    return absl::Status(tensors.status().code(), absl::StrCat(file->name(), ": ", tensors.status().message(),
                                                              "; load the model again"));
  }
  for (GgufTensor& tensor : *tensors) {
    HEARTH_RETURN_IF_ERROR(file->AddDescription(std::move(tensor)));
  }
  return file;
}

}  // namespace hearth
