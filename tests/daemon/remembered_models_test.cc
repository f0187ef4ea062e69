#include "daemon/remembered_models.h"

#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/state/temporary_store.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Loads everything but what lies in /away.
class FakeHost final : public ModelHost {
 public:
  absl::StatusOr<std::string> Load(const ModelSource& source) override {
    const auto& [name, path, objective, draft, adapters] = source;
    if (path.starts_with("/away/")) return absl::NotFoundError(absl::StrCat("there is no file ", path));
    const std::string given = name.empty() ? std::filesystem::path(path).stem().string() : name;
    if (!paths_.emplace(given, path).second) return absl::AlreadyExistsError("the name is in use");
    objectives_[given] = objective;
    drafts_[given] = draft;
    adapters_[given] = adapters;
    return given;
  }
  absl::Status Unload(const std::string& name) override {
    return paths_.erase(name) > 0 ? absl::OkStatus() : absl::NotFoundError("no such model");
  }
  std::vector<ModelInfo> List() const override {
    std::vector<ModelInfo> list;
    for (const auto& [name, path] : paths_) {
      list.emplace_back().name = name;
      list.back().path = path;
    }
    return list;
  }
  absl::StatusOr<std::shared_ptr<ServedModel>> Find(const std::string&) const override {
    return absl::UnavailableError("still being loaded");
  }
  void SetListener(std::function<void()>) override {}

  std::optional<placement::Objective> ObjectiveOf(const std::string& name) const {
    return objectives_.at(name);
  }
  std::string DraftOf(const std::string& name) const { return drafts_.at(name); }
  std::vector<AdapterSource> AdaptersOf(const std::string& name) const { return adapters_.at(name); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, path] : paths_) names.push_back(name);
    return names;
  }

 private:
  std::map<std::string, std::string> paths_;
  std::map<std::string, std::optional<placement::Objective>> objectives_;
  std::map<std::string, std::string> drafts_;
  std::map<std::string, std::vector<AdapterSource>> adapters_;
};

class RememberedModelsTest : public testing::Test {
 protected:
  std::unique_ptr<RememberedModels> Open(FakeHost& host) {
    return RememberedModels::Open(host, *store_, file_).value();
  }
  // What another daemon with the same store has after its start.
  std::vector<std::string> AfterARestart() {
    FakeHost host;
    Open(host)->LoadAll();
    return host.Names();
  }
  void Write(const std::string& text) { std::ofstream(file_) << text; }

  const TemporaryStore folder_;
  std::unique_ptr<StateStore> store_ = folder_.Open();
  const std::string file_ = folder_.folder() + "/loaded-models";  // of daemons before the store
};

TEST_F(RememberedModelsTest, WhatWasLoadedComesBack) {
  FakeHost host;
  const auto models = Open(host);
  EXPECT_EQ(models->Load({"", "/m/a.gguf"}).value(), "a");
  EXPECT_EQ(models->Load({"chat", "/m/b c.gguf"}).value(), "chat");
  EXPECT_THAT(AfterARestart(), ElementsAre("a", "chat"));
}

TEST_F(RememberedModelsTest, ObjectivesComeBackAndWhatNobodyKnowsDoesNot) {
  const placement::Objective prompts{placement::ObjectiveKind::kPrompt, 256};
  FakeHost before;
  ASSERT_TRUE(Open(before)->Load({"a", "/m/a.gguf", prompts}).ok());
  ASSERT_TRUE(Open(before)->Load({"b", "/m/b.gguf"}).ok());
  ASSERT_TRUE(store_->PutModel("c", {"/m/c.gguf", "of a later version"}).ok());
  FakeHost host;
  Open(host)->LoadAll();
  EXPECT_THAT(host.Names(), ElementsAre("a", "b"));
  EXPECT_EQ(host.ObjectiveOf("a"), prompts);
  EXPECT_EQ(host.ObjectiveOf("b"), std::nullopt);
  EXPECT_EQ(store_->Models()->count("c"), 1u);
}

TEST_F(RememberedModelsTest, ModelsThatGuessComeBackWithThoseForWhichTheyDo) {
  FakeHost before;
  ASSERT_TRUE(Open(before)->Load({.name = "a", .path = "/m/a.gguf", .draft = "/m/small.gguf"}).ok());
  ASSERT_TRUE(Open(before)->Load({.name = "b", .path = "/m/b.gguf"}).ok());
  FakeHost host;
  Open(host)->LoadAll();
  EXPECT_EQ(host.DraftOf("a"), "/m/small.gguf");
  EXPECT_EQ(host.DraftOf("b"), "");
}

