#ifndef HEARTH_DAEMON_OPENAI_OPENAI_API_H_
#define HEARTH_DAEMON_OPENAI_OPENAI_API_H_

#include <grpcpp/channel.h>
#include <prometheus/collectable.h>

#include <memory>
#include <string>
#include <vector>

#include "daemon/http/exchange.h"

namespace hearth {

struct OpenAiApiOptions {
  // Web pages of these origins ("https://chat.example") may use the API from a browser, "*": all may; and the
  // daemon's own. Other pages are refused: whoever visits a page does not lend it the models of the home.
  std::vector<std::string> allowed_origins;
  std::vector<std::shared_ptr<prometheus::Collectable>> metrics;  // what /metrics shows
};

// The API that OpenAI's clients speak, and what machines watch a daemon by:
//   GET  /v1/models, /v1/models/{id}    the models that are ready
//   POST /v1/completions                Generation.Generate
//   POST /v1/chat/completions           Generation.Chat
//   POST /v1/responses                  Generation.Chat
//   POST /v1/embeddings                 Generation.Embed
//   GET  /health                        200 when a model is ready, else 503
//   GET  /metrics                       in Prometheus' text format
// It translates: every answer comes from the services of `channel`, so whatever holds for gRPC clients
// (checks, words of errors, queue, cancellation, slow readers) holds here.
std::unique_ptr<HttpHandler> MakeOpenAiApi(const std::shared_ptr<grpc::Channel>& channel,
                                           OpenAiApiOptions options);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_OPENAI_API_H_
