#ifndef HEARTH_TESTS_DAEMON_SERVING_SERVED_H_
#define HEARTH_TESTS_DAEMON_SERVING_SERVED_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/serving/server.h"
#include "gtest/gtest.h"
#include "proto/hearth/v1/cluster.grpc.pb.h"
#include "proto/hearth/v1/generation.grpc.pb.h"
#include "proto/hearth/v1/models.grpc.pb.h"
#include "tests/daemon/serving/fakes.h"

namespace hearth {

inline std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

// The gRPC server of a coordinator with fakes behind it, on a free port of the loopback.
class Served {
 public:
  explicit Served(std::shared_ptr<FakeModel> model = std::make_shared<FakeModel>(),
                  SchedulerOptions scheduler = {}, StateStore* state = nullptr,
                  const std::string& listen = "127.0.0.1:0", std::function<bool()> leads = {}) {
    if (model) models.Add(std::move(model));
    ServerOptions options;
    options.listen = listen;
    options.state = state;
    options.leads = std::move(leads);
    options.scheduler = scheduler;
    auto started = Server::Start(options, models, cluster);
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    channel = Connect(server->address());
    generation = v1::Generation::NewStub(channel);
  }

  FakeModelHost models;
  FakeCluster cluster;
  std::unique_ptr<Server> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Generation::Stub> generation;
};

// A request that is under way.
struct Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader;
};

inline std::unique_ptr<Call> Start(v1::Generation::Stub& stub, const v1::GenerateRequest& request) {
  auto call = std::make_unique<Call>();
  call->reader = stub.Generate(&call->context, request);
  return call;
}

inline std::unique_ptr<Call> Start(v1::Generation::Stub& stub, const v1::ChatRequest& request) {
  auto call = std::make_unique<Call>();
  call->reader = stub.Chat(&call->context, request);
  return call;
}

inline std::unique_ptr<Call> Start(v1::Generation::Stub& stub, const v1::ResumeRequest& request) {
  auto call = std::make_unique<Call>();
  call->reader = stub.Resume(&call->context, request);
  return call;
}

struct Outcome {
  grpc::Status status;
  v1::Started started;
  v1::Finished finished;
  std::string text;
  std::string reasoning;
  std::vector<v1::ToolCall> calls;
  std::vector<int32_t> tokens;
  size_t longest_delta = 0;  // tokens
};

// Reads the stream to its end and checks the order of its events.
inline Outcome ReadAll(Call& call) {
  Outcome outcome;
  v1::GenerateResponse event;
  int place = 0;  // 0: Started comes next, 1: in the middle, 2: Finished was there
  while (call.reader->Read(&event)) {
    EXPECT_EQ(event.has_started(), place == 0);
    EXPECT_NE(place, 2);
    if (event.has_started()) outcome.started = event.started();
    if (event.has_finished()) outcome.finished = event.finished();
    place = event.has_finished() ? 2 : 1;
    outcome.text += event.delta().text();
    outcome.reasoning += event.delta().reasoning();
    for (const v1::ToolCall& call : event.delta().tool_calls()) outcome.calls.push_back(call);
    for (int32_t token : event.delta().tokens()) outcome.tokens.push_back(token);
    outcome.longest_delta = std::max<size_t>(outcome.longest_delta, event.delta().tokens_size());
  }
  outcome.status = call.reader->Finish();
  EXPECT_EQ(outcome.status.ok(), place == 2);
  return outcome;
}

inline Outcome Generate(v1::Generation::Stub& stub, const v1::GenerateRequest& request) {
  return ReadAll(*Start(stub, request));
}

inline Outcome Chat(v1::Generation::Stub& stub, const v1::ChatRequest& request) {
  return ReadAll(*Start(stub, request));
}

inline v1::ChatRequest Saying(const std::string& text, uint32_t max_tokens = 4) {
  v1::ChatRequest request;
  v1::ChatMessage* const message = request.add_messages();
  message->set_role("user");
  message->set_content(text);
  request.set_max_tokens(max_tokens);
  request.mutable_sampling()->set_temperature(0);
  return request;
}

inline v1::GenerateRequest TextRequest(const std::string& text, uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_text(text);
  request.set_max_tokens(max_tokens);
  request.mutable_sampling()->set_temperature(0);
  return request;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_SERVING_SERVED_H_
