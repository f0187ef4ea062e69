// Models, Cluster, Health and reflection over gRPC, in process.
#include <grpcpp/generic/generic_stub.h>

#include "daemon/scheduling/change_notifier.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

class ModelsTest : public testing::Test {
 protected:
  // Starts to load and reads the first status.
  std::unique_ptr<grpc::ClientReader<v1::ModelStatus>> Load(const std::string& name,
                                                            const std::string& path) {
    v1::LoadModelRequest request;
    request.set_name(name);
    request.set_path(path);
    return stub_->Load(&load_context_, request);
  }
  ModelInfo Info(ModelState state, uint64_t done) {
    ModelInfo info;
    info.name = "m";
    info.state = state;
    info.bytes_done = done;
    info.bytes_total = 100;
    return info;
  }

  Served served_;
  std::unique_ptr<v1::Models::Stub> stub_ = v1::Models::NewStub(served_.channel);
  grpc::ClientContext context_;
  grpc::ClientContext load_context_;
};

TEST_F(ModelsTest, ListShowsEveryField) {
  ModelInfo info = Info(ModelState::kLoading, 30);
  info.path = "/m.gguf";
  info.digest = "sha256:1";
  info.architecture = "llama";
  info.detail = "reading weights";
  info.context_length = 512;
  info.vocab_size = 2000;
  info.sparsity = "predicted";
  info.sparsity_why = "it has predictors";
  info.quantisation = "Q8_0";
  info.plan_epoch = 7;
  info.objective = {placement::ObjectiveKind::kPrompt, 64};
  served_.models.Update(info);
  v1::ListModelsResponse models;
  ASSERT_TRUE(stub_->List(&context_, {}, &models).ok());
  ASSERT_EQ(models.models_size(), 2);
  const v1::ModelStatus& model = models.models(1);
  EXPECT_EQ(
      model.ShortDebugString(),
      "name: \"m\" path: \"/m.gguf\" digest: \"sha256:1\" architecture: \"llama\" state: MODEL_STATE_LOADING "
      "detail: \"reading weights\" bytes_done: 30 bytes_total: 100 context_length: 512 vocabulary_size: 2000 "
      "sparsity: \"predicted\" quantisation: \"Q8_0\" plan_epoch: 7 sparsity_why: \"it has predictors\" "
      "objective: \"prompt:64\"");
}

TEST_F(ModelsTest, LoadTakesAnObjectiveAndRefusesWhatIsNone) {
  v1::LoadModelRequest request;
  request.set_path("/m.gguf");
  request.set_objective("throughput:8");
  v1::ModelStatus model;
  ASSERT_TRUE(stub_->Load(&load_context_, request)->Read(&model));
  EXPECT_EQ(model.objective(), "throughput:8");
  request.set_name("other");
  request.set_objective("fast");
  const grpc::Status refused = stub_->Load(&context_, request)->Finish();
  EXPECT_EQ(refused.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("objective: expected latency, throughput:N"));
}

TEST_F(ModelsTest, GetWithoutNameGivesTheOnlyOne) {
  v1::ModelStatus model;
  ASSERT_TRUE(stub_->Get(&context_, {}, &model).ok());
  EXPECT_EQ(model.name(), "fake");
}

TEST_F(ModelsTest, ModelThatCouldNotBeLoadedDoesNotStandBesideOneThatWorks) {
  ModelInfo failed = Info(ModelState::kFailed, 0);
  failed.name = "broken";
  served_.models.Update(failed);
  v1::ModelStatus model;
  ASSERT_TRUE(stub_->Get(&context_, {}, &model).ok());
  EXPECT_EQ(model.name(), "fake");
}

TEST_F(ModelsTest, GetOfAnUnknownNameListsTheOthers) {
  v1::GetModelRequest request;
  request.set_name("other");
  v1::ModelStatus model;
  const grpc::Status status = stub_->Get(&context_, request, &model);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("there are: fake"));
}

