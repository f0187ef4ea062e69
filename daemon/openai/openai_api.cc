#include "daemon/openai/openai_api.h"

#include <grpcpp/client_context.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "daemon/grpc_status.h"
#include "daemon/http/api_error.h"
#include "daemon/http/json_input.h"
#include "daemon/http/own_page.h"
#include "daemon/openai/answer.h"
#include "daemon/openai/chat_completion_request.h"
#include "daemon/openai/completion_request.h"
#include "daemon/openai/embedding_request.h"
#include "daemon/openai/generation_call.h"
#include "daemon/openai/response_answer.h"
#include "daemon/openai/response_request.h"
#include "daemon/openai/stream_position.h"
#include "engine/base/printable.h"
#include "engine/sample/sampler.h"
#include "proto/hearth/v1/generation.grpc.pb.h"
#include "proto/hearth/v1/models.grpc.pb.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;
using ExchangePtr = std::shared_ptr<Exchange>;

constexpr char kJson[] = "application/json";
constexpr absl::string_view kModelPrefix = "/v1/models/";

HttpResponse JsonResponse(const ordered_json& value, int code = 200) {
  return {.code = code, .content_type = kJson, .headers = {}, .body = Dump(value)};
}

// "application/json; charset=utf-8" is JSON; "application/jsonl" is not.
bool IsJson(const std::string& content_type) {
  const absl::string_view type = absl::string_view(content_type).substr(0, content_type.find(';'));
  return absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(type), kJson);
}

std::string NewId(const char* prefix) {
  return absl::StrCat(prefix, absl::Hex(RandomSeed(), absl::kZeroPad16));
}

// A unary call whose answer is handled on the exchange's strand.
template <class Request, class Response>
struct UnaryCall {
  grpc::ClientContext context;
  Request request;
  Response response;
};

class OpenAiApi final : public HttpHandler {
 public:
  OpenAiApi(const std::shared_ptr<grpc::Channel>& channel, OpenAiApiOptions options)
      : options_(std::move(options)),
        started_(absl::ToUnixSeconds(absl::Now())),
        models_(v1::Models::NewStub(channel)),
        generation_(v1::Generation::NewStub(channel)) {}

  void Handle(HttpRequest request, ExchangePtr exchange) override {
    if (!request.origin.empty() && !AdmitPage(request, *exchange)) return;
    if (request.method == "OPTIONS") return AnswerPreflight(*exchange);
    for (const Route& route : kRoutes) {
      if (!Matches(route.path, request.path)) continue;
      if (route.method != request.method) return RefuseMethod(route.method, request, *exchange);
      if (request.method == "POST" && !AdmitBody(request, *exchange)) return;
      return (this->*route.handler)(request, std::move(exchange));
    }
    ApiError error = Refusal(404, absl::StrCat("there is nothing at ", Printable(request.path, kMaxNameBytes),
                                               "; there are: ", Addresses()));
    error.code = "unknown_url";
    exchange->Send(ErrorResponse(error));
  }

 private:
  struct Route {
    absl::string_view method;
    absl::string_view path;  // one that ends with "/" has a name behind it
    void (OpenAiApi::*handler)(const HttpRequest& request, ExchangePtr exchange);
  };
  static const std::array<Route, 8> kRoutes;

  static bool Matches(absl::string_view route, const std::string& path) {
    return absl::EndsWith(route, "/") ? path.size() > route.size() && absl::StartsWith(path, route)
                                      : path == route;
  }

  static std::string Addresses() {
    std::string list;
    for (const Route& route : kRoutes) absl::StrAppend(&list, list.empty() ? "" : ", ", route.path);
    return list;
  }

  // False when the page was refused.
  bool AdmitPage(const HttpRequest& request, Exchange& exchange) const {
    if (IsOwnPage(request)) return true;
    for (const std::string& allowed : options_.allowed_origins) {
      if (allowed != "*" && !absl::EqualsIgnoreCase(allowed, request.origin)) continue;
      exchange.AddHeader("Access-Control-Allow-Origin", allowed == "*" ? "*" : allowed);
      exchange.AddHeader("Vary", "Origin");
      if (request.method == "OPTIONS") {
        exchange.AddHeader("Access-Control-Allow-Methods", "GET, POST");
        exchange.AddHeader("Access-Control-Allow-Headers", HeaderNames(request.requested_headers));
        exchange.AddHeader("Access-Control-Max-Age", "600");
      }
      return true;
    }
    exchange.Send(ErrorResponse(
        Refusal(403, absl::StrCat("web pages of ", Printable(request.origin, kMaxNameBytes),
                                  " may not use this API; start hearthd with --http-allow-origin ",
                                  Printable(request.origin, kMaxNameBytes), " if they are to"))));
    return false;
  }

