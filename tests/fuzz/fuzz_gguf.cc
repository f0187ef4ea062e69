// Parses arbitrary bytes as a model file and reads all that a successful parse offers.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/file/gguf.h"

namespace hearth {
namespace {

// Calls every getter: a value of any kind must convert or give an error.
void ReadMetadata(const GgufMetadata& metadata) {
  for (const std::string& key : metadata.keys()) {
    if (metadata.Find(key) == nullptr) std::abort();
    (void)metadata.GetUint(key).ok();
    (void)metadata.GetInt(key).ok();
    (void)metadata.GetFloat(key).ok();
    (void)metadata.GetBool(key).ok();
    (void)metadata.GetString(key).ok();
    (void)metadata.GetUints(key).ok();
    (void)metadata.GetInts(key).ok();
    (void)metadata.GetFloats(key).ok();
  }
}

void ReadTensors(const GgufFile& file) {
  uint64_t sum = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    if (file.FindTensor(tensor.name) != &tensor) std::abort();
    if (tensor.row_bytes() * tensor.rows() != tensor.data.size()) std::abort();
    for (const uint8_t byte : tensor.data) sum += byte;
  }
  // Keeps the reads.
  volatile uint64_t kept = sum;
  (void)kept;
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = hearth::GgufFile::Parse({data, size}, "fuzz");
  if (!file.ok()) {
    if (file.status().message().find('\n') != absl::string_view::npos) std::abort();
    return 0;
  }
  hearth::ReadMetadata((*file)->metadata());
  hearth::ReadTensors(**file);
  return 0;
}
