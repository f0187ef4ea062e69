// The client library against a daemon's server with a fake model.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/hearth_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

MATCHER_P(IsInvalid, message, "") {
  return absl::IsInvalidArgument(arg) && absl::StrContains(arg.message(), message);
}

class ClientTest : public testing::Test {
 protected:
  Served served_;
  Client client_{served_.server->address()};
};

TEST_F(ClientTest, GenerateShowsEventsAndReturnsFinished) {
  std::string text;
  const auto finished = client_.Generate(
      TextRequest("x", 4), [&](const v1::GenerateResponse& event) { text += event.delta().text(); });
  ASSERT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(text, "bcde");
  EXPECT_EQ(finished->usage().generated_tokens(), 4u);
}

TEST_F(ClientTest, ErrorsKeepCodeAndMessage) {
  const auto finished = client_.Generate(TextRequest("x", 5000), [](const auto&) {});
  EXPECT_TRUE(absl::IsOutOfRange(finished.status()));
  EXPECT_THAT(std::string(finished.status().message()), HasSubstr("5000"));
}

TEST_F(ClientTest, TextThatIsNoUtf8IsRefusedBeforeItIsSent) {
  v1::GenerateRequest stop = TextRequest("x", 1);
  stop.add_stop("\xff");
  v1::LoadModelRequest load;
  load.set_path("/tmp/\xff.gguf");
  v1::TokenizeRequest tokenize;
  tokenize.set_text("caf\xe9");
  const auto ignore = [](const auto&) {};
  EXPECT_THAT(client_.Generate(TextRequest("caf\xe9", 1), ignore).status(),
              IsInvalid("the text is not valid UTF-8"));
  EXPECT_THAT(client_.Generate(stop, ignore).status(), IsInvalid("the stop is not valid UTF-8"));
  EXPECT_THAT(client_.LoadModel(load, ignore).status(), IsInvalid("the path is not valid UTF-8"));
  EXPECT_THAT(client_.Tokenize(tokenize).status(), IsInvalid("the text is not valid UTF-8"));
  EXPECT_THAT(client_.UnloadModel("\xff"), IsInvalid("the name is not valid UTF-8"));
}

TEST_F(ClientTest, APromptLargerThanAMessageIsRefusedBeforeItIsSent) {
  const auto finished = client_.Generate(TextRequest(std::string(5'000'000, 'x'), 1), [](const auto&) {});
  EXPECT_TRUE(absl::IsOutOfRange(finished.status()));
  EXPECT_THAT(std::string(finished.status().message()), HasSubstr("at most 4194304 can be sent"));
}

TEST_F(ClientTest, ProxiesOfTheEnvironmentAreNotUsed) {
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"}) setenv(name, "http://127.0.0.1:1", 1);
  Client client(served_.server->address());
  EXPECT_TRUE(client.ListModels().ok());
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"}) unsetenv(name);
}

TEST_F(ClientTest, CancelFromAnotherThreadEndsTheStream) {
  auto model = std::make_shared<FakeModel>();
  model->SetReady(absl::UnavailableError("no plan"));  // the stream would last
  Served served(model);
  Client client(served.server->address());
  const auto stream = client.StartGenerate(TextRequest("x", 900));
  std::thread other([&] { stream->Cancel(); });
  while (stream->Next()) {
  }
  other.join();
  EXPECT_TRUE(absl::IsCancelled(stream->Finish()));
}

TEST_F(ClientTest, DroppedStreamIsCancelled) {
  client_.StartGenerate(TextRequest("x", 900))->Next();
  EXPECT_TRUE(client_.Generate(TextRequest("x", 1), [](const auto&) {}).ok());
}

TEST_F(ClientTest, TimeoutEndsTheStream) {
  auto model = std::make_shared<FakeModel>();
  model->SetReady(absl::UnavailableError("no plan"));
  Served served(model);
  Client client(served.server->address());
  const auto stream = client.StartGenerate(TextRequest("x", 900), absl::Milliseconds(500));
  v1::Finished finished;
  while (const auto event = stream->Next()) finished = event->finished();
  // The daemon ends it just before the deadline; where it is too slow, gRPC does at the deadline.
  if (stream->Finish().ok()) {
    EXPECT_EQ(finished.reason(), v1::FINISH_REASON_DEADLINE);
  } else {
    EXPECT_TRUE(absl::IsDeadlineExceeded(stream->Finish()));
  }
}

