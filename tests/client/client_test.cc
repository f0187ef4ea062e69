// The client library against a daemon's server with a fake model.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/hearth_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/stream_metadata.h"
#include "tests/daemon/serving/served.h"
#include "tests/daemon/state/temporary_store.h"

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

// A daemon on one port that dies and comes back, with or without what it kept.
class RestartedDaemonTest : public testing::Test {
 protected:
  RestartedDaemonTest() {
    Start(true);
    address_ = served_->server->address();
  }
  // From now on its streams start and do not end by themselves.
  void Stall() {
    Stop();
    auto model = std::make_shared<FakeModel>();
    model->decoder().set_before_step([raw = model.get()](absl::Span<const BatchRow>) {
      raw->SetReady(absl::UnavailableError("no plan"));
      return absl::OkStatus();
    });
    served_ = std::make_unique<Served>(model, SchedulerOptions{}, nullptr, address_);
  }
  ~RestartedDaemonTest() override { served_.reset(); }

  void Start(bool remembers) {
    if (remembers) store_ = folder_.Open();
    served_ = std::make_unique<Served>(std::make_shared<FakeModel>(), SchedulerOptions{},
                                       remembers ? store_.get() : nullptr,
                                       address_.empty() ? "127.0.0.1:0" : address_);
  }
  void Stop() {
    served_->server->EndGenerations();
    served_.reset();
    store_.reset();
  }
  // Reads a stream to its end; after so many tokens the daemon is started anew.
  std::string ReadThrough(GenerationStream& stream, size_t restart_after, bool remembers) {
    std::string text;
    bool restarted = false;
    int starts = 0;
    while (const auto event = stream.Next()) {
      starts += event->has_started();
      text += event->delta().text();
      if (text.size() < restart_after || std::exchange(restarted, true)) continue;
      Stop();
      Start(remembers);
    }
    EXPECT_EQ(starts, 1);
    return text;
  }

  const TemporaryStore folder_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<Served> served_;
  std::string address_;
};

v1::GenerateRequest Drawn(uint32_t tokens) {
  v1::GenerateRequest request = TextRequest("x", tokens);
  request.mutable_sampling()->set_temperature(5);
  request.mutable_sampling()->set_seed(5);
  return request;
}

TEST_F(RestartedDaemonTest, StreamsGoOnWithoutATokenLostOrDoubled) {
  Client client(address_);
  std::string whole;
  ASSERT_TRUE(client.Generate(Drawn(900), [&](const auto& event) { whole += event.delta().text(); }).ok());
  for (const bool remembers : {true, false}) {
    const auto stream = client.StartGenerate(Drawn(900));
    EXPECT_EQ(ReadThrough(*stream, 10, remembers), whole) << remembers;
    EXPECT_TRUE(stream->Finish().ok()) << stream->Finish();
  }
}

TEST_F(RestartedDaemonTest, AModelThatIsNotThereYetIsWaitedFor) {
  Stall();
  Client client(address_);
  const auto stream = client.StartGenerate(TextRequest("x", 900));
  ASSERT_TRUE(stream->Next());
  Stop();
  served_ = std::make_unique<Served>(nullptr, SchedulerOptions{}, nullptr, address_);
  std::thread load([&] {
    while (!client.ListModels().ok()) {
    }
    served_->models.Add(std::make_shared<FakeModel>());
  });
  size_t tokens = 0;
  while (const auto event = stream->Next()) tokens += static_cast<size_t>(event->delta().tokens_size());
  load.join();
  EXPECT_TRUE(stream->Finish().ok()) << stream->Finish();
  EXPECT_EQ(tokens, 900u);
}

TEST_F(RestartedDaemonTest, OneThatStaysAwayIsGivenUpInWords) {
  Stall();
  Client client(address_, {}, absl::Seconds(30), absl::Milliseconds(300));
  const auto stream = client.StartGenerate(TextRequest("x", 900));
  ASSERT_TRUE(stream->Next());
  Stop();
  while (stream->Next()) {
  }
  EXPECT_TRUE(absl::IsUnavailable(stream->Finish()));
  EXPECT_THAT(std::string(stream->Finish().message()), HasSubstr("could not be gone on with for 300ms"));
}

TEST_F(RestartedDaemonTest, CancelEndsTheWaitForOneThatIsAway) {
  Stall();
  Client client(address_);
  const auto stream = client.StartGenerate(TextRequest("x", 900));
  ASSERT_TRUE(stream->Next());
  Stop();
  std::thread other([&] { stream->Cancel(); });
  while (stream->Next()) {
  }
  other.join();
  EXPECT_TRUE(absl::IsCancelled(stream->Finish())) << stream->Finish();
}

TEST_F(RestartedDaemonTest, WithoutPatienceTheFirstBreakIsTheEnd) {
  Stall();
  Client client(address_, {}, absl::Seconds(30), absl::ZeroDuration());
  const auto stream = client.StartGenerate(TextRequest("x", 900));
  ASSERT_TRUE(stream->Next());
  Stop();
  while (stream->Next()) {
  }
  EXPECT_TRUE(absl::IsUnavailable(stream->Finish())) << stream->Finish();
}

