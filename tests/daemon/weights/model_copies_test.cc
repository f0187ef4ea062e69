#include "daemon/weights/model_copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/weights/model_copier.h"
#include "daemon/weights/model_file.h"
#include "engine/base/sha256.h"
#include "engine/file/gguf.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Another host's models, and what is asked of it.
class FakeSource final : public ModelFileSource {
 public:
  struct Model {
    std::string path;
    std::vector<std::pair<std::string, std::string>> files;  // names and bytes
    std::string profile;                                     // beside it; empty: none
  };

  absl::StatusOr<std::vector<ModelFiles>> List(const SessionToken&) override {
    std::vector<ModelFiles> models;
    for (const Model& model : models_) models.push_back(Describe(model));
    return models;
  }
  absl::Status Fetch(const SessionToken&, const std::string& digest, const std::string& name, uint64_t offset,
                     const PieceSink& sink) override {
    for (const Model& model : models_) {
      if (Describe(model).digest == digest) return Send(model, name, offset, sink);
    }
    return absl::NotFoundError("no model");
  }
  void Shutdown() override {}

  static ModelFiles Describe(const Model& model) {
    ModelFiles files{model.path, "", {}};
    std::string all;
    for (const auto& [name, bytes] : model.files) {
      files.files.push_back({name, bytes.size()});
      all += bytes;
    }
    if (!model.profile.empty()) files.files.push_back({"profile", model.profile.size(), true});
    files.digest = absl::StrCat("sha256:", Sha256Hex(Sha256Of(all)));
    return files;
  }

  std::vector<Model> models_;
  std::vector<std::string> asked_;  // NAME@OFFSET
  size_t breaks_after_ = SIZE_MAX;  // bytes of a call
  std::string instead_;             // is sent in place of what is asked for
  std::function<void()> sends_;     // called before bytes are sent

