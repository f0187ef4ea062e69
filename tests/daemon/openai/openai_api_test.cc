// The API over a coordinator with fakes behind it, from the socket to the scheduler.
#include "daemon/openai/openai_api.h"

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "daemon/http/http_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/http/http_client.h"
#include "tests/daemon/openai/stream_events.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The HTTP face of a gRPC server of this process.
class Face {
 public:
  explicit Face(Server& grpc, OpenAiApiOptions options = {})
      : api_(MakeOpenAiApi(grpc.InProcessChannel(), std::move(options))) {
    HttpServerOptions http;
    http.listen = "127.0.0.1:0";
    auto started = HttpServer::Start(http, *api_);
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  HttpServer& server() { return *server_; }
  HttpClient Connect() { return HttpClient(server_->address()); }
  HttpClient::Response Get(const std::string& path) {
    HttpClient client = Connect();
    client.Get(path);
    return client.Read();
  }
  HttpClient::Response Post(const std::string& path, const json& body) { return PostText(path, body.dump()); }
  // Goes on with a stream behind the event of this id.
  HttpClient::Response PostAgain(const std::string& path, const json& body, const std::string& id) {
    HttpClient client = Connect();
    client.Post(path, body.dump(), "Last-Event-ID: " + id + "\r\n");
    return client.Read();
  }
  HttpClient::Response PostText(const std::string& path, const std::string& body) {
    HttpClient client = Connect();
    client.Post(path, body);
    return client.Read();
  }

 private:
  std::unique_ptr<HttpHandler> api_;
  std::unique_ptr<HttpServer> server_;
};

json Greedy(int tokens) { return {{"prompt", "x"}, {"max_tokens", tokens}, {"temperature", 0}}; }

// Message and code of an error; fails the test where it has another shape.
json Error(const HttpClient::Response& response) {
  const json body = json::parse(response.body, nullptr, false);
  EXPECT_TRUE(body.is_object() && body.contains("error")) << response.body;
  json error = body.value("error", json::object());
  for (const char* key : {"message", "type", "param", "code"})
    EXPECT_TRUE(error.contains(key)) << response.body;
  return error;
}

class OpenAiApiTest : public testing::Test {
 protected:
  Served served_;
  Face face_{*served_.server};
};

TEST_F(OpenAiApiTest, ListsTheModelsThatAreReady) {
  ModelInfo loading;
  loading.name = "loading";
  served_.models.Update(loading);
  const json models = json::parse(face_.Get("/v1/models").body);
  EXPECT_EQ(models["object"], "list");
  ASSERT_EQ(models["data"].size(), 1u);
  EXPECT_EQ(models["data"][0]["id"], "fake");
  EXPECT_EQ(models["data"][0]["object"], "model");
  EXPECT_EQ(json::parse(face_.Get("/v1/models/fake").body), models["data"][0]);
}

TEST_F(OpenAiApiTest, ModelThatIsNotThereIsNamed) {
  const HttpClient::Response response = face_.Get("/v1/models/org/other");
  EXPECT_EQ(response.code, 404);
  EXPECT_EQ(Error(response)["code"], "model_not_found");
  EXPECT_THAT(Error(response)["message"], HasSubstr("'org/other'"));
  ModelInfo loading;
  loading.name = "loading";
  loading.detail = "reading weights";
  served_.models.Update(loading);
  EXPECT_EQ(face_.Get("/v1/models/loading").code, 503);
}

TEST_F(OpenAiApiTest, CompletesText) {
  const HttpClient::Response response = face_.Post("/v1/completions", Greedy(4));
  ASSERT_EQ(response.code, 200) << response.body;
  const json answer = json::parse(response.body);
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["model"], "fake");
  EXPECT_EQ(answer["choices"][0]["text"], "bcde");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 2);
}

// The ids of a stream's events, in their order.
std::vector<std::string> EventIds(const std::string& stream) {
  std::vector<std::string> ids;
  for (absl::string_view line : absl::StrSplit(stream, '\n')) {
    if (absl::ConsumePrefix(&line, "id: ")) ids.emplace_back(line);
  }
  return ids;
}