  // Of what the browser asks for, all that can be names of headers.
  static std::string HeaderNames(std::string names) {
    std::erase_if(names, [](char c) {
      return !absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != ',' && c != '_';
    });
    return names.empty() ? "Content-Type, Authorization" : names;
  }

  static void AnswerPreflight(Exchange& exchange) {
    exchange.Send({.code = 204, .content_type = "", .headers = {}, .body = ""});
  }

  static void RefuseMethod(absl::string_view allowed, const HttpRequest& request, Exchange& exchange) {
    HttpResponse response = ErrorResponse(Refusal(
        405, absl::StrCat(request.path, " is for ", allowed, ", not for ", Printable(request.method, 32))));
    response.headers.emplace_back("Allow", allowed);
    exchange.Send(std::move(response));
  }

  // False when the body's kind was refused.
  static bool AdmitBody(const HttpRequest& request, Exchange& exchange) {
    std::string problem;
    if (!IsJson(request.content_type)) {
      problem = absl::StrCat("send the body with the header Content-Type: application/json",
                             request.content_type.empty() ? "" : ", not ",
                             Printable(request.content_type, kMaxNameBytes));
    } else if (!request.content_encoding.empty()) {
      problem = "send the body as it is, without Content-Encoding";
    }
    if (problem.empty()) return true;
    exchange.Send(ErrorResponse(Refusal(415, std::move(problem))));
    return false;
  }

  static void Refuse(const absl::Status& status, Exchange& exchange) {
    exchange.Send(ErrorResponse(ToApiError(status)));
  }

  void ListModels(const HttpRequest&, ExchangePtr exchange) {
    WithModels(exchange, [this, exchange](const v1::ListModelsResponse& models) {
      ordered_json list = ordered_json::array();
      for (const v1::ModelStatus& model : models.models()) {
        if (model.state() == v1::MODEL_STATE_READY) list.push_back(ModelJson(model.name()));
      }
      for (const std::string& name : models.available()) list.push_back(ModelJson(name));
      exchange->Send(JsonResponse({{"object", "list"}, {"data", std::move(list)}}));
    });
  }

  void GetModel(const HttpRequest& request, ExchangePtr exchange) {
    auto call = std::make_shared<UnaryCall<v1::GetModelRequest, v1::ModelStatus>>();
    call->request.set_name(request.path.substr(kModelPrefix.size()));
    if (!IsUtf8(call->request.name())) {
      return Refuse(absl::InvalidArgumentError("the model's name is not UTF-8"), *exchange);
    }
    models_->async()->Get(&call->context, &call->request, &call->response,
                          [this, call, exchange](const grpc::Status& status) {
                            exchange->Post([this, call, exchange, status = FromGrpcStatus(status)] {
                              if (!status.ok()) return Refuse(status, *exchange);
                              SendModel(call->response, *exchange);
                            });
                          });
  }

  void SendModel(const v1::ModelStatus& model, Exchange& exchange) const {
    if (model.state() == v1::MODEL_STATE_READY) return exchange.Send(JsonResponse(ModelJson(model.name())));
    Refuse(
        absl::UnavailableError(absl::StrCat("the model '", model.name(), "' is not ready: ", model.detail())),
        exchange);
  }

  void Health(const HttpRequest&, ExchangePtr exchange) {
    WithModels(exchange, [exchange](const v1::ListModelsResponse& models) {
      bool ready = false;
      ordered_json list = ordered_json::array();
      for (const v1::ModelStatus& model : models.models()) {
        ready |= model.state() == v1::MODEL_STATE_READY;
        list.push_back({{"id", model.name()},
                        {"ready", model.state() == v1::MODEL_STATE_READY},
                        {"detail", model.detail()}});
      }
      exchange->Send(JsonResponse(
          {{"status", ready ? "ok" : "no model is ready"}, {"models", std::move(list)}}, ready ? 200 : 503));
    });
  }

  template <class Handler>
  void WithModels(const ExchangePtr& exchange, Handler handler) {
    auto call = std::make_shared<UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>>();
    models_->async()->List(&call->context, &call->request, &call->response,
                           [call, exchange, handler](const grpc::Status& status) {
                             exchange->Post([call, exchange, handler, status = FromGrpcStatus(status)] {
                               if (!status.ok()) return Refuse(status, *exchange);
                               handler(call->response);
                             });
                           });
  }

