#ifndef HEARTH_ENGINE_NEURON_PROFILE_FILE_H_
#define HEARTH_ENGINE_NEURON_PROFILE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"

namespace hearth {

// What `hearth-model profile` learned about a model, in a file of its own: M.profile beside the model M.gguf,
// or wherever a flag says. A GGUF file with this metadata:
//
//   general.type           "hearth-profile"
//   hearth.profile.model   ModelFingerprint of the model that it belongs to
//   hearth.profile.tokens  tokens of text that were looked at
//   hearth.profile.N       how often neurons of layer N fire, see profile.h
//
// and, for the layers N whose neurons can be predicted, a predictor:
//
//   hearth.predictor.N     "linear"
//   blk.N.fc1.weight (rank, n_embd), blk.N.fc1.bias (rank), blk.N.fc2.weight (neurons, rank)
//
// Neuron i is computed iff fc2_i . (fc1 x + bias) >= 0, where x is the input of the feed-forward network. So
// it is PowerInfer's predictor without the ReLU between the halves; one row of fc1 is zero but for its bias,
// so that the value of fc2_i there is the neuron's own threshold.

inline constexpr char kProfileFileType[] = "hearth-profile";

// Tells one model file from another: 16 hexadecimal digits made of the names, types and shapes of its tensors
// and of the first and last bytes of each. A packed file has that of its model.
std::string ModelFingerprint(const GgufFile& model);

// Where the profile of a model file lies unless a flag names another place.
std::string ProfilePathOf(const std::string& model_path);

// The profile file of `model`, read into memory. INVALID_ARGUMENT for a file that is no profile, that belongs
// to another model, or with tensors that are no predictor's or hold a value that is not finite; what
// ReadInputFile and GgufFile::Parse say. Shapes and shares are checked with the model's (OutlineModel).
absl::StatusOr<std::shared_ptr<const GgufFile>> OpenProfile(const std::string& path, const GgufFile& model);

// The profile file at `path` or, where that is empty, the one beside the model's file; null where none lies
// there. The same errors.
absl::StatusOr<std::shared_ptr<const GgufFile>> FindProfile(const std::string& path, const GgufFile& model);

// Describes a profile in `writer`: all of the above but for the predictors' tensors. shares[i]: of layer i,
// per neuron or per block; empty: unknown.
void DescribeProfile(const GgufFile& model, uint64_t tokens, const std::vector<std::vector<float>>& shares,
                     GgufWriter& writer);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_PROFILE_FILE_H_
