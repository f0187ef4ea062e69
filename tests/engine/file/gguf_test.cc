#include "engine/file/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/engine/file/gguf_bytes.h"
#include "tests/support/conformance_pack.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Expects an error of this code whose one line names the file and contains `text`.
void ExpectError(const GgufBytes& file, absl::StatusCode code, const std::string& text) {
  const auto parsed = GgufFile::Parse(file.bytes(), "m.gguf");
  ASSERT_EQ(parsed.status().code(), code) << parsed.status();
  const std::string message(parsed.status().message());
  EXPECT_THAT(message, HasSubstr("m.gguf"));
  EXPECT_THAT(message, HasSubstr(text));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

void ExpectInvalid(const GgufBytes& file, const std::string& text) {
  ExpectError(file, absl::StatusCode::kInvalidArgument, text);
}

GgufBytes OneTensor(const std::vector<uint64_t>& ne, TensorType type, uint64_t offset = 0,
                    size_t data = 4096) {
  return GgufBytes(1, 0).Tensor("a", ne, type, offset).Data(data);
}

TEST(GgufTest, TensorsHaveTheirDimensionsAndData) {
  GgufBytes file(2, 0);
  file.Tensor("first", {32, 2}, TensorType::kQ8_0, 96)
      .Tensor("second", {3}, TensorType::kF32, 0)
      .Data(96 + 68);
  const auto parsed = GgufFile::Parse(file.bytes(), "m.gguf");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const GgufTensor* first = (*parsed)->FindTensor("first");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->type, TensorType::kQ8_0);
  EXPECT_EQ(first->dimensions, 2);
  EXPECT_THAT(first->ne, ElementsAre(32, 2, 1, 1));
  EXPECT_EQ(first->data.size(), 68u);
  EXPECT_EQ(first->data.end(), (*parsed)->bytes().end());
  EXPECT_EQ(first->row_bytes(), 34u);
  EXPECT_EQ(first->values(), 64u);
  EXPECT_EQ((*parsed)->FindTensor("second")->data.size(), 12u);
  EXPECT_EQ((*parsed)->FindTensor("third"), nullptr);
}

TEST(GgufTest, VersionsTwoAndThreeAndPowerInferAreAccepted) {
  for (const uint32_t version : {2u, 3u}) {
    for (const char* magic : {"GGUF", "PWRI"}) {
      const GgufBytes file(0, 0, version, magic);
      const auto parsed = GgufFile::Parse(file.bytes(), "m.gguf");
      ASSERT_TRUE(parsed.ok()) << parsed.status();
      EXPECT_EQ((*parsed)->version(), version);
      EXPECT_EQ((*parsed)->is_powerinfer(), std::string(magic) == "PWRI");
    }
  }
}

TEST(GgufTest, MetadataComesInTheOrderOfTheFile) {
  GgufBytes file(0, 3);
  file.Key("b", GgufKind::kUint8).Put(uint8_t{7});
  file.Key("a", GgufKind::kString).String("text");
  file.ArrayKey("c", GgufKind::kInt32, 2).Put(int32_t{-1}).Put(int32_t{5});
  const auto parsed = GgufFile::Parse(file.bytes(), "m.gguf");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT((*parsed)->metadata().keys(), ElementsAre("b", "a", "c"));
  EXPECT_EQ((*parsed)->metadata().GetUint("b")->value(), 7u);
  EXPECT_EQ((*parsed)->metadata().GetString("a")->value(), "text");
  EXPECT_THAT((*parsed)->metadata().GetInts("c")->value(), ElementsAre(-1, 5));
}

TEST(GgufTest, AlignmentKeyMovesTheData) {
  GgufBytes file(1, 1);
  file.Key("general.alignment", GgufKind::kUint32).Put(uint32_t{256});
  file.Tensor("a", {2}, TensorType::kF32, 256).Data(256 + 8, 256);
  const auto parsed = GgufFile::Parse(file.bytes(), "m.gguf");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(((*parsed)->FindTensor("a")->data.data() - file.bytes().data()) % 256, 0);
}

