#include "engine/neuron/profile_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/file/gguf_writer.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

std::string TempFile(const std::string& name) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  return ::testing::TempDir() + "hearth_profile_file_" + test->name() + "_" + name;
}

class ProfileFileTest : public ::testing::Test {
 protected:
  void SetUp() override { WriteModel(0); }

  // A model of one tensor whose last value is `last`.
  void WriteModel(float last) {
    std::vector<float> values(2000, 1);
    values.back() = last;
    GgufWriter writer;
    writer.AddFloats("a.weight", {1000, 2}, values);
    ASSERT_TRUE(writer.Write(model_path_).ok());
    model_ = GgufFile::Open(model_path_).value();
  }

  // A profile of the model; `change` may spoil it.
  void WriteProfile(const std::function<void(GgufWriter&)>& change = [](GgufWriter&) {}) {
    GgufWriter writer;
    DescribeProfile(*model_, 100, {{0.5f, 1.0f}, {}}, writer);
    change(writer);
    ASSERT_TRUE(writer.Write(profile_path_).ok());
  }

  void ExpectRefused(const std::string& message) {
    const auto profile = OpenProfile(profile_path_, *model_);
    EXPECT_EQ(profile.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(profile.status().message()), HasSubstr(message));
    EXPECT_THAT(std::string(profile.status().message()), HasSubstr(profile_path_));
  }

  const std::string model_path_ = TempFile("m.gguf"), profile_path_ = TempFile("m.profile");
  std::unique_ptr<GgufFile> model_;
};

TEST_F(ProfileFileTest, FindsTheProfileBesideTheModel) {
  WriteProfile();
  const auto profile = FindProfile("", *model_);
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_NE(*profile, nullptr);
  EXPECT_EQ((*profile)->metadata().GetUint("hearth.profile.tokens").value(), 100u);
  EXPECT_EQ((*profile)->metadata().GetFloats("hearth.profile.0").value(), (std::vector<float>{0.5f, 1.0f}));
  EXPECT_FALSE((*profile)->metadata().Has("hearth.profile.1"));
}

TEST_F(ProfileFileTest, NoProfileBesideTheModelIsNone) {
  std::remove(profile_path_.c_str());
  const auto profile = FindProfile("", *model_);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(*profile, nullptr);
}

TEST_F(ProfileFileTest, ANamedProfileMustBeThere) {
  EXPECT_EQ(FindProfile(TempFile("absent"), *model_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ProfileFileTest, OutlivesAChangeOfItsFile) {
  WriteProfile([](GgufWriter& writer) { writer.AddFloats("blk.0.fc1.weight", {2}, {1, 2}); });
  const auto profile = OpenProfile(profile_path_, *model_).value();
  GgufWriter empty;
  ASSERT_TRUE(empty.Write(profile_path_).ok());
  float values[2];
  Dequantize(TensorType::kF32, profile->tensors()[0].data, 2, values);
  EXPECT_EQ(values[1], 2);
}

TEST_F(ProfileFileTest, RefusesTheProfileOfAnotherModel) {
  WriteProfile();
  WriteModel(1);
  ExpectRefused("belongs to another model");
}

TEST_F(ProfileFileTest, RefusesAModelAsProfile) {
  WriteProfile([](GgufWriter& writer) { writer.Set("general.type", std::string("model")); });
  ExpectRefused("is no profile of a model");
}

TEST_F(ProfileFileTest, RefusesAPredictorWithAValueThatIsNoNumber) {
  WriteProfile([](GgufWriter& writer) {
    writer.AddFloats("blk.0.fc2.weight", {2, 2}, {1, 2, std::numeric_limits<float>::quiet_NaN(), 4});
  });
  ExpectRefused("row 1 of blk.0.fc2.weight");
}

TEST_F(ProfileFileTest, RefusesTensorsOfTheModel) {
  WriteProfile([](GgufWriter& writer) { writer.AddFloats("token_embd.weight", {2}, {1, 2}); });
  ExpectRefused("no predictor's");
}

TEST_F(ProfileFileTest, RefusesAFileThatWasCutShort) {
  WriteProfile(
      [](GgufWriter& writer) { writer.AddFloats("blk.0.fc1.weight", {64}, std::vector<float>(64)); });
  ASSERT_EQ(truncate(profile_path_.c_str(), 300), 0);
  ExpectRefused("");
}

TEST(ProfilePath, ReplacesTheEndingOfTheModel) {
  EXPECT_EQ(ProfilePathOf("dir.gguf/m.gguf"), "dir.gguf/m.profile");
  EXPECT_EQ(ProfilePathOf("model"), "model.profile");
}

TEST(ModelFingerprint, TellsNamesTypesAndShapesApart) {
  const auto fingerprint = [](const std::string& name, std::vector<uint64_t> ne) {
    GgufWriter writer;
    writer.AddFloats(name, ne, std::vector<float>(8));
    const std::vector<uint8_t> bytes = writer.Serialize().value();
    return ModelFingerprint(*GgufFile::Parse(bytes, "m").value());
  };
  EXPECT_EQ(fingerprint("a", {8}), fingerprint("a", {8}));
  EXPECT_NE(fingerprint("a", {8}), fingerprint("b", {8}));
  EXPECT_NE(fingerprint("a", {8}), fingerprint("a", {2, 4}));
  EXPECT_EQ(fingerprint("a", {8}).size(), 16u);
}

}  // namespace
}  // namespace hearth
