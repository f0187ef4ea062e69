#include "engine/file/torch_vector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/powerinfer_files.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<double>> Read(const std::string& file) {
  return ReadTorchVector({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
}

void ExpectRefused(const std::string& file, const std::string& message) {
  const absl::Status status = Read(file).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

// Three numbers of that kind.
template <class T>
std::string FileOf(const std::string& storage, const std::vector<T>& numbers) {
  TorchPickle pickle;
  pickle.storage = storage;
  pickle.stored = pickle.size = 3;
  return TorchFile(pickle, NumbersOf(numbers));
}

TEST(TorchVectorTest, ReadsEveryKindOfNumber) {
  EXPECT_THAT(*Read(FileOf<float>("FloatStorage", {1.5f, 0, -2})), ElementsAre(1.5, 0, -2));
  EXPECT_THAT(*Read(FileOf<double>("DoubleStorage", {1.5, 0, -2})), ElementsAre(1.5, 0, -2));
  EXPECT_THAT(*Read(FileOf<uint16_t>("HalfStorage", {0x3e00, 0, 0xc000})), ElementsAre(1.5, 0, -2));
  EXPECT_THAT(*Read(FileOf<int64_t>("LongStorage", {int64_t{1} << 40, 0, -2})), ElementsAre(0x1p40, 0, -2));
  EXPECT_THAT(*Read(FileOf<int32_t>("IntStorage", {70000, 0, -2})), ElementsAre(70000, 0, -2));
  EXPECT_THAT(*Read(FileOf<int16_t>("ShortStorage", {300, 0, -2})), ElementsAre(300, 0, -2));
  EXPECT_THAT(*Read(FileOf<int8_t>("CharStorage", {100, 0, -2})), ElementsAre(100, 0, -2));
  EXPECT_THAT(*Read(FileOf<uint8_t>("ByteStorage", {200, 0, 2})), ElementsAre(200, 0, 2));
}

TEST(TorchVectorTest, ReadsAPartOfAStorage) {
  TorchPickle pickle;
  pickle.stored = 5;
  pickle.offset = 1;
  pickle.size = 2;
  EXPECT_THAT(*Read(TorchFile(pickle, NumbersOf<float>({0, 1, 2, 3, 4}))), ElementsAre(1, 2));
}

TEST(TorchVectorTest, OtherPicklesAreNotRunButRefused) {
  TorchPickle pickle;
  pickle.stored = pickle.size = 1;
  pickle.function = "system";
  ExpectRefused(TorchFile(pickle, "1234"), "something else than one tensor");
  const std::string system = "cos\nsystem\n(X\x04\0\0\0trueetR.";
  ExpectRefused(ZipFile({{"archive/data.pkl", system}}), "something else than one tensor");
  ExpectRefused(ZipFile({{"archive/data.pkl", TorchPickle().Text() + "."}, {"archive/data/0", ""}}),
                "something else than one tensor");
}

TEST(TorchVectorTest, TensorsThatAreNotInTheirStorageAreRefused) {
  TorchPickle pickle;
  pickle.stored = 2;
  pickle.size = 3;
  ExpectRefused(TorchFile(pickle, "12345678"), "does not lie in one run");
  pickle.size = 2;
  pickle.offset = 1;
  ExpectRefused(TorchFile(pickle, "12345678"), "does not lie in one run");
  pickle.offset = 0;
  pickle.stride = 2;
  ExpectRefused(TorchFile(pickle, "12345678"), "does not lie in one run");
  pickle.stride = 1;
  ExpectRefused(TorchFile(pickle, "1234"), "2 numbers are not there");
  pickle.key = "../0";
  ExpectRefused(TorchFile(pickle, "12345678"), "2 numbers are not there");
}

TEST(TorchVectorTest, NumbersOfUnknownKindsOrOrderAreRefused) {
  ExpectRefused(FileOf<float>("ComplexFloatStorage", {1, 2, 3}), "unknown kind ComplexFloatStorage");
  TorchPickle pickle;
  pickle.stored = pickle.size = 1;
  ExpectRefused(ZipFile({{"a/data.pkl", pickle.Text()}, {"a/byteorder", "big"}, {"a/data/0", "1234"}}),
                "not little-endian");
}

TEST(TorchVectorTest, OtherFilesAreRefused) {
  ExpectRefused("", "no zip archive");
  ExpectRefused("\x80\x02 an older PyTorch wrote this", "no zip archive");
  ExpectRefused(ZipFile({{"hello.txt", "hello"}}), "none of PyTorch's");
  ExpectRefused(ZipFile({{"a/data.pkl", "x", /*method=*/8}}), "compressed");
  ExpectRefused(ZipFile({{"a/data.pkl", "x"}, {"a/data.pkl", "x"}}), "two entries");
  ExpectRefused(ZipFile(std::vector<ZipEntry>(65, {"x", "x"})), "more than 64 entries");
}

TEST(TorchVectorTest, StrangePicklesGiveNoMoreNumbersThanThereAre) {
  TorchPickle pickle;
  pickle.stored = pickle.size = 4;
  const std::string text = pickle.Text(), numbers = NumbersOf<float>({1, 2, 3, 4});
  const auto read = [&](const std::string& strange) {
    return Read(ZipFile({{"a/data.pkl", strange}, {"a/data/0", numbers}}));
  };
  for (size_t bytes = 0; bytes < text.size(); ++bytes)
    EXPECT_FALSE(read(text.substr(0, bytes)).ok()) << bytes;
  for (size_t at = 0; at < text.size(); ++at) {
    for (const int flip : {1, 2, 4, 0x80, 0xff}) {
      std::string strange = text;
      strange[at] = static_cast<char>(strange[at] ^ flip);
      const auto values = read(strange);
      if (values.ok()) {
        EXPECT_LE(values->size(), 4u) << at;
      }
    }
  }
}

TEST(TorchVectorTest, DamageIsNoticedOrChangesNothing) {
  const std::string file = TorchFile(std::vector<float>{1, 2, 3, 4});
  const std::vector<double> numbers = *Read(file);
  for (size_t bytes = 0; bytes < file.size(); ++bytes)
    EXPECT_FALSE(Read(file.substr(0, bytes)).ok()) << bytes;
  for (size_t at = 0; at < file.size(); ++at) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string damaged = file;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const auto read = Read(damaged);
      if (read.ok()) {
        EXPECT_EQ(*read, numbers) << at;
      }
    }
  }
}

}  // namespace
}  // namespace hearth
