#ifndef HEARTH_TESTS_DAMAGE_MUTATION_H_
#define HEARTH_TESTS_DAMAGE_MUTATION_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace hearth {

// A whole file that damage is done to.
struct Sound {
  std::string name;
  std::vector<uint8_t> bytes;
  uint64_t header_bytes = 0;  // metadata and the descriptions of tensors
  // [begin, end) of the values of metadata, the vocabulary's left out, which would be most of them, and of
  // the descriptions of tensors.
  std::vector<std::pair<uint64_t, uint64_t>> descriptions;
};

// The demo models and the fixture of every architecture, these with a small vocabulary, which they lack.
absl::StatusOr<std::vector<Sound>> SoundModels(const std::string& demo_folder,
                                               const std::string& fixture_folder);

struct Mutation {
  std::string what;  // "llama_tied: 2 numbers of the header replaced"
  std::vector<uint8_t> bytes;
};

// The mutation of a seed: always the same for the same list of models. One in two damages the description of
// a model, the others its weights (with what gives NaN, infinity or huge values, too) or its length.
Mutation MutationOf(uint64_t seed, const std::vector<Sound>& models);

// Changes 1 to 8 bytes, bits or numbers of `bytes` in [begin, end), which is not empty; returns what in
// words.
std::string Damage(uint64_t seed, uint64_t begin, uint64_t end, std::vector<uint8_t>& bytes);

}  // namespace hearth

#endif  // HEARTH_TESTS_DAMAGE_MUTATION_H_