// What a client that reads the stream from its beginning has of it when it has seen the event of this id.
std::string UpTo(const std::string& stream, const std::string& id) {
  const size_t found = stream.find("id: " + id + "\n");
  return stream.substr(0, stream.find("\n\n", found) + 2);
}

std::string CompletionText(const std::string& stream) {
  std::string text;
  for (const json& event : StreamEvents(stream)) {
    if (!event.is_object()) continue;
    for (const json& choice : event["choices"]) {
      if (choice["index"] == 0) text += choice["text"].get<std::string>();
    }
  }
  return text;
}

std::string ChatText(const std::string& stream) {
  std::string text;
  for (const json& event : StreamEvents(stream)) {
    if (event.is_object()) text += event["choices"][0]["delta"].value("content", "");
  }
  return text;
}

TEST_F(OpenAiApiTest, AStreamGoesOnBehindTheLastEvent) {
  json request = Greedy(20);
  request["stream"] = true;
  request["n"] = 2;
  const std::string whole = face_.Post("/v1/completions", request).body;
  const std::vector<std::string> ids = EventIds(whole);
  ASSERT_GT(ids.size(), 2u);
  for (const std::string& id : ids) {
    const HttpClient::Response rest = face_.PostAgain("/v1/completions", request, id);
    ASSERT_EQ(rest.code, 200) << rest.body;
    EXPECT_EQ(CompletionText(UpTo(whole, id)) + CompletionText(rest.body), CompletionText(whole)) << id;
    EXPECT_TRUE(StreamEvents(rest.body).back().is_null());
  }
}

TEST_F(OpenAiApiTest, AChatGoesOnWithoutItsBeginning) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate("{{ 'x' }}");
  Served served(model);
  Face face(*served.server);
  const json request = {{"messages", {{{"role", "user"}, {"content", "x"}}}},
                        {"max_tokens", 20},
                        {"temperature", 0},
                        {"stream", true}};
  const std::string whole = face.Post("/v1/chat/completions", request).body;
  for (const std::string& id : EventIds(whole)) {
    const HttpClient::Response rest = face.PostAgain("/v1/chat/completions", request, id);
    ASSERT_EQ(rest.code, 200) << rest.body;
    EXPECT_EQ(ChatText(UpTo(whole, id)) + ChatText(rest.body), ChatText(whole)) << id;
    EXPECT_THAT(rest.body, Not(HasSubstr("\"role\"")));
  }
}

TEST_F(OpenAiApiTest, EventIdsThatAreNoneOrUnknownAreRefused) {
  json request = Greedy(4);
  request["stream"] = true;
  const auto again = [&](const json& body, const std::string& id) {
    return face_.PostAgain("/v1/completions", body, id);
  };
  const std::string unknown = "0123456789abcdef0123456789abcdef.1";
  EXPECT_EQ(again(request, "x").code, 400);
  EXPECT_EQ(again(Greedy(4), unknown).code, 400);  // no stream
  EXPECT_EQ(again(request, unknown).code, 404);
  json two = request;
  two["n"] = 2;
  EXPECT_EQ(again(two, unknown).code, 400);
}

TEST_F(OpenAiApiTest, StreamsText) {
  json request = Greedy(50);
  request["stream"] = true;
  const HttpClient::Response response = face_.Post("/v1/completions", request);
  EXPECT_THAT(response.head, HasSubstr("Content-Type: text/event-stream"));
  const std::vector<json> events = StreamEvents(response.body);
  std::string text;
  for (const json& event : events) {
    if (event.is_object()) text += event["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, "bcdefghijabcdefghijabcdefghijabcdefghijabcdefghija");
  EXPECT_TRUE(events.back().is_null());
  EXPECT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], "length");
}

TEST_F(OpenAiApiTest, ChatsByTheModelsTemplate) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate("{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}>");
  Served served(model);
  Face face(*served.server);
  json request = {
      {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"max_tokens", 4}, {"temperature", 0}};
  const json answer = json::parse(face.Post("/v1/chat/completions", request).body);
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "defg");  // behind "uhi>"
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 4);
  request["stream"] = true;
  const std::vector<json> events = StreamEvents(face.Post("/v1/chat/completions", request).body);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_TRUE(events.back().is_null());
}