TEST(GgufTest, OpenedFileReadsTheSameAfterRelease) {
  const std::string path = testing::TempDir() + "open.gguf";
  const GgufBytes file = OneTensor({1024}, TensorType::kF32);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.bytes().data()),
             static_cast<std::streamsize>(file.bytes().size()));
  const auto opened = GgufFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  (*opened)->Release((*opened)->tensors()[0].data);
  EXPECT_EQ((*opened)->bytes(), absl::MakeConstSpan(file.bytes()));
  EXPECT_EQ((*opened)->name(), path);
}

TEST(GgufTest, ReleaseLeavesBytesThatAreNotTheFilesAlone) {
  const std::string path = testing::TempDir() + "open.gguf";
  const GgufBytes file = OneTensor({1024}, TensorType::kF32);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.bytes().data()),
             static_cast<std::streamsize>(file.bytes().size()));
  const auto opened = GgufFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::vector<uint8_t> own(1 << 20, 7);
  (*opened)->Release(own);
  EXPECT_EQ(own, std::vector<uint8_t>(1 << 20, 7));
}

TEST(GgufTest, MissingFileIsNotFound) {
  EXPECT_EQ(GgufFile::Open("/nonexistent/m.gguf").status().code(), absl::StatusCode::kNotFound);
}

TEST(GgufTest, ForeignFilesAreRefused) {
  ExpectInvalid(GgufBytes(0, 0, 3, "GGML"), "convert the model to GGUF");
  ExpectError(GgufBytes(0, 0, 1), absl::StatusCode::kUnimplemented, "version 1");
  ExpectError(GgufBytes(0, 0, 4), absl::StatusCode::kUnimplemented, "version 4");
  ExpectError(GgufBytes(0, 0, 0x03000000), absl::StatusCode::kUnimplemented, "big-endian");
}

TEST(GgufTest, CountsBeyondTheFileAreRefusedBeforeMemoryIsTaken) {
  const uint64_t kHuge[] = {1000, uint64_t{1} << 40, ~uint64_t{0}};
  for (const uint64_t huge : kHuge) {
    ExpectInvalid(GgufBytes(huge, 0), "tensors");
    ExpectInvalid(GgufBytes(0, huge), "metadata entries");
    GgufBytes text(0, 1);
    ExpectInvalid(text.Key("k", GgufKind::kString).Put(huge), "metadata key k");
    GgufBytes name(0, 1);
    ExpectInvalid(name.Put(huge).Put(uint64_t{0}), "the key of metadata entry 0");
    for (const GgufKind kind : {GgufKind::kUint8, GgufKind::kBool, GgufKind::kFloat64, GgufKind::kString}) {
      GgufBytes array(0, 1);
      ExpectInvalid(array.ArrayKey("k", kind, huge).Put(uint64_t{0}), "the array of metadata key k");
    }
  }
}

TEST(GgufTest, ArraysWithMoreElementsThanAnyVocabularyAreRefused) {
  GgufBytes file(0, 1);
  file.ArrayKey("k", GgufKind::kUint8, (uint64_t{1} << 26) + 1).Data((size_t{1} << 26) + 64);
  ExpectInvalid(file, "array elements");
}

TEST(GgufTest, NestedArraysAreRefused) {
  GgufBytes file(0, 1);
  ExpectInvalid(file.ArrayKey("k", GgufKind::kArray, 1).Put(uint64_t{0}), "holds arrays");
}

TEST(GgufTest, UnknownMetadataKindsAreRefused) {
  GgufBytes scalar(0, 1);
  ExpectInvalid(scalar.Key("k", static_cast<GgufKind>(13)).Put(uint64_t{0}), "unknown kind 13");
  GgufBytes array(0, 1);
  ExpectInvalid(array.ArrayKey("k", static_cast<GgufKind>(99), 1).Put(uint64_t{0}), "unknown kind 99");
}

TEST(GgufTest, BoolsThatAreNeitherAreRefused) {
  GgufBytes file(0, 1);
  ExpectInvalid(file.Key("k", GgufKind::kBool).Put(uint8_t{2}), "metadata key k holds the bool 2");
}

