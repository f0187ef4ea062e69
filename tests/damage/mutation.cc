#include "tests/damage/mutation.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"
#include "tests/support/with_vocabulary.h"

namespace hearth {
namespace {

// Numbers at which counts, sizes and values break.
constexpr uint64_t kNumbers[] = {0,
                                 1,
                                 2,
                                 31,
                                 32,
                                 255,
                                 256,
                                 0x7fff,
                                 0xffff,
                                 0x10000,
                                 0x7f800000,
                                 0x7fc00000,
                                 0xff800000,
                                 0x7f7fffff,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 uint64_t{1} << 32,
                                 uint64_t{1} << 62,
                                 ~uint64_t{0}};

uint64_t HeaderBytes(const GgufFile& file) {
  uint64_t header = file.bytes().size();
  for (const GgufTensor& tensor : file.tensors()) {
    header = std::min<uint64_t>(header, static_cast<uint64_t>(tensor.data.data() - file.bytes().data()));
  }
  return header;
}

std::vector<std::pair<uint64_t, uint64_t>> Descriptions(const GgufFile& file, uint64_t header_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  uint64_t end = 0;
  for (size_t i = 0; i < file.metadata_entries().size(); ++i) {
    const absl::Span<const uint8_t> entry = file.metadata_entries()[i];
    const std::string& key = file.metadata().keys()[i];
    end = static_cast<uint64_t>(entry.data() + entry.size() - file.bytes().data());
    // The length of the key, the key, the value.
    const uint64_t value_bytes = entry.size() - sizeof(uint64_t) - key.size();
    if (!key.starts_with("tokenizer.")) places.emplace_back(end - value_bytes, end);
  }
  // Tensors are described behind the metadata; several times, so that they are damaged as often.
  places.insert(places.end(), places.size(), {end, header_bytes});
  return places;
}

absl::StatusOr<Sound> ReadSound(const std::filesystem::path& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  Sound sound;
  sound.name = path.stem();
  HEARTH_ASSIGN_OR_RETURN(sound.bytes, WithVocabulary(*file));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> written, GgufFile::Parse(sound.bytes, sound.name));
  sound.header_bytes = HeaderBytes(*written);
  sound.descriptions = Descriptions(*written, sound.header_bytes);
  return sound;
}

// Overwrites the bytes at `at` with as many of the number as fit.
void Put(uint64_t number, size_t width, uint64_t at, uint64_t end, std::vector<uint8_t>& bytes) {
  std::memcpy(bytes.data() + at, &number, std::min<uint64_t>(width, end - at));
}

}  // namespace

absl::StatusOr<std::vector<Sound>> SoundModels(const std::string& demo_folder,
                                               const std::string& fixture_folder) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& folder : {demo_folder, fixture_folder}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Sound> models;
  for (const std::filesystem::path& path : paths) {
    HEARTH_ASSIGN_OR_RETURN(Sound sound, ReadSound(path));
    models.push_back(std::move(sound));
  }
  return models;
}

std::string Damage(uint64_t seed, uint64_t begin, uint64_t end, std::vector<uint8_t>& bytes) {
  std::mt19937_64 random(seed);
  const size_t places = 1 + random() % 4 * (random() % 3);
  const uint64_t kind = random() % 4;
  for (size_t i = 0; i < places; ++i) {
    const uint64_t at = begin + random() % (end - begin);
    const uint64_t number = kNumbers[random() % std::size(kNumbers)];
    switch (kind) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1 << random() % 8);
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(random());
        break;
      case 2:
        Put(number, 4, at, end, bytes);
        break;
      default:
        Put(number, 8, at, end, bytes);
    }
  }
  constexpr const char* kKinds[] = {"bits flipped", "bytes replaced", "words of 4 bytes replaced",
                                    "words of 8 bytes replaced"};
  return absl::StrCat(places, " ", kKinds[kind]);
}

Mutation MutationOf(uint64_t seed, const std::vector<Sound>& models) {
  std::mt19937_64 random(seed);
  const Sound& sound = models[random() % models.size()];
  Mutation mutation{sound.name + ": ", sound.bytes};
  const uint64_t size = sound.bytes.size();
  const uint64_t kind = random() % 10;
  if (kind < 1) {
    absl::StrAppend(&mutation.what, Damage(random(), 0, sound.header_bytes, mutation.bytes),
                    " in the header");
  } else if (kind < 5) {
    const auto [begin, end] = sound.descriptions[random() % sound.descriptions.size()];
    absl::StrAppend(&mutation.what, Damage(random(), begin, end, mutation.bytes), " from ", begin, " to ",
                    end);
  } else if (kind < 8) {
    absl::StrAppend(&mutation.what, Damage(random(), sound.header_bytes, size, mutation.bytes),
                    " in the weights");
  } else if (kind == 8) {
    const uint64_t begin = random() % size;
    const uint64_t count = std::min(size - begin, 1 + random() % 4096);
    const uint8_t fill = std::to_array<uint8_t>({0x00, 0x7c, 0x7f, 0xff})[random() % 4];
    std::fill_n(mutation.bytes.begin() + static_cast<std::ptrdiff_t>(begin), count, fill);
    absl::StrAppend(&mutation.what, count, " bytes from ", begin, " on are ", fill);
  } else {
    mutation.bytes.resize(1 + random() % size);
    absl::StrAppend(&mutation.what, "cut to ", mutation.bytes.size(), " bytes");
  }
  return mutation;
}

}  // namespace hearth