TEST_F(ModelsTest, LoadStreamsProgressUntilReady) {
  const auto reader = Load("m", "/m.gguf");
  v1::ModelStatus model;
  ASSERT_TRUE(reader->Read(&model));
  EXPECT_EQ(model.state(), v1::MODEL_STATE_LOADING);
  served_.models.Update(Info(ModelState::kLoading, 60));
  ASSERT_TRUE(reader->Read(&model));
  EXPECT_EQ(model.bytes_done(), 60u);
  served_.models.Update(Info(ModelState::kReady, 100));
  ASSERT_TRUE(reader->Read(&model));
  EXPECT_EQ(model.state(), v1::MODEL_STATE_READY);
  EXPECT_FALSE(reader->Read(&model));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(ModelsTest, LoadThatFailsEndsWithTheReason) {
  const auto reader = Load("m", "/m.gguf");
  v1::ModelStatus model;
  ASSERT_TRUE(reader->Read(&model));
  ModelInfo failed = Info(ModelState::kFailed, 60);
  failed.error = absl::ResourceExhaustedError("3 GiB are missing");
  served_.models.Update(failed);
  while (reader->Read(&model)) {
  }
  EXPECT_EQ(model.state(), v1::MODEL_STATE_FAILED);
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "3 GiB are missing");
}

