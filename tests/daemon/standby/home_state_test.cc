#include "daemon/standby/home_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "daemon/identity/home.h"
#include "daemon/state/sqlite_store.h"
#include "tests/daemon/identity/temporary_state.h"
#include "tests/daemon/standby/standby_server.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

ModelInfo Model(const std::string& name, const std::string& path, ModelState state = ModelState::kReady) {
  ModelInfo model;
  model.name = name;
  model.path = path;
  model.state = state;
  return model;
}

// A home and the files of another host.
class HomeStateTest : public ::testing::Test {
 protected:
  v1::HomeState Collect(const std::vector<ModelInfo>& models = {}) const {
    return CollectHomeState(IdentityFiles::Open(from_.path()).value(), models).value();
  }
  absl::Status Take(const v1::HomeState& state) const {
    const auto store = OpenSqliteStore(to_.path() + "/state.sqlite");
    return TakeHomeState(state, IdentityFiles::Open(to_.path()).value(), **store);
  }

  const TemporaryState from_, to_;
  const std::unique_ptr<Home> home_ = Home::Open(from_.path(), "a").value();
};

TEST_F(HomeStateTest, TheNextCoordinatorHasTheAuthorityAndTheMembers) {
  ASSERT_TRUE(home_->MakeApiKey("anna", Role::kClient).ok());
  ASSERT_TRUE(Take(Collect()).ok());
  const auto next = Home::Open(to_.path(), "b").value();
  EXPECT_EQ(next->key().authority_pem, home_->key().authority_pem);
  EXPECT_EQ(next->members(), home_->members());
  EXPECT_TRUE(home_->Recognise(next->key().certificate_pem).ok());
}

TEST_F(HomeStateTest, AHomeThatTheHostHadOfItsOwnIsReplaced) {
  const std::string own = Home::Open(to_.path(), "b").value()->key().authority_pem;
  ASSERT_TRUE(Take(Collect()).ok());
  EXPECT_NE(Home::Open(to_.path(), "b").value()->key().authority_pem, own);
}

TEST_F(HomeStateTest, ModelsWithAdaptersAreNotLoadedWithoutThem) {
  ModelInfo adapted = Model("adapted", "/models/a.gguf");
  adapted.adapters = {{"/models/lora.gguf", 1}};
  const v1::HomeState state = Collect({adapted, Model("plain", "/models/a.gguf")});
  EXPECT_EQ(state.models_size(), 1);
  EXPECT_TRUE(state.models().contains("plain"));
}

TEST_F(HomeStateTest, ItHasTheModelsThatAreLoadedInPlaceOfItsOwn) {
  {
    const auto store = OpenSqliteStore(to_.path() + "/state.sqlite");
    ASSERT_TRUE((*store)->PutModel("old", {"/old.gguf"}).ok());
  }
  ModelInfo guessed = Model("m", "/m.gguf");
  guessed.draft = "/small.gguf";
  ASSERT_TRUE(Take(Collect({guessed, Model("lost", "/lost.gguf", ModelState::kFailed)})).ok());
  const auto models = (*OpenSqliteStore(to_.path() + "/state.sqlite"))->Models();
  EXPECT_THAT(*models, ElementsAre(Key("lost"), Key("m"))) << "one that found no room is tried again";
  EXPECT_EQ(models->at("m").path, "/m.gguf");
  EXPECT_EQ(models->at("m").draft, "/small.gguf");
}

TEST_F(HomeStateTest, OneThatLacksATextChangesNothing) {
  const std::string own = Home::Open(to_.path(), "b").value()->key().authority_pem;
  for (const char* name : {"authority.pem", "authority-key.pem"}) {
    for (const bool is_empty : {true, false}) {
      v1::HomeState state = Collect();
      state.mutable_texts()->erase(name);
      if (is_empty) (*state.mutable_texts())[name] = "";
      EXPECT_EQ(Take(state).code(), absl::StatusCode::kFailedPrecondition);
    }
  }
  v1::HomeState damaged = Collect();
  (*damaged.mutable_texts())["authority.pem"] = "no certificate";
  EXPECT_EQ(Take(damaged).code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::remove(from_.path() + "/identity/authority.pem");
  EXPECT_EQ(CollectHomeState(IdentityFiles::Open(from_.path()).value(), {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Home::Open(to_.path(), "b").value()->key().authority_pem, own);
}

TEST_F(HomeStateTest, IsReadWithTheSameSecretAlone) {
  const v1::HomeState state = Collect();
  const std::string sealed = SealHomeState(state, SealerOf(1));
  EXPECT_EQ(sealed.find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(OpenHomeState(sealed, SealerOf(1))->texts_size(), state.texts_size());
  for (const std::string& wrong : {SealHomeState(state, SealerOf(2)), sealed.substr(0, sealed.size() - 1),
                                   std::string(), std::string("HS1\n")}) {
    const auto opened = OpenHomeState(wrong, SealerOf(1));
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(opened.status().message()), ::testing::HasSubstr("--standby"));
  }
}

TEST_F(HomeStateTest, NamesTheModelsWhoseFilesAreNotHere) {
  EXPECT_THAT(MissingModels(
                  Collect({Model("here", "/"), Model("copied", "/its.gguf"), Model("gone", "/no/such.gguf")}),
                  [](const std::string& path) { return path == "/its.gguf" ? "/" : path; }),
              ElementsAre("gone"));
}

TEST_F(HomeStateTest, TheIdOfAHomeIsThatOfItsAuthority) {
  EXPECT_EQ(HomeIdOf(home_->key().authority_pem).value(),
            ParseCertificate(home_->key().authority_pem)->id.Text());
  EXPECT_EQ(HomeIdOf("no certificate").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace hearth
