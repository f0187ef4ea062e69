// Many clients at once: all are served, cancelled ones leave nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"
#include "tests/support/sanitizers.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr char kPrompt[] = "And God said";

// What a daemon alone has logged once its model is ready.
std::string LogOf(std::vector<std::string> arguments) {
  TemporaryFolder folder;
  arguments.insert(arguments.begin(), {"--model", kPlainModel});
  DaemonProcess daemon(folder.path(), "alone", arguments);
  Client client(daemon.address());
  EXPECT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "alone"); }));
  std::ifstream file(folder.path() + "/alone.log");
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ModelOfTheCommandLine, ThatDoesNotFitFailsAloneAndTheDaemonStays) {
  const TemporaryFolder folder;
  DaemonProcess daemon(folder.path(), "a", {"--device", "cpu,memory=1MiB", "--model", kPlainModel});
  Client client(daemon.address());
  v1::ModelStatus model;
  const absl::Time end = absl::Now() + kPatience;
  while (model.state() != v1::MODEL_STATE_FAILED && absl::Now() < end) {
    const auto models = client.ListModels();
    ASSERT_TRUE(models.ok()) << models.status();
    ASSERT_EQ(models->models_size(), 1);
    model = models->models(0);
  }
  EXPECT_EQ(model.state(), v1::MODEL_STATE_FAILED);
  EXPECT_THAT(model.detail(), HasSubstr("are missing"));
  EXPECT_EQ(daemon.Terminate(), 0);
}

TEST(ModelOfTheCommandLine, ThatIsNotThereEndsTheDaemonWithItsPath) {
  const TemporaryFolder folder;
  const Ended ended = RunToItsEnd(folder.path() + "/a", "--model /no/such/model.gguf");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("/no/such/model.gguf"));
}

