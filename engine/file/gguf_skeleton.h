#ifndef HEARTH_ENGINE_FILE_GGUF_SKELETON_H_
#define HEARTH_ENGINE_FILE_GGUF_SKELETON_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"

namespace hearth {

// A skeleton is a model file without its weights and its vocabulary: the metadata, every tensor's name, type
// and shape, and the data of tensors of a single value. From it a host that does not have the file works out
// what the model computes and in which units it is placed, as from the file itself. It is a GGUF file in
// which the tensors without data are listed under "hearth.skeleton.*".
// Of a model with a profile file (null: without) it tells both as one: the profile's figures and tensors in
// place of the model's own. So it does with the tensors of LoRA adapters (null: without).
absl::StatusOr<std::vector<uint8_t>> MakeSkeleton(const GgufFile& file, const GgufFile* profile = nullptr,
                                                  const GgufFile* adapter = nullptr);

// The file as its skeleton tells it: tensors of more than one value have no data. A skeleton may come from a
// peer: everything is validated as in a file, and counts are bounded. The errors of GgufFile::Parse.
absl::StatusOr<std::unique_ptr<GgufFile>> ParseSkeleton(std::vector<uint8_t> bytes, std::string name);

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_SKELETON_H_