TEST_F(OpenAiApiTest, AnswersInTheResponseFormat) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}>");
  Served served(model);
  Face face(*served.server);
  json request = {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
                  {"max_tokens", 500},
                  {"temperature", 1},
                  {"seed", 4}};
  request["response_format"] = json::parse(R"({"type":"json_schema","json_schema":{"name":"n","strict":true,
      "schema":{"type":"object","properties":{"z":{"type":"boolean"},"a":{"const":1}},"required":["z","a"],
                "additionalProperties":false}}})");
  // As a program would write it: z stands before a.
  std::string body = request.dump();
  const std::string sorted = R"("properties":{"a":{"const":1},"z":{"type":"boolean"}})";
  ASSERT_NE(body.find(sorted), std::string::npos);
  body.replace(body.find(sorted), sorted.size(), R"("properties":{"z":{"type":"boolean"},"a":{"const":1}})");
  const HttpClient::Response response = face.PostText("/v1/chat/completions", body);
  const json answer = json::parse(response.body);
  ASSERT_EQ(response.code, 200) << response.body;
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  const auto content =
      nlohmann::ordered_json::parse(answer["choices"][0]["message"]["content"].get<std::string>());
  EXPECT_TRUE(content["z"].is_boolean());
  EXPECT_EQ(content.begin().key(), "z");
  EXPECT_EQ(content["a"], 1);
}

TEST_F(OpenAiApiTest, SchemasThatAreNotSupportedAreNamed) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate("{{ messages[0].content }}");
  Served served(model);
  Face face(*served.server);
  json request = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  request["response_format"] = {{"type", "json_schema"},
                                {"json_schema", {{"name", "n"}, {"schema", {{"not", {1}}}}}}};
  const HttpClient::Response response = face.Post("/v1/chat/completions", request);
  EXPECT_EQ(response.code, 400);
  EXPECT_EQ(Error(response)["message"], "the JSON schema at #: \"not\" is not supported");
}

TEST_F(OpenAiApiTest, ModelWithoutTemplateSaysSo) {
  const json request = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  const HttpClient::Response response = face_.Post("/v1/chat/completions", request);
  EXPECT_EQ(response.code, 400);
  EXPECT_THAT(Error(response)["message"], HasSubstr("template"));
}

TEST_F(OpenAiApiTest, SeveralPromptsAndAnswersKeepTheirPlaces) {
  json request = Greedy(3);
  request["prompt"] = {"x", "xy", "xyz"};
  request["n"] = 2;
  const json answer = json::parse(face_.Post("/v1/completions", request).body);
  ASSERT_EQ(answer["choices"].size(), 6u);
  EXPECT_EQ(answer["choices"][1]["text"], "bcd");
  EXPECT_EQ(answer["choices"][2]["text"], "cde");
  EXPECT_EQ(answer["choices"][5]["text"], "def");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 2 + 3 + 4);
}

TEST_F(OpenAiApiTest, ErrorsHaveTheWordsOfGrpc) {
  const HttpClient::Response large = face_.Post("/v1/completions", Greedy(100000));
  EXPECT_EQ(large.code, 400);
  EXPECT_EQ(Error(large)["code"], "context_length_exceeded");
  const Outcome same = Generate(*served_.generation, TextRequest("x", 100000));
  EXPECT_EQ(Error(large)["message"], same.status.error_message());
  json request = Greedy(3);
  request["model"] = "other";
  request["stream"] = true;
  const HttpClient::Response unknown = face_.Post("/v1/completions", request);
  EXPECT_EQ(unknown.code, 404);
  EXPECT_EQ(Error(unknown)["code"], "model_not_found");
}

TEST_F(OpenAiApiTest, OneRefusedPromptRefusesAll) {
  json request = Greedy(3);
  request["prompt"] = {"x", std::string(2000, 'x')};
  EXPECT_EQ(face_.Post("/v1/completions", request).code, 400);
}