TEST_F(ModelsTest, LoadOfAModelThatIsUnloadedMeanwhileEnds) {
  const auto reader = Load("m", "/m.gguf");
  v1::ModelStatus model;
  ASSERT_TRUE(reader->Read(&model));
  ASSERT_TRUE(served_.models.Unload("m").ok());
  EXPECT_FALSE(reader->Read(&model));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(ModelsTest, LoadOfAMissingFileIsRefused) {
  EXPECT_EQ(Load("m", "/missing.gguf")->Finish().error_code(), StatusCode::NOT_FOUND);
}

TEST_F(ModelsTest, LoadWithoutPathIsRefused) {
  EXPECT_EQ(Load("m", "")->Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(ModelsTest, UnloadOfAnUnknownNameIsRefused) {
  v1::UnloadModelRequest request;
  request.set_name("other");
  v1::UnloadModelResponse response;
  EXPECT_EQ(stub_->Unload(&context_, request, &response).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(ModelsTest, UnloadNeedsAName) {
  v1::UnloadModelResponse response;
  EXPECT_EQ(stub_->Unload(&context_, {}, &response).error_code(), StatusCode::INVALID_ARGUMENT);
}

ClusterSnapshot TwoHosts() {
  ClusterSnapshot snapshot;
  snapshot.hosts.resize(2);
  snapshot.hosts[0].name = "a";
  snapshot.hosts[0].state = HostState::kAlive;
  snapshot.hosts[0].coordinator = true;
  snapshot.hosts[0].devices.resize(1);
  snapshot.hosts[0].devices[0].name = "cpu0";
  snapshot.hosts[0].devices[0].read_bytes_per_second = 2e10;
  snapshot.hosts[1].name = "b";
  snapshot.hosts[1].state = HostState::kLost;
  snapshot.hosts[1].detail = "no sync for 3 s";
  snapshot.links.push_back({"a", "b", 50, 1e9});
  snapshot.transfers.push_back({"b", "m", 10, 20, "sending"});
  PlanView plan;
  plan.model = "m";
  plan.epoch = 3;
  plan.active = true;
  plan.layers = 2;
  plan.explanation = "all on a";
  plan.shares.push_back({"a", "cpu0", 1000, {4, 4}, 3, 2, {1, 2}, {8, 8}, 500, 0, 9});
  plan.firing = FiringView{64, 0.125, 0.8, 0.7};
  snapshot.plans.push_back(plan);
  return snapshot;
}

class ClusterTest : public testing::Test {
 protected:
  Served served_;
  std::unique_ptr<v1::Cluster::Stub> stub_ = v1::Cluster::NewStub(served_.channel);
  grpc::ClientContext context_;
};

TEST_F(ClusterTest, GetShowsHostsLinksTransfersAndPlans) {
  served_.cluster.Set(TwoHosts());
  v1::ClusterStatus cluster;
  ASSERT_TRUE(stub_->Get(&context_, {}, &cluster).ok());
  ASSERT_EQ(cluster.hosts_size(), 2);
  EXPECT_TRUE(cluster.hosts(0).coordinator());
  EXPECT_EQ(cluster.hosts(0).devices(0).read_bytes_per_second(), 2e10);
  EXPECT_EQ(cluster.hosts(1).state(), v1::HOST_STATE_LOST);
  EXPECT_EQ(cluster.hosts(1).detail(), "no sync for 3 s");
  EXPECT_EQ(cluster.links(0).round_trip_us(), 50);
  EXPECT_EQ(cluster.transfers(0).bytes_total(), 20u);
  const v1::DeviceShare& share = cluster.plans(0).shares(0);
  EXPECT_EQ(share.neurons_computed(1), 2u);
  EXPECT_EQ(share.neurons_offered(1), 8u);
  EXPECT_EQ(share.wait_us(), 9u);
  const v1::FiringStatus& firing = cluster.plans(0).firing();
  EXPECT_EQ(firing.rows(), 64u);
  EXPECT_EQ(firing.firing_share(), 0.125);
  EXPECT_EQ(firing.hot_share_expected(), 0.8);
  EXPECT_EQ(firing.hot_share_seen(), 0.7);
}

TEST_F(ClusterTest, WatchSendsEveryChange) {
  const auto reader = stub_->Watch(&context_, {});
  v1::ClusterStatus cluster;
  ASSERT_TRUE(reader->Read(&cluster));
  EXPECT_EQ(cluster.hosts_size(), 0);
  served_.cluster.Set(TwoHosts());
  ASSERT_TRUE(reader->Read(&cluster));
  EXPECT_EQ(cluster.hosts_size(), 2);
  context_.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
}

TEST_F(ClusterTest, WatchIsRefusedWhereVeryManyLookOnAlready) {
  struct Watcher {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::ClusterStatus>> reader;
  };
  std::vector<std::unique_ptr<Watcher>> watchers;
  v1::ClusterStatus status;
  bool refused = false;
  for (size_t i = 0; i <= ChangeNotifier::kMaxListeners && !refused; ++i) {
    auto& watcher = watchers.emplace_back(std::make_unique<Watcher>());
    watcher->reader = stub_->Watch(&watcher->context, {});
    refused = !watcher->reader->Read(&status);
  }
  ASSERT_TRUE(refused);
  const grpc::Status end = watchers.back()->reader->Finish();
  EXPECT_EQ(end.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(end.error_message(), HasSubstr("end some of them"));
  EXPECT_GT(watchers.size(), 400u);
  for (const auto& watcher : watchers) watcher->context.TryCancel();
}

TEST_F(ClusterTest, ExpectTellsOfAModelByItsFigures) {
  v1::ModelFigures figures;
  figures.set_architecture("llama");
  figures.set_weights("Q8_0");
  figures.set_layers(7);
  figures.set_vocabulary(1000);
  figures.set_context(64);
  figures.set_relu(true);
  v1::ExpectedPlan plan;
  ASSERT_TRUE(stub_->Expect(&context_, figures, &plan).ok());
  EXPECT_EQ(plan.ShortDebugString(),
            "tokens_per_second: 7 weight_bytes: 1000 context_length: 64 hosts: \"llama\" hosts: \"Q8_0\" "
            "others_give_way: true");
}

TEST_F(ClusterTest, ExpectSaysWhatIsMissing) {
  v1::ModelFigures figures;
  figures.set_layers(10);
  v1::ExpectedPlan plan;
  const grpc::Status status = stub_->Expect(&context_, figures, &plan);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "3 GiB are missing");
}

TEST_F(ClusterTest, PlanOfTheOnlyModelNeedsNoName) {
  served_.cluster.Set(TwoHosts());
  v1::PlanStatus plan;
  ASSERT_TRUE(stub_->Plan(&context_, {}, &plan).ok());
  EXPECT_EQ(plan.explanation(), "all on a");
  EXPECT_EQ(plan.epoch(), 3u);
}

TEST_F(ClusterTest, PlanOfAnUnknownModelListsTheOthers) {
  served_.cluster.Set(TwoHosts());
  v1::PlanRequest request;
  request.set_model("other");
  v1::PlanStatus plan;
  const grpc::Status status = stub_->Plan(&context_, request, &plan);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("there are plans of: m"));
}

TEST_F(ClusterTest, PlanIsUnavailableBeforeThereIsOne) {
  v1::PlanStatus plan;
  EXPECT_EQ(stub_->Plan(&context_, {}, &plan).error_code(), StatusCode::UNAVAILABLE);
}

// Calls a method with a request in wire format and returns the answer in wire format.
std::string CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                    std::string request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, method, &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice(request);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  queue.Next(&tag, &ok);
  std::vector<grpc::Slice> slices;
  if (ok) answer.Dump(&slices);
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  std::string bytes;
  for (const grpc::Slice& part : slices)
    bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  return bytes;
}

// HealthCheckRequest{service: SERVICE} -> HealthCheckResponse{status: SERVING = 1, NOT_SERVING = 2}
std::string Health(const std::shared_ptr<grpc::Channel>& channel, const std::string& service) {
  const std::string request = service.empty() ? "" : "\x0a" + std::string(1, service.size()) + service;
  const std::string answer = CallRaw(channel, "/grpc.health.v1.Health/Check", request);
  return answer == "\x08\x01" ? "serving" : answer == "\x08\x02" ? "not serving" : "unknown";
}

TEST(ServerTest, HealthIsServingOnceAModelIsReady) {
  Served with_model, without_model(nullptr);
  for (const char* service : {"", "hearth.v1.Generation"}) {
    EXPECT_EQ(Health(with_model.channel, service), "serving") << service;
    EXPECT_EQ(Health(without_model.channel, service), "not serving") << service;
  }
  for (const char* service : {"hearth.v1.Models", "hearth.v1.Cluster"}) {
    EXPECT_EQ(Health(without_model.channel, service), "serving") << service;
  }
}

TEST(ServerTest, HealthOfAWorkerIsItsCoordinators) {
  Served without_model(nullptr);
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  const auto worker = Server::StartForwarding(options, without_model.server->address());
  ASSERT_TRUE(worker.ok()) << worker.status();
  const auto channel = Connect((*worker)->address());
  EXPECT_EQ(Health(channel, "hearth.v1.Generation"), "not serving");
  EXPECT_EQ(Health(channel, "hearth.v1.Models"), "serving");
}

TEST(ServerTest, ReflectionListsTheServices) {
  Served served;
  const std::string answer =
      CallRaw(served.channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
              std::string("\x3a\x00", 2));  // list_services: ""
  for (const char* service : {"hearth.v1.Generation", "hearth.v1.Models", "hearth.v1.Cluster"}) {
    EXPECT_THAT(answer, HasSubstr(service));
  }
}

TEST(ServerTest, PortThatOtherMachinesReachAnswersThisOneAsOftenAsItCalls) {
  FakeModelHost models;
  FakeCluster cluster;
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.limits_callers = true;
  const auto server = Server::Start(options, models, cluster).value();
  const std::string port = server->address().substr(server->address().rfind(':'));
  EXPECT_EQ(server->address(), "127.0.0.1" + port);
  grpc::ChannelArguments anew;
  anew.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  for (int i = 0; i < 100; ++i) {
    const auto channel =
        grpc::CreateCustomChannel("127.0.0.1" + port, grpc::InsecureChannelCredentials(), anew);
    ASSERT_EQ(Health(channel, "hearth.v1.Models"), "serving") << i;
  }
  options.listen = server->address();
  EXPECT_THAT(std::string(Server::Start(options, models, cluster).status().message()),
              HasSubstr("choose another --listen"));
  server->Shutdown(absl::ZeroDuration());
  EXPECT_NE(Health(Connect("127.0.0.1" + port), "hearth.v1.Models"), "serving");
}

TEST(ServerTest, PortInUseIsRefusedWithAdvice) {
  Served served;
  ServerOptions options;
  options.listen = served.server->address();
  FakeModelHost models;
  FakeCluster cluster;
  const auto second = Server::Start(options, models, cluster);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("choose another --listen"));
}

}  // namespace
}  // namespace hearth