TEST_F(ClientTest, TokenizeAndBack) {
  v1::TokenizeRequest request;
  request.set_text("ab");
  const auto tokens = client_.Tokenize(request);
  ASSERT_TRUE(tokens.ok());
  v1::DetokenizeRequest back;
  *back.mutable_tokens() = tokens->tokens();
  EXPECT_EQ(client_.Detokenize(back)->text(), "ab");
}

TEST_F(ClientTest, TextsAreEmbedded) {
  v1::EmbedRequest request;
  request.add_inputs()->set_text("ab");
  const auto embedded = client_.Embed(request);
  ASSERT_TRUE(embedded.ok()) << embedded.status();
  EXPECT_EQ(embedded->embeddings(0).values_size(), 4);
  request.add_inputs()->set_text("");
  EXPECT_THAT(client_.Embed(request).status(), IsInvalid("input 1: it is empty"));
  request.mutable_inputs(1)->set_text("\xff");
  EXPECT_THAT(client_.Embed(request).status(), IsInvalid("the text is not valid UTF-8"));
}

TEST_F(ClientTest, ModelsAreListedLoadedAndUnloaded) {
  EXPECT_EQ(client_.ListModels()->models_size(), 1);
  EXPECT_EQ(client_.GetModel("fake")->digest(), "sha256:00ff");
  v1::LoadModelRequest request;
  request.set_name("m");
  request.set_path("/m.gguf");
  const auto loaded = client_.LoadModel(request, [&](const v1::ModelStatus& model) {
    if (model.state() != v1::MODEL_STATE_LOADING) return;
    ModelInfo ready;
    ready.name = "m";
    ready.state = ModelState::kReady;
    served_.models.Update(ready);
  });
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->state(), v1::MODEL_STATE_READY);
  EXPECT_TRUE(client_.UnloadModel("m").ok());
  const absl::Status again = client_.UnloadModel("m");
  EXPECT_TRUE(absl::IsNotFound(again));
  EXPECT_THAT(std::string(again.message()), HasSubstr("no model is called 'm'; there are: fake"));
}

TEST_F(ClientTest, WatchEndsWhenTheCallerHasSeenEnough) {
  int updates = 0;
  EXPECT_TRUE(client_.WatchCluster([&](const v1::ClusterStatus&) { return ++updates < 1; }).ok());
  EXPECT_EQ(updates, 1);
}

TEST_F(ClientTest, WatchEndsAtItsTimeout) {
  const absl::Status status = client_.WatchCluster([](const auto&) { return true; }, absl::Milliseconds(100));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
}

// Keeps connections, and answers nothing.
class SilentServer {
 public:
  SilentServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
  }
  ~SilentServer() {
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  int port_ = 0;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
};

TEST(ClientOfASilentServerTest, WaitsForAFirstAnswerNoLongerThanItsPatience) {
  SilentServer silent;
  Client client(silent.address(), {}, absl::Milliseconds(200));
  const auto ignore = [](const auto&) { return true; };
  for (const absl::Status& status : {client.ListModels().status(), client.UnloadModel("x"),
                                     client.WatchCluster(ignore), client.LoadModel({}, ignore).status()}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("has not answered for 200ms"));
  }
}

TEST_F(ClientTest, ACallThatHasBeenAnsweredMayLastLonger) {
  Client client(served_.server->address(), {}, absl::Milliseconds(50));
  const absl::Status status = client.WatchCluster([](const auto&) { return true; }, absl::Milliseconds(500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("has not answered")));
}

TEST(ClientWithoutDaemonTest, SaysHowToStartOne) {
  Client client("127.0.0.1:1");
  const auto models = client.ListModels();
  EXPECT_TRUE(absl::IsUnavailable(models.status()));
  EXPECT_THAT(std::string(models.status().message()), HasSubstr("no hearthd answers at 127.0.0.1:1"));
  EXPECT_THAT(std::string(models.status().message()), HasSubstr("hearthd --model"));
}

}  // namespace
}  // namespace hearth
