// Damaged models: whatever the metadata and shapes say, loading ends with a model or with an error.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/model/fixture.h"

namespace hearth {
namespace {

std::vector<uint8_t> ReadBytes(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// Loads and, where that works, evaluates two tokens.
void LoadAndStep(const std::vector<uint8_t>& bytes, ThreadPool& pool) {
  absl::StatusOr<std::unique_ptr<GgufFile>> file = GgufFile::Parse(bytes, "damaged");
  if (!file.ok()) return;
  ModelOptions options;
  if ((*file)->is_powerinfer()) options.sparsity = SparsityMode::kPredicted;
  absl::StatusOr<Runtime> runtime =
      Runtime::Make(*std::move(file), options, {.sequences = 1, .context_length = 4, .max_rows = 2}, pool);
  if (!runtime.ok()) return;
  EXPECT_TRUE(runtime->Evaluate({0, 1}, 2).ok());
}

TEST(DamagedModelTest, FlippedBytesInTheHeaderNeverCrash) {
  ThreadPool pool(1);
  std::mt19937 random(7);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FixturePath(""))) {
    if (entry.path().extension() != ".gguf") continue;
    ++files;
    const std::vector<uint8_t> bytes = ReadBytes(entry.path().string());
    for (int round = 0; round < 150; ++round) {
      std::vector<uint8_t> damaged = bytes;
      // Descriptions take the first quarter or so; data that is damaged is only other data.
      for (int i = 0; i < 1 + round % 3; ++i)
        damaged[random() % (damaged.size() / 4)] ^= 1u << (random() % 8);
      LoadAndStep(damaged, pool);
    }
  }
  EXPECT_GT(files, 30);
}

}  // namespace
}  // namespace hearth
