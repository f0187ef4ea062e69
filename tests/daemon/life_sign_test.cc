#include "daemon/life_sign.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>

#include "gtest/gtest.h"

namespace hearth {
namespace {

// Takes calls and lets them lie until they are cancelled.
class SilentService final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    class Silent final : public grpc::ServerGenericBidiReactor {
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    return new Silent();
  }
};

// Refuses every call, as a worker does those that it does not forward.
class RefusingService final : public grpc::CallbackGenericService {};

std::unique_ptr<grpc::Server> StartServer(grpc::CallbackGenericService& service) {
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&service);
  return builder.BuildAndStart();
}

TEST(LifeSignTest, AServerThatRefusesTheCallLives) {
  RefusingService service;
  const auto server = StartServer(service);
  EXPECT_TRUE(AnswersCalls(server->InProcessChannel({}), absl::Seconds(30)));
}

TEST(LifeSignTest, AServerThatDoesNotAnswerInTimeDoesNotLive) {
  SilentService service;
  const auto server = StartServer(service);
  EXPECT_FALSE(AnswersCalls(server->InProcessChannel({}), absl::Milliseconds(50)));
}

TEST(LifeSignTest, NobodyAtTheOtherEndDoesNotLive) {
  EXPECT_FALSE(AnswersCalls(grpc::CreateChannel("127.0.0.1:1", grpc::InsecureChannelCredentials()),
                            absl::Milliseconds(50)));
}

}  // namespace
}  // namespace hearth