TEST_F(OpenAiApiTest, ErrorInMidStreamIsItsLastEvent) {
  auto model = std::make_shared<FakeModel>();
  model->decoder().set_damaged_position(10);
  Served served(model);
  Face face(*served.server);
  json request = Greedy(50);
  request["stream"] = true;
  const HttpClient::Response response = face.Post("/v1/completions", request);
  EXPECT_EQ(response.code, 200);
  const std::vector<json> events = StreamEvents(response.body);
  ASSERT_GT(events.size(), 1u);
  EXPECT_TRUE(events[0]["choices"][0]["text"].get<std::string>().starts_with("b")) << events[0];
  EXPECT_EQ(events.back()["error"]["type"], "server_error");
}

TEST_F(OpenAiApiTest, BadRequestsGetOneClearError) {
  EXPECT_EQ(face_.Get("/v2/models").code, 404);
  EXPECT_EQ(Error(face_.Get("/"))["code"], "unknown_url");
  EXPECT_EQ(face_.Get("/v1/completions").code, 405);
  EXPECT_EQ(face_.Post("/v1/models", {}).code, 405);
  const HttpClient::Response wrong = face_.Post("/v1/completions", {{"prompt", "x"}, {"temperature", "hot"}});
  EXPECT_EQ(wrong.code, 400);
  EXPECT_EQ(Error(wrong)["param"], "temperature");
  HttpClient client = face_.Connect();
  client.Post("/v1/completions", R"({"prompt":"x","prompt":"y"})");
  EXPECT_THAT(Error(client.Read())["message"], HasSubstr("twice"));
  client.Post("/v1/completions", "{");
  EXPECT_EQ(client.Read().code, 400);
}

TEST_F(OpenAiApiTest, BodiesThatAreNoJsonAreRefused) {
  HttpClient client = face_.Connect();
  for (const char* header : {"", "Content-Type: text/plain\r\n", "Content-Type: application/jsonl\r\n",
                             "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"}) {
    client.Send(absl::StrCat("POST /v1/completions HTTP/1.1\r\n", header, "Content-Length: 2\r\n\r\n{}"));
    EXPECT_EQ(client.Read().code, 415) << header;
  }
  client.Send(
      "POST /v1/completions HTTP/1.1\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: "
      "2\r\n\r\n{}");
  EXPECT_EQ(client.Read().code, 400);  // there is no prompt
}

TEST_F(OpenAiApiTest, WebPagesMayNotUseIt) {
  HttpClient client = face_.Connect();
  client.Send("OPTIONS /v1/completions HTTP/1.1\r\nOrigin: https://chat.example\r\n\r\n");
  const HttpClient::Response preflight = client.Read();
  EXPECT_EQ(preflight.code, 403);
  EXPECT_THAT(preflight.head, Not(HasSubstr("Access-Control")));
  EXPECT_THAT(preflight.body, HasSubstr("--http-allow-origin https://chat.example"));
  client.Send("GET /v1/models HTTP/1.1\r\nOrigin: null\r\n\r\n");
  EXPECT_EQ(client.Read().code, 403);
}

TEST_F(OpenAiApiTest, WebPagesThatAreAllowedMayUseIt) {
  Face face(*served_.server, {.allowed_origins = {"https://chat.example"}, .metrics = {}});
  HttpClient client = face.Connect();
  client.Send(
      "OPTIONS /v1/completions HTTP/1.1\r\nOrigin: https://chat.example\r\nAccess-Control-Request-Headers: "
      "content-type,x-stainless-lang\r\n\r\n");
  const HttpClient::Response preflight = client.Read();
  EXPECT_EQ(preflight.code, 204);
  EXPECT_THAT(preflight.head, HasSubstr("Access-Control-Allow-Origin: https://chat.example\r\n"));
  EXPECT_THAT(preflight.head, HasSubstr("Access-Control-Allow-Headers: content-type,x-stainless-lang\r\n"));
  client.Send("GET /v1/models HTTP/1.1\r\nOrigin: https://chat.example\r\n\r\n");
  EXPECT_THAT(client.Read().head, HasSubstr("Access-Control-Allow-Origin: https://chat.example\r\n"));
  client.Send("GET /v1/models HTTP/1.1\r\nOrigin: https://other.example\r\n\r\n");
  EXPECT_EQ(client.Read().code, 403);
  client.Get("/v1/models");
  EXPECT_THAT(client.Read().head, Not(HasSubstr("Access-Control")));
}

