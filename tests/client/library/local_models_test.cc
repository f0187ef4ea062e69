#include "client/library/local_models.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace fs = std::filesystem;

std::function<std::string(const char*)> Variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? "" : found->second;
  };
}

TEST(FoldersOfTest, AreThoseOfThePersonUnlessTheEnvironmentSaysOtherwise) {
  const LibraryFolders folders = FoldersOf(Variables({{"HOME", "/h"}}), "");
  EXPECT_EQ(folders.models, "/h/.local/share/hearth/models");
  EXPECT_EQ(folders.hub_cache, "/h/.cache/huggingface/hub");
  EXPECT_EQ(folders.ollama, "/h/.ollama/models");
  const auto set =
      Variables({{"HOME", "/h"}, {"XDG_DATA_HOME", "/d"}, {"HF_HOME", "/f"}, {"OLLAMA_MODELS", "/o"}});
  EXPECT_EQ(FoldersOf(set, "").models, "/d/hearth/models");
  EXPECT_EQ(FoldersOf(set, "").hub_cache, "/f/hub");
  EXPECT_EQ(FoldersOf(set, "").ollama, "/o");
}

TEST(FoldersOfTest, TheServicesModelsGoBeforeThoseOfRootAndWhatIsSaidBeforeBoth) {
  EXPECT_EQ(FoldersOf(Variables({{"HOME", "/root"}}), "/var/models").models, "/var/models");
  EXPECT_EQ(FoldersOf(Variables({{"HEARTH_MODELS", "/m"}}), "/var/models").models, "/m");
}

TEST(GroupFilesTest, PartsOfOneModelAreOne) {
  const std::vector<LocalModel> models = GroupFiles({{"/m/b-00002-of-00002.gguf", 20},
                                                     {"/m/a.gguf", 1},
                                                     {"/m/b-00001-of-00002.gguf", 10},
                                                     {"/m/README", 5}},
                                                    "models");
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "a");
  EXPECT_EQ(models[1].name, "b");
  EXPECT_EQ(models[1].path, "/m/b-00001-of-00002.gguf");
  EXPECT_EQ(models[1].bytes, 30u);
  EXPECT_TRUE(models[1].whole());
}

TEST(GroupFilesTest, WhatIsMissingIsNamed) {
  const std::vector<LocalModel> models = GroupFiles(
      {{"/m/a.gguf.part", 1}, {"/m/b-00002-of-00003.gguf", 2}, {"/m/b-00003-of-00003.gguf.part", 2}},
      "models");
  ASSERT_EQ(models.size(), 2u);
  EXPECT_TRUE(models[0].unfinished);
  EXPECT_FALSE(models[0].whole());
  EXPECT_TRUE(models[1].unfinished);
  EXPECT_THAT(models[1].missing_parts, ElementsAre(1, 3));
}

TEST(OllamaBlobOfTest, IsTheLayerWithTheModel) {
  const std::string digest(64, 'a');
  EXPECT_EQ(OllamaBlobOf(absl::StrCat(
                R"({"layers": [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:)",
                std::string(64, 'b'), R"("}, {"mediaType": "application/vnd.ollama.image.model",)",
                R"( "digest": "sha256:)", digest, R"("}]})")),
            "sha256-" + digest);
}

TEST(OllamaBlobOfTest, SenselessManifestsHaveNone) {
  for (
      const char* manifest :
      {"", "[]", "{}", R"({"layers": 1})", R"({"layers": [1, {"mediaType": 1}]})",
       R"({"layers": [{"mediaType": "application/vnd.ollama.image.model"}]})",
       R"({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd"}]})"}) {
    EXPECT_EQ(OllamaBlobOf(manifest), std::nullopt) << manifest;
  }
}

class LocalModelsTest : public ::testing::Test {
 protected:
  LocalModelsTest() : folder_(fs::temp_directory_path() / absl::StrCat("hearth-local-models-", getpid())) {
    fs::remove_all(folder_);
    folders_ = {folder_ / "models", folder_ / "hub", folder_ / "ollama"};
    fs::create_directories(folders_.models);
  }
  ~LocalModelsTest() override { fs::remove_all(folder_); }