 private:
  absl::Status Send(const Model& model, const std::string& name, uint64_t offset, const PieceSink& sink) {
    asked_.push_back(absl::StrCat(name, "@", offset));
    if (sends_) sends_();
    std::string bytes = name == "profile" ? model.profile : "";
    for (const auto& [file, content] : model.files) {
      if (file == name) bytes = content;
    }
    bytes = instead_.empty() ? bytes.substr(offset) : instead_;
    const bool breaks = bytes.size() > breaks_after_;
    if (breaks) bytes.resize(breaks_after_);
    absl::Status status = sink({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    if (status.ok() && breaks) status = absl::UnavailableError("the connection broke");
    return status;
  }
};

std::string TextOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ModelCopiesTest : public ::testing::Test {
 protected:
  ModelCopiesTest() : folder_(absl::StrCat(::testing::TempDir(), "/copies-", ::getpid())) {
    fs::remove_all(folder_);
  }
  ~ModelCopiesTest() override { fs::remove_all(folder_); }

  ModelCopies Copies() {
    return ModelCopies(folder_ + "/copies", [this](const std::string&) { return free_; });
  }
  // What a copier does in one look.
  void Look() {
    auto source = std::make_unique<FakeSource>();
    *source = source_;
    FakeSource& asked = *source;
    ModelCopier copier(std::move(source), Copies(), {.digests_dir = folder_ + "/digests"});
    copier.Look({});
    source_ = asked;
  }
  // The one that other hosts know under `path`.
  static FakeSource::Model Model(const std::string& path, const std::string& bytes) {
    return {path, {{fs::path(path).filename(), bytes}}, ""};
  }

  const std::string folder_;
  uint64_t free_ = 1000;
  FakeSource source_;
};

TEST_F(ModelCopiesTest, AModelThatIsNotHereIsOpenedFromItsCopy) {
  EXPECT_EQ(Copies().Resolve("/theirs/m.gguf"), "/theirs/m.gguf");
  source_.models_ = {Model("/theirs/m.gguf", "weights")};
  Look();
  EXPECT_EQ(TextOf(Copies().Resolve("/theirs/m.gguf")), "weights");
  EXPECT_EQ(Copies().Resolve("/theirs/other.gguf"), "/theirs/other.gguf");
  Look();
  EXPECT_THAT(source_.asked_, ElementsAre("m.gguf@0"));  // and is not copied again
}

TEST_F(ModelCopiesTest, ACopyBreaksOffWhenTheMachineIsItsOwnersAndIsGoneOnWithAfterwards) {
  source_.models_ = {Model("/theirs/a.gguf", "weights of a"), Model("/theirs/b.gguf", "weights of b")};
  auto source = std::make_unique<FakeSource>();
  FakeSource& asked = *source;
  asked.models_ = source_.models_;
  ModelCopier copier(std::move(source), Copies());
  asked.sends_ = [&] { copier.Rest(true); };
  copier.Look({});
  EXPECT_EQ(Copies().Resolve("/theirs/a.gguf"), "/theirs/a.gguf");
  EXPECT_THAT(asked.asked_, ElementsAre("a.gguf@0"));
  asked.sends_ = nullptr;
  copier.Rest(false);
  copier.Look({});
  EXPECT_EQ(TextOf(Copies().Resolve("/theirs/a.gguf")), "weights of a");
  EXPECT_THAT(asked.asked_, ElementsAre("a.gguf@0", "b.gguf@0"));  // of a all had come
}

TEST_F(ModelCopiesTest, ACopyIsNotReadAgainForItsDigest) {
  free_ = UINT64_MAX;
  source_.models_ = {Model("/theirs/m.gguf", TextOf("deploy/demo_model/hearth-demo-q8_0.gguf"))};
  Look();
  const auto copy = GgufFile::Open(Copies().Resolve("/theirs/m.gguf"));
  ASSERT_TRUE(copy.ok()) << copy.status();
  const std::atomic<bool> reads_nothing = true;
  const auto digest = DigestOfFile(**copy, folder_ + "/digests", reads_nothing, [](uint64_t) {});
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, absl::StrCat("sha256:", Sha256Hex(Sha256Of(source_.models_[0].files[0].second))));
}

TEST_F(ModelCopiesTest, OneThatIsHereAtTheSamePathIsNotCopied) {
  fs::create_directories(folder_);
  std::ofstream(folder_ + "/m.gguf") << "own";
  source_.models_ = {Model(folder_ + "/m.gguf", "theirs")};
  Look();
  EXPECT_THAT(source_.asked_, ElementsAre());
  EXPECT_EQ(Copies().Resolve(folder_ + "/m.gguf"), folder_ + "/m.gguf");
}

TEST_F(ModelCopiesTest, PartsAndProfileLieTogether) {
  source_.models_ = {{"/x/m-00001-of-00002.gguf",
                      {{"m-00001-of-00002.gguf", "one"}, {"m-00002-of-00002.gguf", "two"}},
                      "hot"}};
  Look();
  const std::string first = Copies().Resolve("/x/m-00001-of-00002.gguf");
  EXPECT_EQ(TextOf(first), "one");
  EXPECT_EQ(TextOf(fs::path(first).replace_filename("m-00002-of-00002.gguf")), "two");
  EXPECT_EQ(TextOf(fs::path(first).replace_filename("profile")), "hot");
}

TEST_F(ModelCopiesTest, ACopyThatBrokeOffIsGoneOnWith) {
  source_.models_ = {Model("/x/m.gguf", "weights")};
  source_.breaks_after_ = 3;
  Look();
  EXPECT_EQ(Copies().Resolve("/x/m.gguf"), "/x/m.gguf");  // half a file is none
  Look();
  source_.breaks_after_ = SIZE_MAX;
  Look();
  EXPECT_THAT(source_.asked_, ElementsAre("m.gguf@0", "m.gguf@3", "m.gguf@6"));
  EXPECT_EQ(TextOf(Copies().Resolve("/x/m.gguf")), "weights");
}

TEST_F(ModelCopiesTest, BytesOfAnotherFileAreNoCopy) {
  source_.models_ = {Model("/x/m.gguf", "weights")};
  for (const std::string instead : {"other..", "short", "much too long"}) {
    source_.instead_ = instead;
    Look();
    EXPECT_EQ(Copies().Resolve("/x/m.gguf"), "/x/m.gguf") << instead;
  }
  source_.instead_ = "";
  Look();
  Look();  // where the first went on with what was wrong
  EXPECT_EQ(TextOf(Copies().Resolve("/x/m.gguf")), "weights");
}

TEST_F(ModelCopiesTest, AFileThatHasBecomeAnotherIsCopiedAnew) {
  source_.models_ = {Model("/x/m.gguf", "weights")};
  Look();
  source_.models_ = {Model("/x/m.gguf", "better weights")};
  Look();
  EXPECT_EQ(TextOf(Copies().Resolve("/x/m.gguf")), "better weights");
}

TEST_F(ModelCopiesTest, WhereTheDiskHasNoRoomFormerCopiesGoAndTheRestIsSaid) {
  source_.models_ = {Model("/x/former.gguf", "1234567")};
  Look();
  source_.models_ = {Model("/x/m.gguf", "weights")};
  free_ = 6;
  Look();
  EXPECT_EQ(Copies().Resolve("/x/former.gguf"), "/x/former.gguf");
  EXPECT_EQ(Copies().Resolve("/x/m.gguf"), "/x/m.gguf");
  const absl::Status status = Copies().Add(
      FakeSource::Describe(source_.models_[0]),
      [](const auto&, uint64_t, const auto&) { return absl::InternalError("nothing is to be fetched"); });
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no room for a copy of /x/m.gguf"));
  free_ = 7;
  Look();
  EXPECT_EQ(TextOf(Copies().Resolve("/x/m.gguf")), "weights");
}

TEST_F(ModelCopiesTest, NothingIsCopiedToAFolderThatCannotBe) {
  fs::create_directories(folder_);
  std::ofstream(folder_ + "/copies") << "a file";
  source_.models_ = {Model("/x/m.gguf", "weights")};
  const absl::Status status =
      Copies().Add(FakeSource::Describe(source_.models_[0]),
                   [](const auto&, uint64_t, const auto&) { return absl::InternalError("fetched"); });
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot copy a model to"));
}

TEST(ModelFilesFromTheWire, NamesAndSizesThatCannotBeAreRefused) {
  const auto refused = [](const std::vector<std::pair<std::string, uint64_t>>& files, char digit = '0') {
    v1::ModelFiles proto;
    proto.set_path("/m.gguf");
    proto.set_model_digest("sha256:" + std::string(64, digit));
    for (const auto& [name, bytes] : files) {
      proto.add_files()->set_name(name);
      proto.mutable_files()->rbegin()->set_bytes(bytes);
    }
    return absl::IsInvalidArgument(FromProto(proto).status());
  };
  EXPECT_FALSE(refused({{"m.gguf", 5}}));
  EXPECT_TRUE(refused({}));
  for (const std::string name : {"", ".", "..", "../m", "/m", ".digest", "a/b"})
    EXPECT_TRUE(refused({{name, 5}})) << name;
  EXPECT_TRUE(refused({{std::string(300, 'm'), 5}}));
  EXPECT_TRUE(refused({{std::string("m\0", 2), 5}}));
  EXPECT_TRUE(refused({{"m", 5}, {"m", 5}}));
  EXPECT_TRUE(refused({{"m", ~uint64_t{0}}, {"n", 2}}));
  EXPECT_TRUE(refused({{"m", 5}}, 'x'));
}

}  // namespace
}  // namespace hearth