// Answers every call with an error: as it is, what gRPC does while a server shuts down.
class StoppingServer final : public grpc::CallbackGenericService {
 public:
  // `trailing`: the key of metadata that goes with it; empty: none.
  explicit StoppingServer(const std::string& address,
                          grpc::Status answer = {grpc::StatusCode::CANCELLED, "CANCELLED"},
                          std::string trailing = "")
      : answer_(std::move(answer)), trailing_(std::move(trailing)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    class Refused final : public grpc::ServerGenericBidiReactor {
     public:
      explicit Refused(const grpc::Status& answer) { Finish(answer); }
      void OnDone() override { delete this; }
    };
    if (!trailing_.empty()) context->AddTrailingMetadata(trailing_, "1");
    if (calls_++ == 0) called_.Notify();
    return new Refused(answer_);
  }
  void AwaitCall() { called_.WaitForNotification(); }
  int calls() const { return calls_; }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const grpc::Status answer_;
  const std::string trailing_;
  int port_ = 0;
  std::atomic<int> calls_ = 0;
  absl::Notification called_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(RestartedDaemonTest, OneThatStopsJustAsAStreamComesBackIsWaitedFor) {
  Client client(address_);
  std::string whole;
  ASSERT_TRUE(client.Generate(Drawn(900), [&](const auto& event) { whole += event.delta().text(); }).ok());
  Stall();
  const auto stream = client.StartGenerate(Drawn(900));
  ASSERT_TRUE(stream->Next());
  Stop();
  auto stopping = std::make_unique<StoppingServer>(address_);
  std::thread restart([&] {
    stopping->AwaitCall();
    stopping.reset();
    Start(true);
  });
  std::string text;
  while (const auto event = stream->Next()) text += event->delta().text();
  restart.join();
  EXPECT_TRUE(stream->Finish().ok()) << stream->Finish();
  EXPECT_EQ(text, whole);
}

TEST_F(RestartedDaemonTest, OneThatStopsJustAsARequestReachesItIsSentItAgain) {
  Stop();
  auto stopping = std::make_unique<StoppingServer>(address_);
  std::thread restart([&] {
    stopping->AwaitCall();
    stopping.reset();
    Start(false);
  });
  size_t tokens = 0;
  const auto finished = Client(address_).Generate(TextRequest("x", 9), [&](const auto& event) {
    tokens += static_cast<size_t>(event.delta().tokens_size());
  });
  restart.join();
  EXPECT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(tokens, 9u);
}

TEST_F(ClientTest, ARequestThatOneOfSeveralDidNotTakeIsSentToTheNext) {
  const grpc::Status lost(grpc::StatusCode::UNAVAILABLE,
                          "from the coordinator a:1: failed to connect to all addresses");
  StoppingServer first("127.0.0.1:0", lost);
  Client client(absl::StrCat(first.address(), ",", served_.server->address()));
  EXPECT_TRUE(client.Generate(TextRequest("x", 9), [](const auto&) {}).ok());
  EXPECT_EQ(first.calls(), 1);
}

TEST(ClientOfAStoppingServerTest, HearsAtOnceThatItsOnlyHostHasNoCoordinator) {
  const grpc::Status lost(grpc::StatusCode::UNAVAILABLE,
                          "from the coordinator a:1: failed to connect to all addresses");
  StoppingServer worker("127.0.0.1:0", lost);
  const auto finished = Client(worker.address()).Generate(TextRequest("x", 9), [](const auto&) {});
  EXPECT_EQ(finished.status().message(), lost.error_message());
  EXPECT_EQ(worker.calls(), 1);
}

TEST(ClientOfAStoppingServerTest, HearsAtOnceWhatTheDaemonHasRefused) {
  const grpc::Status refused(grpc::StatusCode::UNAVAILABLE, "the model is being unloaded");
  StoppingServer daemon("127.0.0.1:0", refused, kRefusedKey);
  const auto finished = Client(daemon.address()).Generate(TextRequest("x", 9), [](const auto&) {});
  EXPECT_EQ(finished.status().message(), refused.error_message());
  EXPECT_EQ(daemon.calls(), 1);
}

TEST(ClientOfAStoppingServerTest, IsToldThatNobodyTookItsRequest) {
  StoppingServer stopping("127.0.0.1:0");
  Client client(stopping.address(), {}, absl::Seconds(30), absl::Milliseconds(300));
  const auto finished = client.Generate(TextRequest("x", 9), [](const auto&) {});
  EXPECT_TRUE(absl::IsUnavailable(finished.status())) << finished.status();
  EXPECT_THAT(std::string(finished.status().message()), HasSubstr("nobody has taken the request for 300ms"));
  EXPECT_GT(stopping.calls(), 1);
}

TEST(ClientOfAStoppingServerTest, IsNotToldThatItCancelledItsCall) {
  StoppingServer stopping("127.0.0.1:0");
  Client client(stopping.address());
  const absl::Status status = client.ListModels().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is stopping"));
}

TEST_F(ClientTest, ADaemonThatGivesARequestUpIsBelieved) {
  auto model = std::make_shared<FakeModel>();
  model->SetReady(absl::UnavailableError("no plan"));
  Served served(model, {.replan_wait = absl::Milliseconds(20)});
  Client client(served.server->address());
  const auto finished = client.Generate(TextRequest("x", 9), [](const auto&) {});
  EXPECT_TRUE(absl::IsUnavailable(finished.status()));
  EXPECT_THAT(std::string(finished.status().message()), HasSubstr("no step could be computed for 20ms"));
}

TEST_F(ClientTest, ACancelledRequestIsForgotten) {
  v1::GenerateRequest request = TextRequest("x", 900);
  request.set_request_id("0123456789abcdef");
  {
    const auto stream = client_.StartGenerate(request);
    stream->Next();
    stream->Cancel();
    while (stream->Next()) {
    }
  }
  v1::ResumeRequest resume;
  resume.set_request_id(request.request_id());
  EXPECT_EQ(ReadAll(*Start(*served_.generation, resume)).status.error_code(), grpc::StatusCode::NOT_FOUND);
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
