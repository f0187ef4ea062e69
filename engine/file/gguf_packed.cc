#include "engine/file/gguf_packed.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/checksum.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/tensor_list.h"

namespace hearth {
namespace {

constexpr char kPackAgain[] = "; pack the model again";
constexpr char kOwnTensors[] = "hearth.";

// The inverse of an order, or nothing where it is none.
std::vector<uint32_t> PlacesOf(const std::vector<uint64_t>& order) {
  std::vector<uint32_t> places(order.size(), UINT32_MAX);
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] >= places.size() || places[order[i]] != UINT32_MAX) return {};
    places[order[i]] = static_cast<uint32_t>(i);
  }
  return places;
}

}  // namespace

std::string PackOrderKey(size_t layer, size_t block) {
  return absl::StrCat("hearth.pack.order.", layer, ".", block);
}
std::string PackNeuronsName(size_t layer, size_t block) {
  return absl::StrCat("hearth.neurons.", layer, ".", block);
}
std::string PackScalesName(size_t layer, size_t block) {
  return absl::StrCat("hearth.scales.", layer, ".", block);
}

absl::Status PackedReader::Invalid(const std::string& problem) const {
  return absl::InvalidArgumentError(absl::StrCat(file_.name_, ": ", problem, kPackAgain));
}

absl::Status PackedReader::Read() {
  HEARTH_ASSIGN_OR_RETURN(const auto version, file_.metadata_.GetUint(kPackVersionKey));
  if (!version) return absl::OkStatus();
  if (*version != kPackVersion) {
    return absl::UnimplementedError(absl::StrCat(file_.name_, ": packed in version ", *version,
                                                 " of the format, this program reads ", kPackVersion,
                                                 kPackAgain));
  }
  file_.packed_ = true;
  absl::StatusOr<std::vector<GgufTensor>> matrices = TensorList::Read(file_.metadata_, kPackList);
  if (!matrices.ok()) {
    return absl::Status(matrices.status().code(),
                        absl::StrCat(file_.name_, ": ", matrices.status().message(), kPackAgain));
  }
  // Layers and blocks are those that have records; there are no more than tensors.
  for (size_t layer = 0; layer < file_.tensors_.size(); ++layer) {
    for (size_t block = 0; file_.FindTensor(PackNeuronsName(layer, block)) != nullptr; ++block) {
      HEARTH_RETURN_IF_ERROR(TakeBlock(layer, block));
    }
  }
  std::vector<GgufTensor> tensors = std::exchange(file_.tensors_, {});
  file_.tensor_index_.clear();
  for (GgufTensor& tensor : tensors) {
    if (absl::StartsWith(tensor.name, kOwnTensors)) {
      file_.pack_tensors_.push_back(std::move(tensor));
    } else {
      HEARTH_RETURN_IF_ERROR(file_.AddDescription(std::move(tensor)));
    }
  }
  for (GgufTensor& matrix : *matrices) HEARTH_RETURN_IF_ERROR(file_.AddDescription(std::move(matrix)));
  return absl::OkStatus();
}

absl::Status PackedReader::TakeBlock(size_t layer, size_t block) {
  const GgufTensor& records = *file_.FindTensor(PackNeuronsName(layer, block));
  PackedBlock packed = {records.row_bytes(), records.data, {}, {}};
  if (const GgufTensor* scales = file_.FindTensor(PackScalesName(layer, block))) packed.scales = scales->data;
  HEARTH_ASSIGN_OR_RETURN(const auto order, file_.metadata_.GetUints(PackOrderKey(layer, block)));
  if (order) {
    packed.places = PlacesOf(*order);
    if (packed.places.empty() || packed.places.size() != records.rows()) {
      return Invalid(absl::StrCat("layer ", layer, ": the order of its neurons is none"));
    }
  }
  file_.packed_blocks_.resize(std::max(file_.packed_blocks_.size(), layer + 1));
  file_.packed_blocks_[layer].push_back(std::move(packed));
  return absl::OkStatus();
}

absl::Status CheckPackedTensors(const GgufFile& file) {
  if (!file.is_packed()) return absl::OkStatus();
  std::vector<const GgufTensor*> checked;
  const GgufTensor* checksums = nullptr;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!tensor.data.empty()) checked.push_back(&tensor);
  }
  for (const GgufTensor& tensor : file.pack_tensors()) {
    if (tensor.name == kPackChecksums) checksums = &tensor;
    if (absl::StartsWith(tensor.name, "hearth.scales.")) checked.push_back(&tensor);
  }
  if (checksums == nullptr || checksums->data.size() != checked.size() * sizeof(uint64_t)) {
    return absl::DataLossError(
        absl::StrCat(file.name(), ": has not as many checksums as tensors", kPackAgain));
  }
  for (size_t i = 0; i < checked.size(); ++i) {
    uint64_t expected;
    std::memcpy(&expected, checksums->data.data() + i * sizeof(expected), sizeof(expected));
    if (Checksum(checked[i]->data) != expected) {
      HEARTH_RETURN_IF_ERROR(file.CheckUnchanged());
      return absl::DataLossError(absl::StrCat(file.name(), ": tensor ", Printable(checked[i]->name),
                                              " is damaged; copy the file again, or pack the model again"));
    }
    file.Release(checked[i]->data);
  }
  return file.CheckUnchanged();
}

}  // namespace hearth