  ordered_json ModelJson(const std::string& name) const {
    return {{"id", name}, {"object", "model"}, {"created", started_}, {"owned_by", "hearth"}};
  }

  void Complete(const HttpRequest& request, ExchangePtr exchange) {
    const absl::StatusOr<nlohmann::json> body = ParseJsonObject(request.body);
    if (!body.ok()) return Refuse(body.status(), *exchange);
    absl::StatusOr<CompletionRequest> completion = ReadCompletionRequest(*body);
    if (!completion.ok()) return Refuse(completion.status(), *exchange);
    auto resumable = PositionOf(request, completion->answer.stream, completion->choices);
    if (!resumable.ok()) return Refuse(resumable.status(), *exchange);
    const std::vector<v1::ResumeRequest> resumes = ResumesOf(*resumable, completion->choices.size());
    if (!resumes.empty()) completion->echo.assign(completion->choices.size(), "");  // it was sent
    auto answer =
        std::make_unique<CompletionAnswer>(*completion, NewId("cmpl-"), absl::ToUnixSeconds(absl::Now()));
    const auto begin = [&](size_t choice, grpc::ClientContext* context, GenerationReactor* reactor) {
      if (!resumes.empty()) return generation_->async()->Resume(context, &resumes[choice], reactor);
      generation_->async()->Generate(context, &completion->choices[choice], reactor);
    };
    AnswerWithGenerations(std::move(exchange), completion->choices.size(), begin, std::move(answer),
                          completion->answer.stream, *resumable);
  }

  // The position of a stream that tells it, with its requests named by it; nullopt: of an answer that does
  // not, which are those in one piece, those with log probabilities and those of very many choices.
  template <class Request>
  static absl::StatusOr<std::optional<ResumableStream>> PositionOf(const HttpRequest& request, bool stream,
                                                                   std::vector<Request>& choices) {
    const bool told = stream && choices.size() <= StreamPosition::kMaxChoices && !choices[0].has_logprobs();
    if (!request.last_event_id.empty()) {
      auto position = StreamPosition::Parse(request.last_event_id, told ? choices.size() : 0);
      if (!position.ok()) return position.status();
      return ResumableStream{*std::move(position), /*resumed=*/true};
    }
    if (!told) return std::nullopt;
    ResumableStream resumable{StreamPosition::New(choices.size())};
    for (size_t i = 0; i < choices.size(); ++i) choices[i].set_request_id(resumable.position.RequestId(i));
    return resumable;
  }

  // The calls by which a stream goes on; none where it begins.
  static std::vector<v1::ResumeRequest> ResumesOf(const std::optional<ResumableStream>& stream,
                                                  size_t choices) {
    std::vector<v1::ResumeRequest> resumes;
    for (size_t i = 0; stream && stream->resumed && i < choices; ++i) {
      v1::ResumeRequest& resume = resumes.emplace_back();
      resume.set_request_id(stream->position.RequestId(i));
      resume.set_offset(stream->position.offset(i));
    }
    return resumes;
  }

  // A field with its keys in order; read a second time only where it is there.
  static absl::StatusOr<ordered_json> InOrder(const nlohmann::json& body, const HttpRequest& request,
                                              const char* field) {
    return body.contains(field) ? ParseFieldInOrder(request.body, field) : nullptr;
  }

  void Chat(const HttpRequest& request, ExchangePtr exchange) {
    const absl::StatusOr<nlohmann::json> body = ParseJsonObject(request.body);
    if (!body.ok()) return Refuse(body.status(), *exchange);
    const absl::StatusOr<ordered_json> format = InOrder(*body, request, "response_format");
    if (!format.ok()) return Refuse(format.status(), *exchange);
    const absl::StatusOr<ordered_json> tools = InOrder(*body, request, "tools");
    if (!tools.ok()) return Refuse(tools.status(), *exchange);
    absl::StatusOr<ChatCompletionRequest> chat = ReadChatCompletionRequest(*body, *format, *tools);
    if (!chat.ok()) return Refuse(chat.status(), *exchange);
    const auto resumable = PositionOf(request, chat->answer.stream, chat->choices);
    if (!resumable.ok()) return Refuse(resumable.status(), *exchange);
    const std::vector<v1::ResumeRequest> resumes = ResumesOf(*resumable, chat->choices.size());
    auto answer = std::make_unique<ChatAnswer>(chat->answer, chat->choices.size(), NewId("chatcmpl-"),
                                               absl::ToUnixSeconds(absl::Now()));
    const auto begin = [&](size_t choice, grpc::ClientContext* context, GenerationReactor* reactor) {
      if (!resumes.empty()) return generation_->async()->Resume(context, &resumes[choice], reactor);
      generation_->async()->Chat(context, &chat->choices[choice], reactor);
    };
    AnswerWithGenerations(std::move(exchange), chat->choices.size(), begin, std::move(answer),
                          chat->answer.stream, *resumable);
  }

