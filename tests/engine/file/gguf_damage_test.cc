#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"

namespace hearth {
namespace {

// A small file with every kind of metadata and tensors of two types.
std::vector<uint8_t> SmallFile() {
  GgufWriter writer;
  writer.Set("general.architecture", std::string("llama"));
  writer.Set("general.alignment", uint64_t{64});
  writer.Set("a.bool", true);
  writer.Set("a.int", int64_t{-5});
  writer.Set("a.large", uint64_t{1} << 40);
  writer.Set("a.float", 0.1);
  writer.Set("a.bools", std::vector<bool>{true, false});
  writer.Set("a.ints", std::vector<int64_t>{1, -2, 3});
  writer.Set("a.floats", std::vector<float>{1, 2});
  writer.Set("a.strings", std::vector<std::string>{"", "x", "yz"});
  writer.AddTensor("blk.0.ffn_up.weight", TensorType::kQ4_0, {32, 3}, std::vector<uint8_t>(54, 1));
  writer.AddFloats("output_norm.weight", {5}, std::vector<float>(5, 1.0f));
  return *writer.Serialize();
}

// Where the data begins: damage before it is damage to the description.
size_t HeaderBytes(const std::vector<uint8_t>& file) {
  const auto parsed = GgufFile::Parse(file, "whole");
  return static_cast<size_t>((*parsed)->tensors()[0].data.data() - file.data());
}

// Reads everything that a parsed file offers, so that a sanitizer sees what lies outside.
uint64_t Touch(const GgufFile& file) {
  uint64_t sum = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    for (const uint8_t byte : tensor.data) sum += byte;
    sum += tensor.row_bytes() + tensor.values();
    EXPECT_EQ(file.FindTensor(tensor.name), &tensor);
  }
  for (const std::string& key : file.metadata().keys()) sum += file.metadata().Find(key)->index();
  return sum;
}

void ExpectCleanOutcome(const std::vector<uint8_t>& bytes) {
  const auto parsed = GgufFile::Parse(bytes, "damaged");
  if (parsed.ok()) {
    Touch(**parsed);
  } else {
    EXPECT_NE(parsed.status().message().find("damaged: "), std::string::npos) << parsed.status();
  }
}

TEST(GgufDamageTest, EveryTruncationIsRefused) {
  const std::vector<uint8_t> whole = SmallFile();
  const size_t padding = 44;  // after 20 bytes of the last tensor
  for (size_t length = 0; length < whole.size() - padding; ++length) {
    // A copy of exactly this size, so that reading past it is noticed.
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const auto parsed = GgufFile::Parse(cut, "cut");
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << length << parsed.status();
  }
  EXPECT_TRUE(GgufFile::Parse(absl::MakeSpan(whole).first(whole.size() - padding), "cut").ok());
}

TEST(GgufDamageTest, EveryFlippedHeaderBitEndsInAnErrorOrAConsistentFile) {
  const std::vector<uint8_t> whole = SmallFile();
  const size_t header = HeaderBytes(whole);
  for (size_t bit = 0; bit < header * 8; ++bit) {
    std::vector<uint8_t> damaged = whole;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectCleanOutcome(damaged);
  }
}

TEST(GgufDamageTest, RandomDamageEndsInAnErrorOrAConsistentFile) {
  const std::vector<uint8_t> whole = SmallFile();
  const size_t header = HeaderBytes(whole);
  std::mt19937 random(20240607);
  for (int round = 0; round < 5000; ++round) {
    std::vector<uint8_t> damaged = whole;
    for (uint32_t i = random() % 6; i < 6; ++i) damaged[random() % header] = static_cast<uint8_t>(random());
    ExpectCleanOutcome(damaged);
  }
}

TEST(GgufDamageTest, HugeNumbersAnywhereInTheHeaderEndInAnErrorOrAConsistentFile) {
  const std::vector<uint8_t> whole = SmallFile();
  const size_t header = HeaderBytes(whole);
  for (size_t at = 0; at + 8 <= header; ++at) {
    for (const uint8_t fill : {0xff, 0x7f, 0x00}) {
      std::vector<uint8_t> damaged = whole;
      std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), 8, fill);
      ExpectCleanOutcome(damaged);
    }
  }
}

}  // namespace
}  // namespace hearth