  std::string Write(const std::string& path, const std::string& text = "GGUF") {
    const fs::path file = folder_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file;
  }
  std::string HubFile(const std::string& revision) {
    const std::string snapshot = absl::StrCat("hub/models--u--r/snapshots/", revision);
    const std::string blob = Write("hub/models--u--r/blobs/blob");
    fs::create_directories(folder_ / snapshot);
    const fs::path link = folder_ / snapshot / "h.gguf";
    fs::create_symlink("../../blobs/blob", link);
    return link;
  }
  std::string OllamaModel() {
    const std::string digest(64, 'a');
    Write("ollama/manifests/registry.ollama.ai/library/llama/8b",
          absl::StrCat(R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:)",
                       digest, R"("}]})"));
    return Write(absl::StrCat("ollama/blobs/sha256-", digest));
  }
  std::string FindError(const std::string& name) {
    return std::string(FindLocalModel(folders_, name).status().message());
  }

  fs::path folder_;
  LibraryFolders folders_;
};

TEST_F(LocalModelsTest, AllPlacesAreLookedAt) {
  Write("models/m.gguf");
  Write("models/below/x.gguf");
  HubFile("1");
  OllamaModel();
  std::vector<std::string> names;
  for (const LocalModel& model : ListLocalModels(folders_))
    names.push_back(absl::StrCat(model.source, " ", model.name));
  EXPECT_THAT(names, ElementsAre("models m", "huggingface h", "ollama llama:8b"));
}

TEST_F(LocalModelsTest, PlacesThatAreNotThereHaveNone) {
  EXPECT_THAT(ListLocalModels({"/no/such", "/no/such", ""}), IsEmpty());
}

TEST_F(LocalModelsTest, AFileThatSeveralRevisionsHaveIsListedOnce) {
  HubFile("1");
  HubFile("2");
  EXPECT_EQ(ListLocalModels(folders_).size(), 1u);
}

TEST_F(LocalModelsTest, ModelsAreFoundByNameAndFile) {
  const std::string path = Write("models/m.gguf");
  EXPECT_EQ(FindLocalModel(folders_, "m")->path, path);
  EXPECT_EQ(FindLocalModel(folders_, "m.gguf")->path, path);
  EXPECT_EQ(FindLocalModel(folders_, "llama:8b").status().code(), absl::StatusCode::kNotFound);
  const std::string blob = OllamaModel();
  EXPECT_EQ(FindLocalModel(folders_, "llama:8b")->path, blob);
}

TEST_F(LocalModelsTest, TheModelsDirectoryGoesFirst) {
  HubFile("1");
  const std::string path = Write("models/h.gguf");
  EXPECT_EQ(FindLocalModel(folders_, "h")->path, path);
}

TEST_F(LocalModelsTest, ModelsThatAreNotWholeAreNotLoaded) {
  Write("models/a.gguf.part");
  Write("models/b-00001-of-00002.gguf");
  EXPECT_THAT(FindError("a"), HasSubstr("go on with the same `hearth pull`"));
  EXPECT_THAT(FindError("b"), HasSubstr("lacks part 2"));
}

TEST_F(LocalModelsTest, RemovingTakesAllFilesOfAModelAndNoOther) {
  Write("models/b-00001-of-00003.gguf");
  Write("models/b-00002-of-00003.gguf");
  Write("models/b-00003-of-00003.gguf.part");
  const std::string other = Write("models/bb.gguf");
  const auto removed = RemoveLocalModel(folders_, "b");
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->bytes, 12u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folders_.models), fs::directory_iterator()), 1);
  EXPECT_TRUE(fs::exists(other));
}

TEST_F(LocalModelsTest, OnlyTheModelsDirectoryIsRemovedFrom) {
  const std::string outside = Write("x.gguf");
  const std::string in_cache = HubFile("1");
  for (const std::string& name :
       {std::string("../x"), std::string("../x.gguf"), outside, std::string("h"), std::string("..")}) {
    EXPECT_FALSE(RemoveLocalModel(folders_, name).ok()) << name;
  }
  EXPECT_TRUE(fs::exists(outside));
  EXPECT_TRUE(fs::exists(in_cache));
}

TEST_F(LocalModelsTest, ALinkIsRemovedAndNotWhatItLeadsTo) {
  const std::string outside = Write("x.gguf");
  fs::create_symlink(outside, fs::path(folders_.models) / "m.gguf");
  EXPECT_TRUE(RemoveLocalModel(folders_, "m").ok());
  EXPECT_TRUE(fs::exists(outside));
}

TEST_F(LocalModelsTest, WhatIsBeingFetchedIsNotRemoved) {
  const std::string part = Write("models/a.gguf.part");
  const int fd = open(part.c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_EQ(RemoveLocalModel(folders_, "a").status().code(), absl::StatusCode::kUnavailable);
  close(fd);
  EXPECT_TRUE(RemoveLocalModel(folders_, "a").ok());
}

}  // namespace
}  // namespace hearth
