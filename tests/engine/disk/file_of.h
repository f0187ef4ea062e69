#ifndef HEARTH_TESTS_ENGINE_DISK_FILE_OF_H_
#define HEARTH_TESTS_ENGINE_DISK_FILE_OF_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"

namespace hearth {

// A GGUF file on the disk whose one tensor holds `bytes`, and where it begins.
struct FileOf {
  std::string path;
  std::unique_ptr<GgufFile> file;
  uint64_t offset = 0;

  explicit FileOf(std::vector<uint8_t> bytes) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path = testing::TempDir() + "disk_" + test->test_suite_name() + "_" + test->name() + ".gguf";
    GgufWriter writer;
    const uint64_t values = bytes.size() / sizeof(float);
    writer.AddTensor("bytes", TensorType::kF32, {values}, std::move(bytes));
    EXPECT_TRUE(writer.Write(path).ok());
    file = GgufFile::Open(path).value();
    offset = static_cast<uint64_t>(file->tensors()[0].data.data() - file->bytes().data());
  }
};

// Bytes that repeat nowhere soon.
inline std::vector<uint8_t> Pattern(size_t count) {
  std::vector<uint8_t> bytes(count);
  uint64_t state = 7;
  for (uint8_t& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state >> 56);
  }
  return bytes;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_DISK_FILE_OF_H_
