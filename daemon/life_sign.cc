#include "daemon/life_sign.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"

namespace hearth {

bool AnswersCalls(const std::shared_ptr<grpc::Channel>& channel, absl::Duration patience) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
  // This thread waits at a queue of its own: gRPC's threads, which are in question, are not needed for giving
  // up.
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, "/hearth.LifeSign/Ask", grpc::ByteBuffer(), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  const bool finished = queue.Next(&tag, &ok) && ok;
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return finished && status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
}

}  // namespace hearth
