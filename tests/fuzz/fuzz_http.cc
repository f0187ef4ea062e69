// Whatever a client sends: a body is refused with an error that is JSON, or is a request within the limits
// whose answer is JSON; the HTTP server answers or closes, and never hangs or crashes. The first byte
// chooses.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/http/api_error.h"
#include "daemon/http/http_server.h"
#include "daemon/http/json_input.h"
#include "daemon/openai/answer.h"
#include "daemon/openai/chat_completion_request.h"
#include "daemon/openai/completion_request.h"
#include "daemon/openai/embedding_request.h"
#include "daemon/openai/response_answer.h"
#include "daemon/openai/response_request.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

absl::StatusOr<CompletionRequest> ReadBody(const std::string& body) {
  const absl::StatusOr<nlohmann::json> json = ParseJsonObject(body);
  if (!json.ok()) return json.status();
  return ReadCompletionRequest(*json);
}

void CheckChat(const std::string& body) {
  const absl::StatusOr<nlohmann::json> json = ParseJsonObject(body);
  if (!json.ok()) return;
  const absl::StatusOr<ChatCompletionRequest> chat = ReadChatCompletionRequest(*json);
  if (!chat.ok()) HEARTH_CHECK(nlohmann::json::accept(ErrorBody(ToApiError(chat.status()))));
}

void CheckEmbedding(const std::string& body) {
  const absl::StatusOr<nlohmann::json> json = ParseJsonObject(body);
  if (!json.ok()) return;
  const absl::StatusOr<EmbeddingApiRequest> embedding = ReadEmbeddingRequest(*json);
  if (!embedding.ok()) {
    HEARTH_CHECK(nlohmann::json::accept(ErrorBody(ToApiError(embedding.status()))));
    return;
  }
  HEARTH_CHECK(embedding->request.inputs_size() > 0);
}

void CheckResponse(const std::string& body) {
  const absl::StatusOr<nlohmann::json> json = ParseJsonObject(body);
  if (!json.ok()) return;
  const auto in_order = [&](const char* field) { return ParseFieldInOrder(body, field); };
  const absl::StatusOr<nlohmann::ordered_json> text = in_order("text"), tools = in_order("tools");
  if (!text.ok() || !tools.ok()) return;
  const absl::StatusOr<ResponseRequest> request = ReadResponseRequest(*json, *text, *tools);
  if (!request.ok()) {
    HEARTH_CHECK(nlohmann::json::accept(ErrorBody(ToApiError(request.status()))));
    return;
  }
  HEARTH_CHECK(request->chat.messages_size() > 0);
  ResponseAnswer answer(*request, "id", 1);
  v1::GenerateResponse event;
  event.mutable_delta()->set_reasoning(body.substr(0, 4));
  event.mutable_delta()->set_text(body.substr(0, 8));
  event.mutable_delta()->add_tool_calls()->set_arguments(body.substr(0, 8));
  answer.Take(0, event);
  HEARTH_CHECK(nlohmann::json::accept(answer.Whole()));
}

void CheckBody(const std::string& body) {
  CheckChat(body);
  CheckEmbedding(body);
  CheckResponse(body);
  const absl::StatusOr<CompletionRequest> request = ReadBody(body);
  if (!request.ok()) {
    HEARTH_CHECK(nlohmann::json::accept(ErrorBody(ToApiError(request.status()))));
    return;
  }
  HEARTH_CHECK(!request->choices.empty());
  HEARTH_CHECK(request->choices.size() <= static_cast<size_t>(kMaxChoices));
  CompletionAnswer answer(*request, "id", 1);
  v1::GenerateResponse event;
  event.mutable_delta()->set_text("x");
  event.mutable_delta()->add_logprobs()->mutable_chosen()->set_text(body.substr(0, 8));
  answer.Take(request->choices.size() - 1, event);
  HEARTH_CHECK(nlohmann::json::accept(answer.Whole()));
}

class Echo final : public HttpHandler {
 public:
  void Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    exchange->Send(
        {.code = 200, .content_type = "text/plain", .headers = {}, .body = request.path + request.body});
  }
};

int Port() {
  static Echo echo;
  static const auto server = [] {
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.limits.body_bytes = 4096;
    options.limits.header_bytes = 4096;
    auto started = HttpServer::Start(options, echo);
    HEARTH_CHECK(started.ok());
    return *std::move(started);
  }();
  return std::atoi(server->address().substr(server->address().rfind(':') + 1).c_str());
}

// Sends all and reads to the end, which comes since the client's half is ended.
void CheckBytes(const std::string& bytes) {
  const int socket_number = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(Port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Many short connections: none is to wait for its port.
  const linger at_once{1, 0};
  setsockopt(socket_number, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  HEARTH_CHECK(connect(socket_number, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  (void)!send(socket_number, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  shutdown(socket_number, SHUT_WR);
  char answer[4096];
  ssize_t first = recv(socket_number, answer, sizeof(answer), 0);
  if (first >= 9) HEARTH_CHECK(std::memcmp(answer, "HTTP/1.1 ", 9) == 0);
  while (first > 0) first = recv(socket_number, answer, sizeof(answer), 0);
  close(socket_number);
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  data[0] % 4 == 0 ? hearth::CheckBytes(rest) : hearth::CheckBody(rest);
  return 0;
}
