#include "daemon/weights/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/sha256.h"
#include "engine/file/gguf_writer.h"
#include "engine/neuron/profile_file.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// A tiny model with a vocabulary.
TinyModel WithTokens(size_t count) {
  TinyModel model;
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  while (tokens.size() < count) tokens.push_back(std::string(1, static_cast<char>('a' + tokens.size())));
  model.Set("tokenizer.ggml.model", std::string("llama"));
  model.Set("tokenizer.ggml.scores", std::vector<float>(count, 0.0f));
  model.Set("tokenizer.ggml.token_type", std::vector<int64_t>(count, 1));
  model.Set("tokenizer.ggml.tokens", std::move(tokens));
  return model;
}

class DigestTest : public ::testing::Test {
 protected:
  DigestTest()
      : dir_(absl::StrCat(::testing::TempDir(), "digest-",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  ~DigestTest() override { std::filesystem::remove_all(dir_); }

  std::string Write(const std::string& name, const TinyModel& model) {
    const auto file = *model.Build();
    const std::string path = dir_ + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(file->bytes().data()),
               static_cast<std::streamsize>(file->bytes().size()));
    return path;
  }
  absl::StatusOr<std::string> Digest(const GgufFile& file, bool stop = false) {
    const std::atomic<bool> stopped = stop;
    progress_ = 0;
    return DigestOfFile(file, dir_ + "/digests", stopped, [this](uint64_t bytes) { progress_ = bytes; });
  }

  const std::string dir_;
  uint64_t progress_ = 0;
};

TEST_F(DigestTest, IsComputedOnceForAFileThatStaysAsItIs) {
  const auto file = *GgufFile::Open(Write("m.gguf", TinyModel()));
  const std::string expected = absl::StrCat("sha256:", Sha256Hex(Sha256Of(file->bytes())));
  EXPECT_EQ(*Digest(*file), expected);
  EXPECT_EQ(progress_, file->bytes().size());
  EXPECT_EQ(*Digest(*file), expected);
  EXPECT_EQ(progress_, 0);
}

TEST_F(DigestTest, IsThatOfTheOpenedFileWhenAnotherTakesItsName) {
  const std::string path = Write("m.gguf", TinyModel());
  const auto file = *GgufFile::Open(path);
  const std::string expected = absl::StrCat("sha256:", Sha256Hex(Sha256Of(file->bytes())));
  std::filesystem::rename(Write("other.gguf", TinyModel("qwen2")), path);
  EXPECT_EQ(*Digest(*file), expected);
  EXPECT_NE(*Digest(**GgufFile::Open(path)), expected);
}

TEST_F(DigestTest, OfAFileThatIsCutShortIsAnError) {
  const std::string path = Write("m.gguf", TinyModel());
  const auto file = *GgufFile::Open(path);
  std::filesystem::resize_file(path, 100);
  EXPECT_EQ(Digest(*file).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DigestTest, EndsWhenItIsStopped) {
  const auto file = *GgufFile::Open(Write("m.gguf", TinyModel()));
  EXPECT_EQ(Digest(*file, /*stop=*/true).status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Digest(*file).ok());
}

TEST(ReadModelFileTest, VocabularyMayHaveFewerTokensThanTheEmbeddingHasRowsButNotMore) {
  EXPECT_TRUE(ReadModelFile(*WithTokens(20).Build(), std::nullopt, 64).ok());
  EXPECT_TRUE(ReadModelFile(*WithTokens(12).Build(), std::nullopt, 64).ok());
  const absl::Status status = ReadModelFile(*WithTokens(21).Build(), std::nullopt, 64).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("21 tokens, but token_embd.weight has 20 rows"));
}

using ReadModelFileOnDisk = DigestTest;

TEST_F(ReadModelFileOnDisk, TakesTheProfileBesideTheModel) {
  const std::shared_ptr<const GgufFile> file = *GgufFile::Open(Write("m.gguf", WithTokens(20)));
  GgufWriter writer;
  DescribeProfile(*file, 77, {std::vector<float>(64, 0.25f), std::vector<float>(64, 0.5f)}, writer);
  ASSERT_TRUE(writer.Write(dir_ + "/m.profile").ok());
  const auto model = ReadModelFile(file, std::nullopt, 64);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->outline->profile.tokens, 77u);
  EXPECT_EQ(model->outline->neuron_groups[1][0].frequency, 0.5f);
}

TEST_F(ReadModelFileOnDisk, RefusesTheProfileOfAnotherModelBesideIt) {
  const std::shared_ptr<const GgufFile> file = *GgufFile::Open(Write("m.gguf", WithTokens(20)));
  GgufWriter writer;
  TinyModel other = WithTokens(20);
  other.Fill("output_norm.weight", 0.5f);
  DescribeProfile(**GgufFile::Open(Write("other.gguf", other)), 77, {}, writer);
  ASSERT_TRUE(writer.Write(dir_ + "/m.profile").ok());
  const absl::Status status = ReadModelFile(file, std::nullopt, 64).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("m.profile: belongs to another model"));
}

}  // namespace
}  // namespace hearth
