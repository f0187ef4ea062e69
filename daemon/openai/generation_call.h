#ifndef HEARTH_DAEMON_OPENAI_GENERATION_CALL_H_
#define HEARTH_DAEMON_OPENAI_GENERATION_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "daemon/http/exchange.h"
#include "daemon/openai/answer.h"
#include "daemon/openai/stream_position.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

using GenerationReactor = grpc::ClientReadReactor<v1::GenerateResponse>;
// Begins the call of one choice: a stub's Generate or Chat.
using BeginGeneration =
    std::function<void(size_t choice, grpc::ClientContext* context, GenerationReactor* reactor)>;

// Where a stream's position is told in the ids of its events, and where it goes on.
struct ResumableStream {
  StreamPosition position;
  bool resumed = false;  // its calls are Resume's, behind the position
};

// Answers `exchange` with what `choices` calls of the service generate: as a stream of server-sent events or
// at once at the end. An error of any ends all: as a whole answer as long as nothing was sent, else as the
// last event of the stream. A client that goes cancels them; one that does not read pauses them, since an
// event is only read when the one before it was written. On the exchange's strand.
void AnswerWithGenerations(std::shared_ptr<Exchange> exchange, size_t choices, BeginGeneration begin,
                           std::unique_ptr<Answer> answer, bool stream,
                           std::optional<ResumableStream> resumable = std::nullopt);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_GENERATION_CALL_H_
