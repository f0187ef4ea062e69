#include "engine/file/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/engine/file/gguf_bytes.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A parsed file with the bytes it borrows.
struct Written {
  std::vector<uint8_t> bytes;
  std::unique_ptr<GgufFile> file;
};

Written Parse(const GgufWriter& writer) {
  auto bytes = writer.Serialize();
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  Written written{*std::move(bytes), nullptr};
  auto file = GgufFile::Parse(written.bytes, "written");
  EXPECT_TRUE(file.ok()) << file.status();
  written.file = *std::move(file);
  return written;
}

TEST(GgufWriterTest, EveryKindOfMetadataReadsBackTheSame) {
  const GgufMetadata::Value values[] = {true,
                                        uint64_t{7},
                                        ~uint64_t{0},
                                        int64_t{-7},
                                        std::numeric_limits<int64_t>::min(),
                                        0.5,
                                        0.1,
                                        std::string("text"),
                                        std::vector<bool>{true, false, true},
                                        std::vector<uint64_t>{1, ~uint64_t{0}},
                                        std::vector<int64_t>{-1, 1},
                                        std::vector<float>{0.1f},
                                        std::vector<double>{0.1},
                                        std::vector<std::string>{"", "x"}};
  GgufWriter writer;
  for (size_t i = 0; i < std::size(values); ++i) writer.Set(absl::StrCat("k", i), values[i]);
  const Written written = Parse(writer);
  ASSERT_EQ(written.file->metadata().keys().size(), std::size(values));
  for (size_t i = 0; i < std::size(values); ++i) {
    EXPECT_EQ(*written.file->metadata().Find(absl::StrCat("k", i)), values[i]) << i;
  }
}

TEST(GgufWriterTest, NumbersThatFitAreStoredWith32Bits) {
  GgufWriter writer;
  writer.Set("n", uint64_t{5});
  writer.Set("x", 0.5);
  GgufBytes expected(0, 2);
  expected.Key("n", GgufKind::kUint32).Put(uint32_t{5}).Key("x", GgufKind::kFloat32).Put(0.5f).Data(0);
  EXPECT_EQ(*writer.Serialize(), expected.bytes());
}

TEST(GgufWriterTest, TensorsReadBackAligned) {
  GgufWriter writer(/*powerinfer=*/true);
  writer.Set("general.alignment", uint64_t{128});
  writer.AddFloats("a", {3}, std::vector<float>{1, 2, 3});
  writer.AddTensor("b", TensorType::kQ8_0, {32, 2}, std::vector<uint8_t>(68, 9));
  const Written written = Parse(writer);
  EXPECT_TRUE(written.file->is_powerinfer());
  EXPECT_EQ(written.bytes.size() % 128, 0u);
  for (const GgufTensor& tensor : written.file->tensors()) {
    EXPECT_EQ((tensor.data.data() - written.bytes.data()) % 128, 0);
  }
  EXPECT_THAT(written.file->FindTensor("b")->data, testing::Each(9));
}

TEST(GgufWriterTest, CopiedMetadataIsExactAndCanBeReplaced) {
  GgufBytes source(0, 2);
  source.Key("small", GgufKind::kUint8)
      .Put(uint8_t{3})
      .Key("general.file_type", GgufKind::kUint32)
      .Put(uint32_t{1});
  const auto file = GgufFile::Parse(source.bytes(), "source");
  ASSERT_TRUE(file.ok()) << file.status();
  GgufWriter writer;
  writer.CopyMetadata(**file);
  writer.Set("general.file_type", uint64_t{7});
  GgufBytes expected(0, 2);
  expected.Key("small", GgufKind::kUint8).Put(uint8_t{3});
  expected.Key("general.file_type", GgufKind::kUint32).Put(uint32_t{7}).Data(0);
  EXPECT_EQ(*writer.Serialize(), expected.bytes());
}

TEST(GgufWriterTest, SourcesThatGiveTooLittleAreAnError) {
  GgufWriter writer;
  writer.AddTensor("a", TensorType::kF32, {2}, std::vector<uint8_t>(7));
  const absl::Status status = writer.Serialize().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor a has 7 bytes where 8 belong"));
}

TEST(GgufWriterTest, SizesThatDoNotFitTheTypeAreAnError) {
  GgufWriter odd;
  odd.AddTensor("a", TensorType::kQ8_0, {33}, std::vector<uint8_t>(34));
  EXPECT_EQ(odd.Serialize().status().code(), absl::StatusCode::kInternal);
  GgufWriter huge;
  huge.AddTensor("a", TensorType::kF32, {uint64_t{1} << 40, uint64_t{1} << 40}, std::vector<uint8_t>(4));
  EXPECT_EQ(huge.Serialize().status().code(), absl::StatusCode::kInternal);
}

TEST(GgufWriterTest, TensorsThatAreWrittenTwiceAreAnError) {
  GgufWriter writer;
  writer.AddFloats("a", {1}, std::vector<float>(1));
  writer.AddFloats("a", {1}, std::vector<float>(1));
  EXPECT_THAT(std::string(writer.Serialize().status().message()), HasSubstr("twice"));
}

TEST(GgufWriterTest, WrittenFileIsWhatSerializeGives) {
  GgufWriter writer;
  writer.AddFloats("a", {2}, std::vector<float>{1, 2});
  const std::string path = testing::TempDir() + "written.gguf";
  ASSERT_TRUE(writer.Write(path).ok());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->bytes(), absl::MakeConstSpan(*writer.Serialize()));
}

TEST(GgufWriterTest, FailedWriteLeavesTheOldFileAndNoRest) {
  const std::string path = testing::TempDir() + "kept.gguf";
  GgufWriter good;
  ASSERT_TRUE(good.Write(path).ok());
  GgufWriter failing;
  failing.AddTensor("a", TensorType::kF32, {1},
                    [](const GgufWriter::Sink&) { return absl::DataLossError("the disk is gone"); });
  EXPECT_EQ(failing.Write(path).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(GgufFile::Open(path).ok());
}

TEST(GgufWriterTest, UnwritablePathIsAnErrorThatNamesIt) {
  const absl::Status status = GgufWriter().Write("/nonexistent/m.gguf");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/m.gguf"));
}

}  // namespace
}  // namespace hearth