TEST(GgufTest, NamesThatOccurTwiceAreRefused) {
  GgufBytes keys(0, 2);
  keys.Key("k", GgufKind::kUint8).Put(uint8_t{1}).Key("k", GgufKind::kUint8).Put(uint8_t{1});
  ExpectInvalid(keys, "metadata key k occurs twice");
  GgufBytes tensors(2, 0);
  tensors.Tensor("a", {1}, TensorType::kF32, 0).Tensor("a", {1}, TensorType::kF32, 32).Data(64);
  ExpectInvalid(tensors, "tensor a occurs twice");
}

TEST(GgufTest, NamesAreShownOnOneLine) {
  GgufBytes file(0, 1);
  ExpectInvalid(file.Key("a\nb\x01", GgufKind::kBool).Put(uint8_t{2}), "a\\nb\\x01");
}

TEST(GgufTest, AlignmentsThatAreNoPowerOfTwoOrMisplaceBlocksAreRefused) {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 1u << 21}) {
    GgufBytes file(1, 1);
    file.Key("general.alignment", GgufKind::kUint32)
        .Put(alignment)
        .Tensor("a", {1}, TensorType::kF32, 0)
        .Data(64);
    ExpectInvalid(file, "power of two");
  }
}

TEST(GgufTest, AlignmentsOfTheWrongKindOrSizeAreRefused) {
  GgufBytes text(1, 1);
  text.Key("general.alignment", GgufKind::kString)
      .String("32")
      .Tensor("a", {1}, TensorType::kF32, 0)
      .Data(64);
  ExpectInvalid(text, "general.alignment");
  GgufBytes huge(1, 1);
  huge.Key("general.alignment", GgufKind::kUint64).Put(uint64_t{1} << 63);
  ExpectInvalid(huge.Tensor("a", {1}, TensorType::kF32, 0).Data(64), "power of two");
}

TEST(GgufTest, DimensionsOutOfRangeAreRefused) {
  ExpectInvalid(OneTensor({}, TensorType::kF32), "0 dimensions");
  ExpectInvalid(OneTensor({1, 1, 1, 1, 1}, TensorType::kF32), "5 dimensions");
  ExpectInvalid(OneTensor({4, 0}, TensorType::kF32), "dimension 1 of tensor a is 0");
  ExpectInvalid(OneTensor({33}, TensorType::kQ4_0), "do not divide into blocks of 32");
}

TEST(GgufTest, DimensionsWhoseProductOverflowsAreRefused) {
  const uint64_t half = uint64_t{1} << 32;
  ExpectInvalid(OneTensor({half, half}, TensorType::kF32), "past the end");
  ExpectInvalid(OneTensor({32, half, half}, TensorType::kQ4_0), "past the end");
  ExpectInvalid(OneTensor({2, 2, 2, uint64_t{1} << 61}, TensorType::kF32), "past the end");
  ExpectInvalid(OneTensor({~uint64_t{0}}, TensorType::kF32), "too large");
}

TEST(GgufTest, DataOutsideTheFileIsRefused) {
  ExpectInvalid(OneTensor({1025}, TensorType::kF32), "past the end");
  ExpectInvalid(OneTensor({1}, TensorType::kF32, 4096), "past the end");
  ExpectInvalid(OneTensor({1}, TensorType::kF32, ~uint64_t{31}), "past the end");
  ExpectInvalid(OneTensor({1}, TensorType::kF32, 16), "not aligned");
}

TEST(GgufTest, TensorsThatShareDataAreRefused) {
  GgufBytes file(2, 0);
  file.Tensor("a", {16}, TensorType::kF32, 0).Tensor("b", {16}, TensorType::kF32, 32).Data(4096);
  ExpectInvalid(file, "overlap");
}

TEST(GgufTest, UnknownTensorTypesAreUnimplementedAndTheKnownListed) {
  const GgufBytes file = OneTensor({1}, static_cast<TensorType>(5));
  ExpectError(file, absl::StatusCode::kUnimplemented, "type number 5");
  ExpectError(file, absl::StatusCode::kUnimplemented, SupportedTypeNames());
}

TEST(GgufTest, EveryFileOfTheReferencePackOpens) {
  HEARTH_SKIP_WITHOUT_PACK();
  int opened = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(ConformancePack())) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = GgufFile::Open(entry.path());
    EXPECT_TRUE(file.ok()) << file.status();
    ++opened;
  }
  EXPECT_GT(opened, 100);
}

}  // namespace
}  // namespace hearth