TEST(ModelsDirectory, RequestLoadsTheModelThatItNamesAndAnotherGivesWay) {
  const TemporaryFolder folder;
  const std::string models = folder.path() + "/models";
  std::filesystem::create_directories(models);
  std::filesystem::copy_file(kPlainModel, models + "/plain.gguf");
  std::filesystem::copy_file(kSparseModel, models + "/sparse.gguf");
  const DaemonProcess daemon(
      folder.path(), "a",
      {"--device", "cpu,memory=6MiB,threads=1", "--context", "256", "--slots", "1", "--models-dir", models});
  Client client(daemon.address());
  const auto generate = [&](const std::string& model) {
    v1::GenerateRequest request;
    request.set_model(model);
    request.set_text(kPrompt);
    request.set_max_tokens(8);
    request.mutable_sampling()->set_temperature(0);
    std::string text;
    const auto finished =
        client.Generate(request, [&](const v1::GenerateResponse& event) { text += event.delta().text(); });
    EXPECT_TRUE(finished.ok()) << finished.status();
    return text;
  };
  const auto listed = client.ListModels();
  EXPECT_EQ(listed->models_size(), 0);
  EXPECT_THAT(listed->available(), ::testing::ElementsAre("plain", "sparse"));
  const std::string plain = generate("plain");
  EXPECT_FALSE(plain.empty());
  EXPECT_FALSE(generate("sparse").empty());
  EXPECT_THAT(client.ListModels()->available(), ::testing::ElementsAre("plain"));
  EXPECT_EQ(generate("plain"), plain);
  v1::GenerateRequest unknown;
  unknown.set_model("nobody");
  EXPECT_EQ(client.Generate(unknown, [](const auto&) {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(ModelsDirectory, ThatIsNotThereEndsTheDaemonWithItsPath) {
  const TemporaryFolder folder;
  const Ended ended = RunToItsEnd(folder.path() + "/a", "--models-dir /no/such/folder");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("/no/such/folder is no directory"));
}

TEST(Context, WithoutFlagsTheCacheFitsWhatTheDeviceOffers) {
  const std::string log = LogOf({"--device", "cpu,memory=8MiB,threads=1"});
  EXPECT_THAT(log, HasSubstr("a context of 512 tokens for each of 4 requests at a time"));
  EXPECT_THAT(log, HasSubstr("memory has no room for 8 requests"));
}

TEST(Context, WhatIsAskedForAndDoesNotFitIsRefusedWithWhatWould) {
  TemporaryFolder folder;
  DaemonProcess daemon(folder.path(), "alone",
                       {"--device", "cpu,memory=8MiB,threads=1", "--context", "512", "--slots", "8"});
  Client client(daemon.address());
  v1::LoadModelRequest load;
  load.set_path(kPlainModel);
  const absl::Status status = client.LoadModel(load, [](const auto&) {}).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("what fits: --context 256 with --slots 8, or --context 512 with --slots 4"));
}

TEST(Context, MoreThanTheModelWasTrainedForIsSaidOnceAtTheStart) {
  const std::string log = LogOf({"--context", "40000", "--slots", "1"});
  const size_t said = log.find("--context 40000 is more");
  EXPECT_NE(said, std::string::npos) << log;
  EXPECT_EQ(log.find("--context 40000 is more", said + 1), std::string::npos) << log;
}

TEST(Objective, IsTheDaemonsOrTheModelsOwnWhichComesBackAndItsStepsAreMeasured) {
  const TemporaryFolder folder;
  const auto arguments = [](const std::string& objective) {
    return std::vector<std::string>{"--objective", objective, "--slots",          "2",
                                    "--context",   "256",     "--remember-models"};
  };
  const auto plan_of = [](Client& client, const std::string& model) {
    v1::PlanStatus found;
    EXPECT_TRUE(AwaitCluster(client, [&](const v1::ClusterStatus& status) {
      for (const v1::PlanStatus& plan : status.plans()) {
        if (plan.model() == model) found = plan;
      }
      return found.model() == model;
    }));
    return found;
  };
  {
    DaemonProcess daemon(folder.path(), "a", arguments("throughput:2"));
    Client client(daemon.address());
    v1::LoadModelRequest load;
    load.set_path(kPlainModel);
    load.set_name("streams");
    ASSERT_TRUE(client.LoadModel(load, [](const auto&) {}).ok());
    load.set_name("prompts");
    load.set_objective("prompt:64");
    EXPECT_EQ(client.LoadModel(load, [](const auto&) {})->objective(), "prompt:64");
    load.set_objective("throughput:3");
    EXPECT_TRUE(absl::IsInvalidArgument(client.LoadModel(load, [](const auto&) {}).status()));
    EXPECT_THAT(plan_of(client, "streams").explanation(), HasSubstr("The plan is for 2 streams at a time"));
    for (int i = 0; i < 16; ++i) {
      std::string text = std::to_string(1000 + i);  // unlike those before it
      while (text.size() < 256) text += " And God said";
      v1::GenerateRequest request = GreedyRequest(text, 2);
      request.set_model("prompts");
      EXPECT_FALSE(GenerateTokens(client, request).empty());
    }
    const v1::PlanStatus plan = plan_of(client, "prompts");
    EXPECT_EQ(plan.objective(), "prompt:64");
    EXPECT_GT(plan.expected_tokens_per_second(), 0);
    EXPECT_GT(plan.measured_tokens_per_second(), 0);
    EXPECT_EQ(daemon.Terminate(), 0);
  }
  DaemonProcess again(folder.path(), "a", arguments("latency"));
  Client client(again.address());
  EXPECT_EQ(plan_of(client, "streams").objective(), "latency");
  EXPECT_EQ(plan_of(client, "prompts").objective(), "prompt:64");
}

class Load : public ::testing::Test {
 protected:
  Load()
      : daemon_(folder_.path(), "alone",
                {"--model", kSparseModel, "--context", "512", "--slots", "8", "--queue", "600"}),
        client_(daemon_.address()) {
    EXPECT_TRUE(AwaitCluster(client_, [](const auto& status) { return HostHasShare(status, "alone"); }));
  }

  // Runs `count` streams at the same time, 20 threads driving them; each stream goes through `use`.
  void RunStreams(int count, const std::function<void(GenerationStream&)>& use) {
    constexpr int kThreads = 20;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::vector<std::unique_ptr<GenerationStream>> streams;
        for (int i = t; i < count; i += kThreads)
          streams.push_back(client_.StartGenerate(GreedyRequest(kPrompt, 8)));
        for (auto& stream : streams) use(*stream);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  TemporaryFolder folder_;
  DaemonProcess daemon_;
  Client client_;
};

TEST_F(Load, TwoHundredStreamsAtOnceAllFinishWithTheSameText) {
  const std::vector<int> expected = GenerateTokens(client_, GreedyRequest(kPrompt, 8));
  std::atomic<int> same = 0;
  RunStreams(200, [&](GenerationStream& stream) {
    std::vector<int> tokens;
    while (const auto event = stream.Next()) {
      tokens.insert(tokens.end(), event->delta().tokens().begin(), event->delta().tokens().end());
    }
    const absl::Status status = stream.Finish();
    EXPECT_TRUE(status.ok()) << status;
    same += tokens == expected;
  });
  EXPECT_EQ(same, 200);
}

TEST_F(Load, FiveHundredCancelledStreamsFreeEverySlotAndTheMemory) {
  const auto cancel_all = [&](int count) {
    RunStreams(count, [](GenerationStream& stream) {
      stream.Cancel();
      while (stream.Next()) {
      }
    });
  };
  cancel_all(100);  // buffers reach the size they keep
  EXPECT_EQ(GenerateTokens(client_, GreedyRequest(kPrompt, 8)).size(), 8u);
  [[maybe_unused]] const uint64_t before = daemon_.ResidentBytes();
  cancel_all(500);
  // Every slot works: as many long generations as there are slots run at the same time.
  RunStreams(8, [](GenerationStream& stream) {
    while (stream.Next()) {
    }
    EXPECT_TRUE(stream.Finish().ok());
  });
#if !HEARTH_SANITIZED  // those keep what was freed, and shadows
  const uint64_t after = daemon_.ResidentBytes();
  EXPECT_LT(after, before + (32u << 20)) << "grew from " << before << " to " << after << " bytes";
#endif
}

TEST_F(Load, MoreRequestsThanTheQueueHoldsAreRefusedWithAnExplanation) {
  TemporaryFolder folder;
  DaemonProcess small(folder.path(), "small",
                      {"--model", kSparseModel, "--context", "512", "--slots", "1", "--queue", "2"});
  Client client(small.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "small"); }));
  std::vector<std::unique_ptr<GenerationStream>> streams;
  for (int i = 0; i < 12; ++i) streams.push_back(client.StartGenerate(GreedyRequest(kPrompt, 400)));
  int refused = 0;
  for (auto& stream : streams) {
    if (refused > 0) stream->Cancel();  // one is enough
    while (stream->Next()) {
    }
    const absl::Status status = stream->Finish();
    if (status.code() != absl::StatusCode::kResourceExhausted) continue;
    ++refused;
    EXPECT_NE(status.message().find("queue"), std::string::npos) << status;
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace hearth
