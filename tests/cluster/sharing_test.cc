// Two daemons share a model: the text is that of one process, whatever the split.
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/cluster/daemon_process.h"
#include "tests/support/lora_file.h"
#include "tests/support/sanitizers.h"

namespace hearth {
namespace {

constexpr char kSharedPrompt[] = "In the beginning";
constexpr uint32_t kTokens = 200;

struct Case {
  const char* name;
  const char* model;
  const char* sparsity;
};

class Sharing : public ::testing::TestWithParam<Case> {};

// Sanitizers look for other things than equal texts, and take a minute for each of these: one file with all
// its neurons and one with few.
const std::vector<Case> kModes = {
    Case{"plain_dense", kPlainModel, "dense"}, Case{"sparse_predicted", kSparseModel, "predicted"},
#if !HEARTH_SANITIZED
    Case{"plain_exact", kPlainModel, "exact"}, Case{"sparse_dense", kSparseModel, "dense"},
    Case{"sparse_exact", kSparseModel, "exact"}
#endif
};
INSTANTIATE_TEST_SUITE_P(Modes, Sharing, testing::ValuesIn(kModes),
                         [](const auto& info) { return std::string(info.param.name); });

std::vector<std::string> CoordinatorArguments(const Case& mode) {
  return {"--model", mode.model,  "--sparsity", mode.sparsity,     "--context",
          "512",     "--kv-type", "f32",        "--use-every-host"};
}

TEST_P(Sharing, TwoDaemonsGenerateTheTokensOfOneProcess) {
  const auto expected =
      ReferenceTokens(GetParam().model, kSharedPrompt, kTokens, {"--sparsity", GetParam().sparsity});
  ASSERT_EQ(expected.size(), kTokens);
  TemporaryFolder folder;
  DaemonProcess coordinator(folder.path(), "coordinator", CoordinatorArguments(GetParam()));
  DaemonProcess worker(folder.path(), "worker", {"--join", coordinator.address()});
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "worker"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kSharedPrompt, kTokens)), expected);
  // The worker forwards clients to its coordinator.
  Client through_worker(worker.address());
  EXPECT_EQ(GenerateTokens(through_worker, GreedyRequest(kSharedPrompt, 20)),
            std::vector<int>(expected.begin(), expected.begin() + 20));
  EXPECT_EQ(worker.Terminate(), 0);
  EXPECT_EQ(coordinator.Terminate(), 0);
}

TEST_P(Sharing, TokensThatAreGuessedAndComputedAheadAreThoseOfOneProcess) {
  const std::string prompt =
      "And God said, Let there be light: and there was light. And God said, Let there be light: and there";
  const auto expected =
      ReferenceTokens(GetParam().model, prompt, kTokens, {"--sparsity", GetParam().sparsity});
  TemporaryFolder folder;
  DaemonProcess coordinator(folder.path(), "coordinator", CoordinatorArguments(GetParam()));
  DaemonProcess worker(folder.path(), "worker", {"--join", coordinator.address()});
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "worker"); }));
  std::vector<int> tokens;
  const auto finished =
      client.Generate(GreedyRequest(prompt, kTokens), [&](const v1::GenerateResponse& event) {
        tokens.insert(tokens.end(), event.delta().tokens().begin(), event.delta().tokens().end());
      });
  ASSERT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(tokens, expected);
  EXPECT_GT(finished->usage().accepted_draft_tokens(), 0u);
}

TEST_P(Sharing, HostWithoutTheModelsFileLeadsAStageOfAPipeline) {
  const auto expected =
      ReferenceTokens(GetParam().model, kSharedPrompt, kTokens, {"--sparsity", GetParam().sparsity});
  TemporaryFolder folder;
  std::vector<std::string> arguments = CoordinatorArguments(GetParam());
  arguments.back() = "--stages=2";  // in place of sharing every layer
  DaemonProcess coordinator(folder.path(), "coordinator", arguments);
  DaemonProcess worker(folder.path(), "worker", {"--join", coordinator.address()});
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "worker"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kSharedPrompt, kTokens)), expected);
  const auto status = client.GetCluster();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_NE(status->plans(0).explanation().find("worker leads layers"), std::string::npos);
}

TEST_P(Sharing, TwoAndFourDevicesGenerateTheTokensOfOne) {
  const auto expected =
      ReferenceTokens(GetParam().model, kSharedPrompt, kTokens, {"--sparsity", GetParam().sparsity});
  for (const char* devices : {"2", "4"}) {
    EXPECT_EQ(ReferenceTokens(GetParam().model, kSharedPrompt, kTokens,
                              {"--sparsity", GetParam().sparsity, "--devices", devices}),
              expected)
        << devices << " devices";
  }
}