TEST_F(OpenAiApiTest, HealthFollowsTheModels) {
  EXPECT_EQ(face_.Get("/health").code, 200);
  ASSERT_TRUE(served_.models.Unload("fake").ok());
  const HttpClient::Response response = face_.Get("/health");
  EXPECT_EQ(response.code, 503);
  EXPECT_EQ(json::parse(response.body)["status"], "no model is ready");
}

TEST_F(OpenAiApiTest, MetricsAreThoseOfTheSources) {
  const auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter()
      .Name("hearth_things_total")
      .Register(*registry)
      .Add({{"kind", "a"}})
      .Increment(3);
  Face face(*served_.server, {.allowed_origins = {}, .metrics = {registry}});
  EXPECT_THAT(face.Get("/metrics").body, HasSubstr("hearth_things_total{kind=\"a\"} 3"));
}

TEST_F(OpenAiApiTest, ClientThatGoesCancelsItsGeneration) {
  // Many more than are kept for a client that does not read: it cannot end before the news of its client comes.
  json request = {{"prompt", "x"}, {"max_tokens", 50'000}, {"temperature", 0}, {"stream", true}};
  Gate gate;
  DecoderOptions options = FakeModel::SmallOptions();
  options.context_length = 60'000;
  auto model = std::make_shared<FakeModel>(Bytes("abcdefghij"), options);
  model->decoder().set_before_step([&](absl::Span<const BatchRow> rows) {
    if (rows.front().position == 10) gate.Pass();
    return absl::OkStatus();
  });
  Served served(model);
  Face face(*served.server);
  HttpClient client = face.Connect();
  client.Post("/v1/completions", request.dump());
  gate.AwaitArrival();
  client.Close();
  while (face.server().connections() > 0) std::this_thread::yield();
  gate.Open();
  // Had it gone on, the next one would come behind all of its steps.
  ASSERT_EQ(face.Post("/v1/completions", Greedy(1)).code, 200);
  EXPECT_LT(model->decoder().steps(), 40'000);
}

TEST_F(OpenAiApiTest, TokensWithinACharacterDoNotBreakTheJson) {
  Served served(std::make_shared<FakeModel>(Bytes("\xf0\x9f\x98\x80\xff")));
  Face face(*served.server);
  json request = Greedy(8);
  request["stream"] = true;
  request["logprobs"] = 2;
  const HttpClient::Response response = face.Post("/v1/completions", request);
  std::string text;
  for (const json& event : StreamEvents(response.body)) {
    if (event.is_object()) text += event["choices"][0]["text"].get<std::string>();
  }
  EXPECT_THAT(text, HasSubstr("\xf0\x9f\x98\x80"));
  EXPECT_THAT(response.body, HasSubstr("bytes:\\\\xff"));
}

TEST_F(OpenAiApiTest, WorkerAnswersForItsCoordinator) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  auto worker = Server::StartForwarding(options, served_.server->address());
  ASSERT_TRUE(worker.ok()) << worker.status();
  Face face(**worker);
  EXPECT_EQ(json::parse(face.Get("/v1/models").body)["data"][0]["id"], "fake");
  json request = Greedy(300);
  request["stream"] = true;
  const HttpClient::Response response = face.Post("/v1/completions", request);
  EXPECT_TRUE(StreamEvents(response.body).back().is_null());
  served_.server.reset();
  const HttpClient::Response lost = face.Post("/v1/completions", Greedy(1));
  EXPECT_EQ(lost.code, 503);
  EXPECT_THAT(Error(lost)["message"], HasSubstr("from the coordinator "));
}

TEST_F(OpenAiApiTest, FullQueueAsksToTryAgain) {
  SchedulerOptions options;
  options.queue = 1;
  Gate gate;
  auto model = std::make_shared<FakeModel>();
  model->set_before_prepare([&] { gate.Pass(); });
  Served served(model, options);
  Face face(*served.server);
  json request = Greedy(1);
  request["n"] = 8;
  const HttpClient::Response response = face.Post("/v1/completions", request);
  EXPECT_EQ(response.code, 429) << response.body;
  EXPECT_EQ(Error(response)["type"], "rate_limit_error");
  gate.Open();
}

TEST_F(OpenAiApiTest, EmbedsTexts) {
  const HttpClient::Response response =
      face_.Post("/v1/embeddings", {{"model", "fake"}, {"input", {"a", "bc"}}, {"dimensions", 2}});
  ASSERT_EQ(response.code, 200) << response.body;
  const json answer = json::parse(response.body);
  ASSERT_EQ(answer["data"].size(), 2u);
  EXPECT_EQ(answer["data"][1]["embedding"].size(), 2u);
  EXPECT_EQ(answer["usage"]["total_tokens"], 5);
}

TEST_F(OpenAiApiTest, EmbeddingErrorsHaveTheWordsOfGrpc) {
  const HttpClient::Response empty = face_.Post("/v1/embeddings", {{"input", {"a", ""}}});
  EXPECT_EQ(empty.code, 400);
  EXPECT_THAT(Error(empty)["message"], HasSubstr("input 1: it is empty"));
  const HttpClient::Response other = face_.Post("/v1/embeddings", {{"input", "a"}, {"model", "other"}});
  EXPECT_EQ(other.code, 404);
  EXPECT_EQ(Error(other)["code"], "model_not_found");
  const HttpClient::Response long_text = face_.Post("/v1/embeddings", {{"input", std::string(5000, 'x')}});
  EXPECT_EQ(Error(long_text)["code"], "context_length_exceeded");
  EXPECT_EQ(face_.Get("/v1/embeddings").code, 405);
}

TEST_F(OpenAiApiTest, LargeAnswersOfEmbeddingsCome) {
  const HttpClient::Response response =
      face_.Post("/v1/embeddings", {{"input", std::vector<std::string>(2048, "x")}});
  ASSERT_EQ(response.code, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["data"].size(), 2048u);
}

TEST_F(OpenAiApiTest, RespondsByTheModelsTemplate) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate("{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}>");
  Served served(model);
  Face face(*served.server);
  json request = {{"input", "hi"}, {"instructions", "be"}, {"max_output_tokens", 4}, {"temperature", 0}};
  const HttpClient::Response response = face.Post("/v1/responses", request);
  ASSERT_EQ(response.code, 200) << response.body;
  const json answer = json::parse(response.body);
  EXPECT_EQ(answer["output"][0]["content"][0]["text"], "ghij");  // behind "sbeuhi>"
  EXPECT_EQ(answer["status"], "incomplete");
  EXPECT_EQ(answer["usage"]["input_tokens"], 7);
  request["stream"] = true;
  const std::string stream = face.Post("/v1/responses", request).body;
  EXPECT_TRUE(stream.starts_with("event: response.created\ndata: {")) << stream;
  EXPECT_THAT(stream, HasSubstr("event: response.output_text.done"));
  EXPECT_THAT(stream, HasSubstr("event: response.incomplete"));
}

TEST_F(OpenAiApiTest, ResponsesToWhatIsNotThereAreRefused) {
  const HttpClient::Response stored = face_.Post("/v1/responses", {{"input", "x"}, {"store", true}});
  EXPECT_EQ(stored.code, 400);
  EXPECT_EQ(Error(stored)["param"], "store");
  const HttpClient::Response plain = face_.Post("/v1/responses", {{"input", "x"}, {"stream", true}});
  EXPECT_EQ(plain.code, 400);
  EXPECT_THAT(Error(plain)["message"], HasSubstr("template"));
}

TEST_F(OpenAiApiTest, ResponseThatFailsOnTheWayEndsWithAnErrorEvent) {
  auto model = std::make_shared<FakeModel>();
  model->SetChatTemplate("{{ messages[0].content }}");
  int steps = 0;
  model->decoder().set_before_step([&steps](absl::Span<const BatchRow>) {
    return ++steps < 3 ? absl::OkStatus() : absl::DataLossError("the file was changed");
  });
  Served served(model);
  Face face(*served.server);
  const std::string stream =
      face.Post("/v1/responses", {{"input", "x"}, {"stream", true}, {"max_output_tokens", 50}}).body;
  EXPECT_THAT(stream, HasSubstr("event: error\ndata: {\"type\":\"error\""));
  EXPECT_THAT(stream, HasSubstr("the file was changed"));
}

}  // namespace
}  // namespace hearth
