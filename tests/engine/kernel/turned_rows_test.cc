#include "engine/kernel/turned_rows.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace hearth {
namespace {

std::vector<uint8_t> RandomBytes(size_t count) {
  std::mt19937 random(5);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// A file's matrix, (n_embd, neurons), turned in pieces of one run and back again in pieces of any size.
void ExpectRoundTrip(TensorType type, size_t n_embd, size_t neurons) {
  const size_t file_row = RowBytes(type, neurons).value();
  const std::vector<uint8_t> file = RandomBytes(n_embd * file_row);
  const TurnedRows turned(type, n_embd);
  const size_t stride = turned.row_bytes() + 24;
  std::vector<uint8_t> rows(neurons * stride), scales(neurons / TurnedRows::kUnit * turned.scale_bytes());
  for (size_t first = 0; first < n_embd; first += TurnedRows::kUnit) {
    const size_t count = std::min(TurnedRows::kUnit, n_embd - first);
    turned.Turn(file.data() + first * file_row, first, count, {neurons, rows.data(), stride, scales.data()});
  }
  std::vector<uint8_t> back(file.size());
  for (size_t first = 0, count = 5; first < n_embd; first += count) {
    count = std::min(count, n_embd - first);
    turned.TurnBack([&](size_t i) { return rows.data() + i * stride; },
                    [&](size_t unit) { return scales.data() + unit * turned.scale_bytes(); }, neurons, first,
                    count, back.data() + first * file_row, file_row);
  }
  EXPECT_EQ(back, file);
}

TEST(TurnedRowsTest, ComeBackBitForBit) {
  using enum TensorType;
  for (const TensorType type : {kF32, kF16, kBF16}) {
    ExpectRoundTrip(type, 7, 3);
    ExpectRoundTrip(type, 64, 33);
  }
  for (const TensorType type : {kQ8_0, kQ4_0}) {
    ExpectRoundTrip(type, 32, 32);
    ExpectRoundTrip(type, 96, 160);
  }
}

TEST(TurnedRowsTest, TakeAsManyBytesAsTheFile) {
  const TurnedRows turned(TensorType::kQ4_0, 4096);
  EXPECT_EQ(turned.row_bytes() * 32 + turned.scale_bytes(), 4096 * 18u);
}

TEST(TurnedRowsTest, OtherTypesHaveNone) {
  EXPECT_FALSE(TurnedRows::Has(TensorType::kQ4_K, 4096));
  EXPECT_FALSE(TurnedRows::Has(TensorType::kQ8_0, 40));
  EXPECT_TRUE(TurnedRows::Has(TensorType::kF16, 40));
}

}  // namespace
}  // namespace hearth
