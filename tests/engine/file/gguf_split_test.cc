// Models that are split over several files, as they lie in a folder.
#include "engine/file/gguf_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/file/gguf_writer.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

class SplitModelTest : public ::testing::Test {
 protected:
  SplitModelTest() { fs::create_directories(folder_); }
  ~SplitModelTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }
  std::string PathOf(uint32_t part, uint32_t parts = 3) const {
    return SplitName{Path("m"), part, parts, ".gguf"}.Of(part);
  }

  // Writes part `part` of `parts` with these tensors of one value each, of `tensors` altogether.
  void Write(const std::string& path, uint64_t part, uint64_t parts, const std::vector<std::string>& names,
             uint64_t tensors = 3) const {
    GgufWriter writer;
    if (part == 1) writer.Set("general.architecture", std::string("llama"));
    writer.Set("split.no", part - 1);
    writer.Set("split.count", parts);
    writer.Set("split.tensors.count", tensors);
    for (const std::string& name : names) {
      const std::vector<float> value = {static_cast<float>(name.back() - '0')};
      writer.AddFloats(name, {1}, value);
    }
    ASSERT_TRUE(writer.Write(path).ok());
  }
  void WriteModel() const {
    Write(PathOf(1), 1, 3, {});
    Write(PathOf(2), 2, 3, {"t1", "t2"});
    Write(PathOf(3), 3, 3, {"t3"});
  }
  static absl::Status ErrorOf(const std::string& path) { return GgufFile::Open(path).status(); }

  const fs::path folder_ = fs::temp_directory_path() / absl::StrCat("hearth_split_", getpid());
};

TEST_F(SplitModelTest, AnyPartOpensTheWholeModel) {
  WriteModel();
  uint64_t bytes = 0;
  for (uint32_t part = 1; part <= 3; ++part) bytes += fs::file_size(PathOf(part));
  for (uint32_t part = 1; part <= 3; ++part) {
    const auto file = GgufFile::Open(PathOf(part));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->name(), PathOf(1));
    EXPECT_EQ((*file)->tensors().size(), 3u);
    EXPECT_EQ((*file)->file_bytes(), bytes);
    EXPECT_EQ((*file)->parts().size(), 3u);
    for (const char* name : {"t1", "t2", "t3"}) {
      const GgufTensor* tensor = (*file)->FindTensor(name);
      ASSERT_NE(tensor, nullptr) << name;
      EXPECT_EQ(*reinterpret_cast<const float*>(tensor->data.data()), static_cast<float>(name[1] - '0'));
    }
  }
}

TEST_F(SplitModelTest, MetadataIsThatOfAWholeModel) {
  WriteModel();
  const auto file = GgufFile::Open(PathOf(2)).value();
  EXPECT_THAT(file->metadata().keys(), ElementsAre("general.architecture"));
  EXPECT_EQ(file->metadata_entries().size(), 1u);
}

TEST_F(SplitModelTest, ChangeOfAnyPartIsNoticed) {
  WriteModel();
  const auto file = GgufFile::Open(PathOf(1)).value();
  EXPECT_TRUE(file->CheckUnchanged().ok());
  const std::string before = file->Identity();
  fs::resize_file(PathOf(3), 10);
  EXPECT_TRUE(absl::IsDataLoss(file->CheckUnchanged()));
  Write(PathOf(3), 3, 3, {"t3"});
  EXPECT_NE(GgufFile::Open(PathOf(1)).value()->Identity(), before);
}

TEST_F(SplitModelTest, ReleasedPartsAreReadAgain) {
  WriteModel();
  const auto file = GgufFile::Open(PathOf(1)).value();
  const GgufTensor* tensor = file->FindTensor("t3");
  file->Release(tensor->data);
  EXPECT_EQ(*reinterpret_cast<const float*>(tensor->data.data()), 3.0f);
}

TEST_F(SplitModelTest, MissingPartIsNamed) {
  WriteModel();
  fs::remove(PathOf(2));
  for (const uint32_t part : {1, 3}) {
    const absl::Status status = ErrorOf(PathOf(part));
    EXPECT_TRUE(absl::IsNotFound(status));
    EXPECT_EQ(status.message(), absl::StrCat(PathOf(2),
                                             ": part 2 of 3 of the split model is missing; download it "
                                             "into the same folder"));
  }
}

TEST_F(SplitModelTest, SwappedPartsAreNamed) {
  WriteModel();
  fs::rename(PathOf(2), Path("other"));
  fs::rename(PathOf(3), PathOf(2));
  fs::rename(Path("other"), PathOf(3));
  const absl::Status status = ErrorOf(PathOf(1));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), absl::StrCat(PathOf(2),
                                           ": is to be part 2 of 3 of a split model, but holds part 3 of 3; "
                                           "download this part again"));
}

TEST_F(SplitModelTest, DuplicatedPartIsNamed) {
  WriteModel();
  fs::copy_file(PathOf(2), PathOf(3), fs::copy_options::overwrite_existing);
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()),
              HasSubstr("-00003-of-00003.gguf: is to be part 3 of 3 of a "
                        "split model, but holds part 2 of 3"));
}

TEST_F(SplitModelTest, PartOfAnotherModelIsNamed) {
  WriteModel();
  Write(PathOf(3), 3, 3, {"t3"}, /*tensors=*/7);
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()), HasSubstr("holds part 3 of 3 of another model"));
  Write(PathOf(3), 3, 3, {"t2"});
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()),
              HasSubstr("-00003-of-00003.gguf: tensor t2 is in a part before as well"));
  Write(PathOf(3), 3, 3, {});
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()),
              HasSubstr("have 2 tensors together, but are to have 3"));
}

TEST_F(SplitModelTest, WholeModelInPlaceOfAPartIsNamed) {
  WriteModel();
  GgufWriter whole;
  whole.Set("general.architecture", std::string("llama"));
  ASSERT_TRUE(whole.Write(PathOf(2)).ok());
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()),
              HasSubstr("is to be part 2 of 3 of a split model, but holds "
                        "a whole model"));
}

TEST_F(SplitModelTest, RenamedPartSaysWhichNameItNeeds) {
  Write(Path("second.gguf"), 2, 3, {"t1"});
  EXPECT_THAT(
      std::string(ErrorOf(Path("second.gguf")).message()),
      HasSubstr("is part 2 of 3 of a split model, whose parts are found by their names; give them those that "
                "they had, such as NAME-00002-of-00003.gguf"));
  Write(PathOf(2, 4), 2, 3, {"t1"});
  EXPECT_THAT(std::string(ErrorOf(PathOf(2, 4)).message()),
              HasSubstr("is to be part 2 of 4 of a split model, but holds part 2 of 3"));
}

TEST_F(SplitModelTest, ImpossibleNumbersAreRefused) {
  Write(PathOf(1), 5, 3, {});
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()), HasSubstr("not a possible number"));
  Write(PathOf(1), 1, uint64_t{1} << 40, {});
  EXPECT_THAT(std::string(ErrorOf(PathOf(1)).message()), HasSubstr("not a possible number"));
}

TEST_F(SplitModelTest, OnePartOfOneIsAWholeModel) {
  Write(Path("m.gguf"), 1, 1, {"t1"});
  EXPECT_TRUE(ErrorOf(Path("m.gguf")).ok());
}

}  // namespace
}  // namespace hearth
