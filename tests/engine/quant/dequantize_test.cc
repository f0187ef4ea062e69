#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "engine/base/mapped_file.h"
#include "engine/base/npy.h"
#include "engine/quant/types.h"
#include "tests/support/conformance_pack.h"

namespace hearth {
namespace {

constexpr char kFixture[] = "tests/engine/quant/fixtures/blocks.txt";

std::vector<float> Decode(TensorType type, absl::Span<const uint8_t> blocks) {
  const TypeInfo& info = GetTypeInfo(type);
  std::vector<float> values(blocks.size() / info.block_bytes * info.block_values);
  Dequantize(type, blocks, values.size(), values.data());
  return values;
}

uint64_t Fnv1a(absl::Span<const float> values) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const float value : values) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((std::bit_cast<uint32_t>(value) >> shift) & 255)) * 0x100000001b3u;
    }
  }
  return hash;
}

// One line of the fixture: what an independent decoder makes of a block.
struct FixtureBlock {
  std::string type, block_hex, hash_hex;
  float first[4];
};

std::vector<FixtureBlock> ReadFixture() {
  std::ifstream file(kFixture);
  std::vector<FixtureBlock> blocks;
  FixtureBlock b;
  while (file >> b.type >> b.block_hex >> b.hash_hex >> b.first[0] >> b.first[1] >> b.first[2] >>
         b.first[3]) {
    blocks.push_back(b);
  }
  return blocks;
}

TEST(DequantizeTest, EveryQuantisedTypeEqualsTheIndependentDecoderInEveryBit) {
  std::map<std::string, int> seen;
  for (const FixtureBlock& expected : ReadFixture()) {
    const auto type = ParseTypeName(expected.type);
    ASSERT_TRUE(type.has_value()) << expected.type;
    const std::string bytes = absl::HexStringToBytes(expected.block_hex);
    const std::vector<float> values =
        Decode(*type, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(values[i], expected.first[i]) << expected.type << " " << i;
    EXPECT_EQ(Fnv1a(values), std::stoull(expected.hash_hex, nullptr, 16)) << expected.type;
    ++seen[expected.type];
  }
  for (const TypeInfo& info : AllTypes()) {
    if (info.block_values == 1) continue;
    EXPECT_EQ(seen[std::string(info.name)], 3) << info.name << " in " << kFixture;
  }
}

TEST(DequantizeTest, FloatTypesWiden) {
  const uint8_t f32[] = {0, 0, 0xc0, 0x3f};
  const uint8_t f16[] = {0x00, 0x3e, 0x01, 0x00};
  const uint8_t bf16[] = {0xc0, 0x3f, 0x00, 0xc0};
  EXPECT_EQ(Decode(TensorType::kF32, f32), std::vector<float>({1.5f}));
  EXPECT_EQ(Decode(TensorType::kF16, f16), std::vector<float>({1.5f, 0x1p-24f}));
  EXPECT_EQ(Decode(TensorType::kBF16, bf16), std::vector<float>({1.5f, -2.0f}));
}

TEST(DequantizeTest, UnalignedBlocksReadTheSame) {
  for (const TypeInfo& info : AllTypes()) {
    std::vector<uint8_t> block(info.block_bytes);
    for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(i * 37 + 11) & 0x3f;
    std::vector<uint8_t> shifted(1, 0);
    shifted.insert(shifted.end(), block.begin(), block.end());
    EXPECT_EQ(Decode(info.type, block), Decode(info.type, absl::MakeSpan(shifted).subspan(1))) << info.name;
  }
}

TEST(DequantizeTest, NothingComesOfNothing) {
  for (const TypeInfo& info : AllTypes()) Dequantize(info.type, {}, 0, nullptr);
}

TEST(DequantizeDeathTest, BytesThatDoNotMatchTheCountAreABug) {
  const std::vector<uint8_t> block(18);
  float out[64];
  EXPECT_DEATH(Dequantize(TensorType::kQ4_0, block, 64, out), "check failed");
}

TEST(DequantizeTest, EveryBlockOfTheReferencePackIsEqualInEveryBit) {
  HEARTH_SKIP_WITHOUT_PACK();
  for (const TypeInfo& info : AllTypes()) {
    if (info.block_values == 1) continue;
    const std::string stem = ConformancePack() / "quants/blocks" / std::string(info.name);
    const auto blocks = MappedFile::Open(stem + ".bin");
    const auto expected = ReadNpy(stem + ".npy");
    ASSERT_TRUE(blocks.ok() && expected.ok()) << stem << blocks.status() << expected.status();
    const std::vector<float> values = Decode(info.type, blocks->bytes());
    ASSERT_EQ(values.size(), expected->values.size()) << info.name;
    EXPECT_EQ(std::memcmp(values.data(), expected->values.data(), values.size() * sizeof(float)), 0)
        << info.name;
  }
}

}  // namespace
}  // namespace hearth