  void Respond(const HttpRequest& request, ExchangePtr exchange) {
    const absl::StatusOr<nlohmann::json> body = ParseJsonObject(request.body);
    if (!body.ok()) return Refuse(body.status(), *exchange);
    const absl::StatusOr<ordered_json> text = InOrder(*body, request, "text");
    if (!text.ok()) return Refuse(text.status(), *exchange);
    const absl::StatusOr<ordered_json> tools = InOrder(*body, request, "tools");
    if (!tools.ok()) return Refuse(tools.status(), *exchange);
    const absl::StatusOr<ResponseRequest> response = ReadResponseRequest(*body, *text, *tools);
    if (!response.ok()) return Refuse(response.status(), *exchange);
    auto answer = std::make_unique<ResponseAnswer>(*response, NewId(""), absl::ToUnixSeconds(absl::Now()));
    const auto begin = [this, &response](size_t, grpc::ClientContext* context, GenerationReactor* reactor) {
      generation_->async()->Chat(context, &response->chat, reactor);
    };
    AnswerWithGenerations(std::move(exchange), 1, begin, std::move(answer), response->stream);
  }

  void Embed(const HttpRequest& request, ExchangePtr exchange) {
    const absl::StatusOr<nlohmann::json> body = ParseJsonObject(request.body);
    if (!body.ok()) return Refuse(body.status(), *exchange);
    absl::StatusOr<EmbeddingApiRequest> embedding = ReadEmbeddingRequest(*body);
    if (!embedding.ok()) return Refuse(embedding.status(), *exchange);
    auto call = std::make_shared<UnaryCall<v1::EmbedRequest, v1::EmbedResponse>>();
    call->request = std::move(embedding->request);
    exchange->WhenGone([call] { call->context.TryCancel(); });
    generation_->async()->Embed(&call->context, &call->request, &call->response,
                                [call, exchange, base64 = embedding->base64](const grpc::Status& status) {
                                  exchange->Post([call, exchange, base64, status = FromGrpcStatus(status)] {
                                    if (!status.ok()) return Refuse(status, *exchange);
                                    exchange->Send({.code = 200,
                                                    .content_type = kJson,
                                                    .headers = {},
                                                    .body = EmbeddingAnswer(call->response, base64)});
                                  });
                                });
  }

  void Metrics(const HttpRequest&, ExchangePtr exchange) {
    std::vector<prometheus::MetricFamily> families;
    for (const auto& source : options_.metrics) {
      auto collected = source->Collect();
      std::move(collected.begin(), collected.end(), std::back_inserter(families));
    }
    HttpResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = prometheus::TextSerializer().Serialize(families);
    exchange->Send(std::move(response));
  }

  const OpenAiApiOptions options_;
  const int64_t started_;  // seconds since 1970; stands for when a model was made, which nobody knows
  const std::unique_ptr<v1::Models::Stub> models_;
  const std::unique_ptr<v1::Generation::Stub> generation_;
};

const std::array<OpenAiApi::Route, 8> OpenAiApi::kRoutes = {{
    {"GET", "/v1/models", &OpenAiApi::ListModels},
    {"GET", kModelPrefix, &OpenAiApi::GetModel},
    {"POST", "/v1/completions", &OpenAiApi::Complete},
    {"POST", "/v1/chat/completions", &OpenAiApi::Chat},
    {"POST", "/v1/responses", &OpenAiApi::Respond},
    {"POST", "/v1/embeddings", &OpenAiApi::Embed},
    {"GET", "/health", &OpenAiApi::Health},
    {"GET", "/metrics", &OpenAiApi::Metrics},
}};

}  // namespace

std::unique_ptr<HttpHandler> MakeOpenAiApi(const std::shared_ptr<grpc::Channel>& channel,
                                           OpenAiApiOptions options) {
  return std::make_unique<OpenAiApi>(channel, std::move(options));
}

}  // namespace hearth
