// A worker's port: calls go on to its coordinator.
#include <grpcpp/generic/generic_stub.h>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/hearth/v1/worker.grpc.pb.h"
#include "proto/stream_metadata.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

std::unique_ptr<Server> Worker(const std::string& coordinator) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  auto server = Server::StartForwarding(options, coordinator);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

class ForwardingTest : public testing::Test {
 protected:
  Served coordinator_;
  std::unique_ptr<Server> worker_ = Worker(coordinator_.server->address());
  std::shared_ptr<grpc::Channel> channel_ = Connect(worker_->address());
  std::unique_ptr<v1::Generation::Stub> generation_ = v1::Generation::NewStub(channel_);
};

TEST_F(ForwardingTest, StreamsComeThrough) {
  const Outcome outcome = Generate(*generation_, TextRequest("x", 500));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.tokens.size(), 500u);
  EXPECT_EQ(outcome.started.model(), "fake");
}

TEST_F(ForwardingTest, ConversationsComeThrough) {
  const Outcome outcome = Chat(*generation_, Saying("x"));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("no chat template"));
}

TEST_F(ForwardingTest, UnaryCallsComeThrough) {
  v1::ListModelsResponse models;
  grpc::ClientContext context;
  ASSERT_TRUE(v1::Models::NewStub(channel_)->List(&context, {}, &models).ok());
  EXPECT_EQ(models.models_size(), 1);
}

TEST_F(ForwardingTest, ProxiesOfTheEnvironmentAreNotUsed) {
  for (const char* name : {"http_proxy", "grpc_proxy"}) setenv(name, "http://127.0.0.1:1", 1);
  const std::unique_ptr<Server> worker = Worker(coordinator_.server->address());
  for (const char* name : {"http_proxy", "grpc_proxy"}) unsetenv(name);
  const auto channel = Connect(worker->address());
  v1::ListModelsResponse models;
  grpc::ClientContext context;
  const grpc::Status status = v1::Models::NewStub(channel)->List(&context, {}, &models);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ForwardingTest, ErrorsComeThroughWithTheirMessage) {
  const Outcome outcome = Generate(*generation_, TextRequest("x", 100000));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("100000"));
}

TEST_F(ForwardingTest, WhetherARequestWasTakenComesThrough) {
  auto model = std::make_shared<FakeModel>();
  model->SetReady(absl::UnavailableError("no plan"));
  const Served coordinator(model, {.replan_wait = absl::Milliseconds(20)});
  const auto worker = Worker(coordinator.server->address());
  const auto stub = v1::Generation::NewStub(Connect(worker->address()));
  const auto given_up = Start(*stub, TextRequest("x", 9));
  EXPECT_EQ(ReadAll(*given_up).status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(given_up->context.GetServerInitialMetadata().count(kAcceptedKey), 1u);
  EXPECT_EQ(given_up->context.GetServerTrailingMetadata().count(kFinalKey), 1u);
  EXPECT_EQ(given_up->context.GetServerTrailingMetadata().count(kRefusedKey), 0u);
  const auto refused = Start(*stub, TextRequest("x", 100000));
  EXPECT_EQ(ReadAll(*refused).status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(refused->context.GetServerInitialMetadata().count(kAcceptedKey), 0u);
  EXPECT_EQ(refused->context.GetServerTrailingMetadata().count(kRefusedKey), 1u);
}

TEST_F(ForwardingTest, CancellationReachesTheCoordinator) {
  v1::ClusterStatus cluster;
  const auto stub = v1::Cluster::NewStub(channel_);
  grpc::ClientContext context;
  const auto watch = stub->Watch(&context, {});
  ASSERT_TRUE(watch->Read(&cluster));
  context.TryCancel();
  EXPECT_EQ(watch->Finish().error_code(), StatusCode::CANCELLED);
  // Were the call still open at the coordinator, its shutdown would take the whole grace.
  const absl::Time before = absl::Now();
  worker_->Shutdown(absl::Seconds(30));
  coordinator_.server->Shutdown(absl::Seconds(30));
  EXPECT_LT(absl::Now() - before, absl::Seconds(20));
}

TEST_F(ForwardingTest, DeadlineReachesTheCoordinator) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  const auto watch = v1::Cluster::NewStub(channel_)->Watch(&context, {});
  v1::ClusterStatus cluster;
  while (watch->Read(&cluster)) {
  }
  EXPECT_EQ(watch->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(ForwardingTest, ManyStreamsAtOnceComeThrough) {
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 50; ++i) calls.push_back(Start(*generation_, TextRequest("x", 20)));
  for (int i = 0; i < 50; i += 2) calls[i]->context.TryCancel();
  for (int i = 1; i < 50; i += 2) EXPECT_EQ(ReadAll(*calls[i]).text, "bcdefghijabcdefghija");
  v1::GenerateResponse event;
  for (int i = 0; i < 50; i += 2) {
    while (calls[i]->reader->Read(&event)) {
    }
    calls[i]->reader->Finish();
  }
}

TEST_F(ForwardingTest, LostCoordinatorIsNamed) {
  const std::string address = coordinator_.server->address();
  ASSERT_TRUE(Generate(*generation_, TextRequest("x", 1)).status.ok());
  coordinator_.server.reset();
  const Outcome outcome = Generate(*generation_, TextRequest("x", 1));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("from the coordinator " + address));
}

TEST_F(ForwardingTest, WorkerOfAWorkerIsToldToJoinTheCoordinator) {
  const auto second = Worker(worker_->address());
  const auto stub = v1::Generation::NewStub(Connect(second->address()));
  const Outcome outcome = Generate(*stub, TextRequest("x", 1));
  EXPECT_EQ(outcome.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("--join " + coordinator_.server->address()));
}

TEST_F(ForwardingTest, OtherServicesAreNotForwarded) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::ByteBuffer empty;
  const auto call = stub.PrepareUnaryCall(&context, "/hearth.v1.Worker/Synchronize", empty, &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
}

TEST_F(ForwardingTest, HostThatJoinsAWorkerIsToldWhomToJoin) {
  grpc::ClientContext context;
  const auto stream = v1::Membership::NewStub(channel_)->Synchronize(&context);
  v1::DesiredState desired;
  EXPECT_FALSE(stream->Read(&desired));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("join " + coordinator_.server->address() + " instead"));
}

}  // namespace
}  // namespace hearth