TEST_F(RememberedModelsTest, AdaptersComeBackAndAModelWithoutThemIsNotLoadedPlain) {
  const std::vector<AdapterSource> adapters = {{"/m/x.gguf", 1}, {"/m/y.gguf", 0.5F}};
  FakeHost before;
  ASSERT_TRUE(Open(before)->Load({.name = "a", .path = "/m/a.gguf", .adapters = adapters}).ok());
  ASSERT_TRUE(store_->PutModel("b", {"/m/b.gguf", "", "", {"/m/x.gguf,scale=a lot"}}).ok());
  FakeHost host;
  Open(host)->LoadAll();
  EXPECT_THAT(host.Names(), ElementsAre("a"));
  EXPECT_EQ(host.AdaptersOf("a"), adapters);
}

TEST_F(RememberedModelsTest, WhatWasUnloadedDoesNot) {
  FakeHost host;
  const auto models = Open(host);
  ASSERT_TRUE(models->Load({"a", "/m/a.gguf"}).ok());
  ASSERT_TRUE(models->Load({"b", "/m/b.gguf"}).ok());
  EXPECT_TRUE(models->Unload("a").ok());
  EXPECT_THAT(AfterARestart(), ElementsAre("b"));
}

TEST_F(RememberedModelsTest, WhatFailedIsNotRemembered) {
  FakeHost host;
  const auto models = Open(host);
  EXPECT_TRUE(absl::IsNotFound(models->Load({"a", "/away/a.gguf"}).status()));
  EXPECT_TRUE(absl::IsNotFound(models->Unload("a")));
  EXPECT_THAT(AfterARestart(), IsEmpty());
}

TEST_F(RememberedModelsTest, WhatIsAwayTodayStaysRemembered) {
  ASSERT_TRUE(store_->PutModel("a", {"/away/a.gguf"}).ok());
  ASSERT_TRUE(store_->PutModel("b", {"/m/b.gguf"}).ok());
  EXPECT_THAT(AfterARestart(), ElementsAre("b"));
  EXPECT_EQ(store_->Models()->count("a"), 1u);
}

TEST_F(RememberedModelsTest, WhatAnEarlierVersionRememberedIsTakenOverOnce) {
  Write("a\t/m/a.gguf\nb\t/m/b c.gguf\n");
  EXPECT_THAT(AfterARestart(), ElementsAre("a", "b"));
  EXPECT_FALSE(std::filesystem::exists(file_));
  EXPECT_THAT(AfterARestart(), ElementsAre("a", "b"));
}

TEST_F(RememberedModelsTest, WhatTheSettingsHaveLoadedIsLeftAlone) {
  ASSERT_TRUE(store_->PutModel("a", {"/m/old.gguf"}).ok());
  FakeHost host;
  ASSERT_TRUE(host.Load({"a", "/m/new.gguf"}).ok());
  Open(host)->LoadAll();
  EXPECT_EQ(host.List()[0].path, "/m/new.gguf");
}

TEST_F(RememberedModelsTest, OtherFilesAreRefusedByTheirLine) {
  for (const char* text : {"a\n", "a\t\n", "\t/m/a.gguf\n", "a\t/m/a.gguf\tb\n", "a\t/m/\x1b[2J\n"}) {
    Write(absl::StrCat("b\t/m/b.gguf\n", text));
    FakeHost host;
    const absl::Status status = RememberedModels::Open(host, *store_, file_).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(file_ + ":2: "));
  }
}

// A store on a disk that is full.
class FullStore final : public StateStore {
 public:
  absl::StatusOr<std::vector<KeptRequest>> Requests() override { return Full(); }
  absl::Status Write(const RequestChanges&) override { return Full(); }
  absl::StatusOr<std::map<std::string, KeptModel>> Models() override { return Full(); }
  absl::Status PutModel(const std::string&, const KeptModel&) override { return Full(); }
  absl::Status RemoveModel(const std::string&) override { return Full(); }
  absl::StatusOr<std::map<std::string, std::string>> Hosts() override { return Full(); }
  absl::Status PutHost(const std::string&, const std::string&) override { return Full(); }
  absl::Status RemoveHost(const std::string&) override { return Full(); }

 private:
  static absl::Status Full() { return absl::ResourceExhaustedError("the disk is full"); }
};

TEST_F(RememberedModelsTest, AStoreThatCannotBeWrittenCostsNoModel) {
  Write("b\t/m/b.gguf\n");
  FakeHost host;
  FullStore full;
  const auto models = RememberedModels::Open(host, full, file_).value();
  EXPECT_TRUE(std::filesystem::exists(file_));  // for the next time
  models->LoadAll();
  EXPECT_TRUE(models->Load({"a", "/m/a.gguf"}).ok());
  EXPECT_THAT(host.Names(), ElementsAre("a"));
  EXPECT_TRUE(models->Unload("a").ok());
}

}  // namespace
}  // namespace hearth
