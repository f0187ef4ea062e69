#include "engine/file/gguf_skeleton.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/file/gguf_writer.h"

namespace hearth {
namespace {

// The bytes of a file with a vocabulary, a matrix and a scalar.
std::vector<uint8_t> ModelBytes() {
  GgufWriter writer;
  writer.Set("general.architecture", std::string("llama"));
  writer.Set("tokenizer.ggml.tokens", std::vector<std::string>(1000, "token"));
  writer.AddFloats("blk.0.ffn_up.weight", {64, 32}, std::vector<float>(64 * 32, 1.0f));
  writer.AddFloats("blk.0.ffn_up.scale", {1}, {0.5f});
  return writer.Serialize().value();
}

// A skeleton whose only listed tensor is as given.
absl::Status Parsed(std::vector<std::string> names, std::vector<uint64_t> types,
                    std::vector<uint64_t> shapes) {
  GgufWriter writer;
  writer.Set("hearth.skeleton.names", std::move(names));
  writer.Set("hearth.skeleton.types", std::move(types));
  writer.Set("hearth.skeleton.shapes", std::move(shapes));
  return ParseSkeleton(writer.Serialize().value(), "skeleton").status();
}

TEST(GgufSkeletonTest, TellsEverythingButWeightsAndVocabulary) {
  const std::vector<uint8_t> bytes = ModelBytes();
  const auto file = GgufFile::Parse(bytes, "model").value();
  const std::vector<uint8_t> skeleton_bytes = MakeSkeleton(*file).value();
  EXPECT_LT(skeleton_bytes.size(), 1000u);
  const auto skeleton = ParseSkeleton(skeleton_bytes, "skeleton");
  ASSERT_TRUE(skeleton.ok()) << skeleton.status();
  EXPECT_EQ(*(*skeleton)->metadata().GetString("general.architecture").value(), "llama");
  EXPECT_FALSE((*skeleton)->metadata().Has("tokenizer.ggml.tokens"));
  const GgufTensor* up = (*skeleton)->FindTensor("blk.0.ffn_up.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_TRUE(up->data.empty());
  EXPECT_EQ(up->bytes(), file->FindTensor("blk.0.ffn_up.weight")->data.size());
  EXPECT_EQ(up->dimensions, 2);
  const GgufTensor* scale = (*skeleton)->FindTensor("blk.0.ffn_up.scale");
  ASSERT_NE(scale, nullptr);
  EXPECT_EQ(scale->data, file->FindTensor("blk.0.ffn_up.scale")->data);
}

TEST(GgufSkeletonTest, TellsAModelAndItsProfileAsOne) {
  const std::vector<uint8_t> bytes = ModelBytes();
  const auto file = GgufFile::Parse(bytes, "model").value();
  GgufWriter writer;
  writer.Set("general.type", std::string("hearth-profile"));
  writer.Set("hearth.profile.0", std::vector<float>{0.5f, 1});
  writer.AddFloats("blk.0.fc1.weight", {4, 2}, std::vector<float>(8));
  writer.AddFloats("blk.0.ffn_up.weight", {4, 8}, std::vector<float>(32));
  const std::vector<uint8_t> profile_bytes = writer.Serialize().value();
  const auto profile = GgufFile::Parse(profile_bytes, "profile").value();
  const auto skeleton = ParseSkeleton(MakeSkeleton(*file, profile.get()).value(), "skeleton");
  ASSERT_TRUE(skeleton.ok()) << skeleton.status();
  EXPECT_EQ((*skeleton)->metadata().GetFloats("hearth.profile.0").value()->size(), 2u);
  EXPECT_FALSE((*skeleton)->metadata().Has("general.type"));
  EXPECT_EQ((*skeleton)->FindTensor("blk.0.fc1.weight")->rows(), 2u);
  EXPECT_EQ((*skeleton)->FindTensor("blk.0.ffn_up.weight")->cols(), 4u);  // the profile's
}

TEST(GgufSkeletonTest, FileThatIsNoSkeletonIsRefused) {
  EXPECT_EQ(ParseSkeleton(ModelBytes(), "skeleton").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseSkeleton({1, 2, 3}, "skeleton").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(GgufSkeletonTest, ListsThatContradictOneAnotherAreRefused) {
  EXPECT_TRUE(Parsed({"a"}, {0}, {4, 2, 1, 1}).ok());
  EXPECT_EQ(Parsed({"a", "b"}, {0}, {4, 2, 1, 1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Parsed({"a"}, {0}, {4, 2, 1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Parsed({"a", "a"}, {0, 0}, {4, 2, 1, 1, 4, 2, 1, 1}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(GgufSkeletonTest, TensorsThatCannotBeAreRefused) {
  EXPECT_EQ(Parsed({"a"}, {0}, {4, 0, 1, 1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Parsed({"q"}, {2}, {33, 2, 1, 1}).code(), absl::StatusCode::kInvalidArgument);  // cuts a block
  EXPECT_EQ(Parsed({"huge"}, {0}, {1, 1u << 31, 1u << 31, 1u << 31}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Parsed({"wide"}, {0}, {uint64_t{1} << 40, 1, 1, 1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Parsed({"a"}, {9999}, {4, 1, 1, 1}).code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace hearth
