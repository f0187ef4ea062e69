// Another model guesses what texts go on with: they come out the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr char kName[] = "hearth-demo-q8_0";

v1::GenerateRequest Continue(const std::string& text, double temperature) {
  v1::GenerateRequest request;
  request.set_text(text);
  request.set_max_tokens(60);
  request.mutable_sampling()->set_temperature(static_cast<float>(temperature));
  request.mutable_sampling()->set_seed(7);
  return request;
}

struct Text {
  std::string text;
  uint32_t guessed_right = 0;
};

Text Generate(Client& client, const v1::GenerateRequest& request) {
  Text text;
  const auto finished =
      client.Generate(request, [&](const v1::GenerateResponse& event) { text.text += event.delta().text(); });
  EXPECT_TRUE(finished.ok()) << finished.status();
  if (finished.ok()) text.guessed_right = finished->usage().accepted_draft_tokens();
  return text;
}

// Waits until the model that guesses is in this state.
v1::ModelStatus AwaitDraft(Client& client, v1::ModelState state) {
  const absl::Time end = absl::Now() + kPatience;
  while (absl::Now() < end) {
    const auto models = client.ListModels();
    if (!models.ok() || models->models_size() != 1) continue;
    if (models->models(0).draft_state() == state) return models->models(0);
  }
  ADD_FAILURE() << "the draft did not become " << v1::ModelState_Name(state);
  return {};
}

std::vector<v1::GenerateRequest> Requests() {
  return {Continue("In the beginning God created", 0), Continue("And the earth was", 0.8)};
}

std::vector<Text> TextsOf(Client& client) {
  std::vector<Text> texts;
  for (const v1::GenerateRequest& request : Requests()) texts.push_back(Generate(client, request));
  return texts;
}

TEST(DraftModel, GuessesChangeNoTextAloneAndOnTwoHosts) {
  const TemporaryFolder folder;
  std::vector<Text> plain;
  {
    const DaemonProcess daemon(folder.path(), "plain", {"--model", kPlainModel, "--draft-tokens", "0"});
    Client client(daemon.address());
    EXPECT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "plain"); }));
    plain = TextsOf(client);
  }
  const DaemonProcess daemon(folder.path(), "a",
                             {"--model", kPlainModel, "--draft-model", kSparseModel, "--use-every-host"});
  Client client(daemon.address());
  EXPECT_EQ(AwaitDraft(client, v1::MODEL_STATE_READY).draft(), kSparseModel);
  const std::vector<Text> guessed = TextsOf(client);
  const DaemonProcess worker(folder.path(), "b", {"--join", daemon.address()});
  EXPECT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "b"); }));
  const std::vector<Text> on_two = TextsOf(client);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(guessed[i].text, plain[i].text);
    EXPECT_EQ(on_two[i].text, plain[i].text);
  }
  EXPECT_EQ(plain[0].guessed_right, 0u);
  EXPECT_GT(guessed[0].guessed_right, 0u);
}

TEST(DraftModel, IsLoadedAndUnloadedWithItsModelAndAnswersNobody) {
  const TemporaryFolder folder;
  const DaemonProcess daemon(folder.path(), "a", {});
  Client client(daemon.address());
  v1::LoadModelRequest load;
  load.set_path(kPlainModel);
  load.set_draft("/no/such/draft.gguf");
  EXPECT_EQ(client.LoadModel(load, [](const auto&) {}).status().code(), absl::StatusCode::kNotFound);
  load.set_draft(kSparseModel);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(client.LoadModel(load, [](const auto&) {}).ok());
    AwaitDraft(client, v1::MODEL_STATE_READY);
    EXPECT_FALSE(Generate(client, Requests()[0]).text.empty()) << "the only model that answers";
    v1::GenerateRequest request = Requests()[0];
    request.set_model(std::string(kName) + ".draft");
    EXPECT_EQ(client.Generate(request, [](const auto&) {}).status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(client.UnloadModel(std::string(kName) + ".draft").code(), absl::StatusCode::kNotFound);
    ASSERT_TRUE(client.UnloadModel(kName).ok());
    const absl::Time end = absl::Now() + kPatience;
    while (client.ListModels()->models_size() > 0 && absl::Now() < end) continue;
  }
  EXPECT_TRUE(AwaitCluster(client, [](const auto& status) { return status.plans().empty(); }));
}

TEST(DraftModel, OfAnotherVocabularyIsRefusedWithTheTokenAndItsModelAnswersWithoutIt) {
  const TemporaryFolder folder;
  std::ifstream file(kSparseModel, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const size_t at = bytes.find("\xE2\x96\x81the");
  ASSERT_NE(at, std::string::npos);
  bytes[at + 4] = 'q';
  const std::string other = folder.path() + "/other.gguf";
  std::ofstream(other, std::ios::binary) << bytes;
  const DaemonProcess daemon(folder.path(), "a", {"--model", kPlainModel, "--draft-model", other});
  Client client(daemon.address());
  const v1::ModelStatus model = AwaitDraft(client, v1::MODEL_STATE_FAILED);
  EXPECT_THAT(model.draft_detail(), HasSubstr("other.gguf: has another vocabulary: token"));
  EXPECT_THAT(model.draft_detail(), HasSubstr("\xE2\x96\x81tqe"));
  EXPECT_FALSE(Generate(client, Requests()[0]).text.empty());
}

TEST(DraftModel, NeedsOneModelForWhichItGuesses) {
  const TemporaryFolder folder;
  const Ended ended = RunToItsEnd(folder.path() + "/a", "--draft-model x.gguf");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("--draft-model: needs exactly one --model"));
}

}  // namespace
}  // namespace hearth