TEST(SharingDevices, DaemonsWithTwoDevicesEachGenerateTheTokensOfOneProcess) {
  const auto expected = ReferenceTokens(kSparseModel, kSharedPrompt, kTokens, {"--sparsity", "exact"});
  TemporaryFolder folder;
  std::vector<std::string> arguments = CoordinatorArguments({"", kSparseModel, "exact"});
  const std::vector<std::string> devices = {"--device", "fast,memory=64M,kind=cpu", "--device",
                                            "large,memory=1G,kind=cpu"};
  arguments.insert(arguments.end(), devices.begin(), devices.end());
  DaemonProcess coordinator(folder.path(), "coordinator", arguments);
  std::vector<std::string> join = {"--join", coordinator.address()};
  join.insert(join.end(), devices.begin(), devices.end());
  DaemonProcess worker(folder.path(), "worker", join);
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "worker"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kSharedPrompt, kTokens)), expected);
}

// A LoRA adapter is no part of the model's file, and the worker has neither.
class SharingAdapter : public ::testing::Test {
 protected:
  SharingAdapter() : lora_(LoraFile(**GgufFile::Open(kPlainModel)).Write("shared.gguf")) {}

  std::vector<int> Expected(const std::string& lora) const {
    return ReferenceTokens(kPlainModel, kSharedPrompt, kTokens, {"--lora", lora});
  }
  std::vector<std::string> Arguments(const std::string& lora) const {
    return {"--model", kPlainModel, "--lora", lora, "--context", "512", "--kv-type", "f32"};
  }

  const std::string lora_;
};

TEST_F(SharingAdapter, TwoDaemonsGenerateTheTokensOfOneProcess) {
  const auto expected = Expected(lora_);
  ASSERT_EQ(expected.size(), kTokens);
  EXPECT_NE(expected, ReferenceTokens(kPlainModel, kSharedPrompt, kTokens, {})) << "it changes nothing";
  for (const char* devices : {"2", "4"}) {
    EXPECT_EQ(ReferenceTokens(kPlainModel, kSharedPrompt, kTokens, {"--lora", lora_, "--devices", devices}),
              expected);
  }
  TemporaryFolder folder;
  std::vector<std::string> arguments = Arguments(lora_);
  arguments.push_back("--use-every-host");
  DaemonProcess coordinator(folder.path(), "coordinator", arguments);
  DaemonProcess worker(folder.path(), "worker", {"--join", coordinator.address()});
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "worker"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kSharedPrompt, kTokens)), expected);
}

TEST_F(SharingAdapter, HostWithoutTheModelsFileLeadsAStage) {
  TemporaryFolder folder;
  std::vector<std::string> arguments = Arguments(lora_ + ",scale=0.5");
  arguments.push_back("--stages=2");
  DaemonProcess coordinator(folder.path(), "coordinator", arguments);
  DaemonProcess worker(folder.path(), "worker", {"--join", coordinator.address()});
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "worker"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kSharedPrompt, kTokens)), Expected(lora_ + ",scale=0.5"));
}

TEST_F(SharingAdapter, DaemonEndsWithTheReasonWhereItCannotBeUsed) {
  TemporaryFolder folder;
  const std::string model = absl::StrCat("--model ", kPlainModel, " --lora ");
  const Ended other = RunToItsEnd(folder.path(), absl::StrCat(model, kPlainModel));
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.errors.find("is no LoRA adapter"), std::string::npos) << other.errors;
  const Ended absent = RunToItsEnd(folder.path(), model + "/nowhere.gguf");
  EXPECT_EQ(absent.code, 1);
  EXPECT_NE(absent.errors.find("/nowhere.gguf"), std::string::npos) << absent.errors;
}

TEST_F(SharingAdapter, ClientLoadsAModelWithAdaptersAndHearsWhatIsWrongWithThem) {
  TemporaryFolder folder;
  const DaemonProcess daemon(folder.path(), "alone", {"--context", "512", "--kv-type", "f32"});
  Client client(daemon.address());
  const auto load = [&](const std::vector<std::string>& adapters) {
    v1::LoadModelRequest request;
    request.set_path(kPlainModel);
    for (const std::string& adapter : adapters) request.add_adapters(adapter);
    return client.LoadModel(request, [](const auto&) {}).status();
  };
  EXPECT_EQ(load({"/nowhere.gguf"}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(load({lora_ + ",scale=a lot"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(load({kPlainModel}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(load(std::vector<std::string>(17, lora_)).code(), absl::StatusCode::kInvalidArgument);
  const std::string half = lora_ + ",scale=0.5";
  const absl::Status loaded = load({half, half});
  ASSERT_TRUE(loaded.ok()) << loaded;
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kSharedPrompt, kTokens)),
            ReferenceTokens(kPlainModel, kSharedPrompt, kTokens, {"--lora", half, "--lora", half}));
}

}  // namespace
}  // namespace hearth
