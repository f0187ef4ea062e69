#include "engine/base/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A .npy file with this header dictionary and these bytes of data.
std::string WriteRaw(const std::string& dictionary, const std::string& data,
                     const std::string& magic = "\x93NUMPY") {
  const std::string path = testing::TempDir() + "raw.npy";
  const std::string header = dictionary + "\n";
  std::ofstream file(path, std::ios::binary);
  file << magic << '\x01' << '\0' << static_cast<char>(header.size()) << static_cast<char>(header.size() >> 8)
       << header << data;
  return path;
}

const char kTwoByTwo[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";

TEST(NpyTest, WrittenArrayReadsBackTheSame) {
  const std::string path = testing::TempDir() + "round_trip.npy";
  const std::vector<float> values = {1.5f, -2, 3e30f, 0, 5, 6};
  ASSERT_TRUE(WriteNpy(path, 2, 3, values, Replace::kRegularFile).ok());
  const auto array = ReadNpy(path);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->rows, 2u);
  EXPECT_EQ(array->cols, 3u);
  EXPECT_EQ(array->values, values);
}

TEST(NpyTest, WrittenValuesBeginAtAMultipleOf64AsNumpyWants) {
  const std::string path = testing::TempDir() + "aligned.npy";
  const std::vector<float> values(7);
  ASSERT_TRUE(WriteNpy(path, 1, 7, values, Replace::kRegularFile).ok());
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  EXPECT_EQ((static_cast<size_t>(file.tellg()) - 28) % 64, 0u);
}

TEST(NpyTest, OneDimensionalArrayIsARow) {
  const auto array = ReadNpy(WriteRaw("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
                                      std::string("\0\0\x80\x3f\0\0\0\x40", 8)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->rows, 1u);
  EXPECT_THAT(array->values, ElementsAre(1.0f, 2.0f));
}

TEST(NpyTest, UnwritablePathIsAnErrorThatNamesIt) {
  const std::vector<float> values(1);
  const absl::Status status = WriteNpy("/nonexistent/a.npy", 1, 1, values, Replace::kNever);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/a.npy"));
}

struct BadNpy {
  const char* what;
  std::string dictionary;
  std::string data;
  std::string magic = "\x93NUMPY";
};

TEST(NpyTest, FilesThatAreNotFloatMatricesAreRefused) {
  const std::string data(16, 'x');
  const BadNpy cases[] = {
      {"wrong magic", kTwoByTwo, data, "\x93NUMPZ"},
      {"doubles", "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }", data},
      {"big-endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2), }", data},
      {"columns first", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", data},
      {"three dimensions", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 1), }", data},
      {"no dimensions", "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", data},
      {"negative size", "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 2), }", data},
      {"size that overflows", "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 4), }",
       data},
      {"no shape", "{'descr': '<f4', 'fortran_order': False, }", data},
      {"too little data", kTwoByTwo, data.substr(1)},
      {"too much data", kTwoByTwo, data + "x"},
      {"shape at the very end", "{'descr': '<f4', 'fortran_order': False, 'shape':", ""},
  };
  for (const BadNpy& bad : cases) {
    const auto array = ReadNpy(WriteRaw(bad.dictionary, bad.data, bad.magic));
    EXPECT_EQ(array.status().code(), absl::StatusCode::kInvalidArgument) << bad.what;
  }
}

TEST(NpyTest, EveryTruncationIsRefused) {
  const std::string whole = WriteRaw(kTwoByTwo, std::string(16, 'x'));
  std::ifstream file(whole, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const std::string path = testing::TempDir() + "cut.npy";
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::ofstream(path, std::ios::binary) << bytes.substr(0, length);
    EXPECT_FALSE(ReadNpy(path).ok()) << length;
  }
}

}  // namespace
}  // namespace hearth
