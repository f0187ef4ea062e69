// The dashboard over a coordinator with fakes behind it, from the socket to the services.
#include "daemon/dashboard/dashboard.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "daemon/http/http_server.h"
#include "daemon/http/key_gate.h"
#include "daemon/openai/openai_api.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/http/http_client.h"
#include "tests/daemon/identity/temporary_state.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class DashboardTest : public testing::Test {
 protected:
  DashboardTest() {
    DashboardOptions options;
    options.version = "1.2.3";
    options.allowed_origins = {"http://nas.home:7780"};
    options.chronicle.interval = absl::Milliseconds(1);
    api_ = MakeOpenAiApi(served_.server->InProcessChannel(), {});
    dashboard_ = MakeDashboard(served_.server->InProcessChannel(), options, *api_);
    HttpServerOptions http;
    http.listen = "127.0.0.1:0";
    server_ = HttpServer::Start(http, *dashboard_).value();
  }

  // `headers`: lines with \r\n.
  HttpClient::Response Ask(const std::string& method, const std::string& path, const std::string& headers,
                           const std::string& body = "") {
    HttpClient client(server_->address());
    client.Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\n", headers, "Content-Length: ", body.size(),
                             "\r\n\r\n", body));
    return client.Read();
  }
  std::string Host() const { return absl::StrCat("Host: ", server_->address(), "\r\n"); }
  HttpClient::Response Get(const std::string& path) { return Ask("GET", path, Host()); }
  HttpClient::Response Post(const std::string& path, const json& body, const std::string& headers = "") {
    return Ask("POST", path, absl::StrCat(Host(), headers, "Content-Type: application/json\r\n"),
               body.dump());
  }

  Served served_;
  std::unique_ptr<HttpHandler> api_;
  std::unique_ptr<Dashboard> dashboard_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(DashboardTest, ServesThePageWithAStrictPolicy) {
  const HttpClient::Response page = Get("/");
  EXPECT_EQ(page.code, 200);
  EXPECT_THAT(page.head, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(page.head, HasSubstr("Content-Security-Policy: default-src 'none'"));
  EXPECT_THAT(page.head, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(page.body, HasSubstr("<!doctype html>"));
  EXPECT_THAT(Get("/dashboard/app.js").head, HasSubstr("Content-Type: text/javascript; charset=utf-8\r\n"));
  EXPECT_THAT(Get("/dashboard/app.css").head, HasSubstr("Content-Type: text/css; charset=utf-8\r\n"));
  EXPECT_THAT(Get("/dashboard/icon.svg").head, HasSubstr("Content-Type: image/svg+xml\r\n"));
  EXPECT_EQ(Get("/dashboard/other").code, 404);
}

TEST_F(DashboardTest, FileThatTheBrowserHasIsNotSentAgain) {
  const std::string head = Get("/dashboard/app.js").head;
  const size_t tag = head.find("ETag: ") + 6;
  const std::string has =
      absl::StrCat("If-None-Match: ", head.substr(tag, head.find('\r', tag) - tag), "\r\n");
  const HttpClient::Response again = Ask("GET", "/dashboard/app.js", Host() + has);
  EXPECT_EQ(again.code, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(Ask("GET", "/dashboard/app.js", Host() + "If-None-Match: \"other\"\r\n").code, 200);
}

TEST_F(DashboardTest, StreamsTheStateAndWhatHappens) {
  HttpClient client(server_->address());
  client.Send(absl::StrCat("GET /dashboard/news HTTP/1.1\r\n", Host(), "\r\n"));
  EXPECT_THAT(client.ReadUntil("fake is ready"),
              HasSubstr("{\"admin\":true,\"coordinator\":true,\"version\":\"1.2.3\"}"));
  HostView host;
  host.name = "cellar";
  host.state = HostState::kLost;
  served_.cluster.Set({.hosts = {host}, .links = {}, .transfers = {}, .plans = {}});
  EXPECT_THAT(client.ReadUntil("cellar is lost"), HasSubstr("HOST_STATE_LOST"));
  dashboard_->Stop();
  EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("\r\n0\r\n\r\n"));
  EXPECT_EQ(Get("/dashboard/news").code, 503);
}

TEST_F(DashboardTest, SlowPageGetsTheNewestOfWhatItMissed) {
  const std::string ask = absl::StrCat("GET /dashboard/news HTTP/1.1\r\n", Host(), "\r\n");
  HttpClient slow(server_->address(), 4096), quick(server_->address());
  slow.Send(ask);
  quick.Send(ask);
  quick.ReadUntil("fake is ready");
  constexpr int kStates = 20;
  for (int i = 0; i < kStates; ++i) {
    ClusterSnapshot crowd;
    for (int k = 0; k < 1000; ++k) crowd.hosts.emplace_back().name = absl::StrCat("host", i, "-", k);
    served_.cluster.Set(crowd);
    quick.ReadUntil(absl::StrCat("\"host", i, "-999\""));
  }
  const std::string news = slow.ReadUntil(absl::StrCat("\"host", kStates - 1, "-999\""));
  int states = 0;
  for (size_t at = news.find("event: state"); at != std::string::npos;
       at = news.find("event: state", at + 1)) {
    ++states;
  }
  EXPECT_LT(states, kStates / 2);
}

TEST_F(DashboardTest, PagesThatLeaveMakeRoomForOthers) {
  for (size_t i = 0; i < 3 * Chronicle::kListeners; ++i) {
    HttpClient client(server_->address());
    client.Send(absl::StrCat("GET /dashboard/news HTTP/1.1\r\n", Host(), "\r\n"));
    std::string answer = client.ReadUntil("\r\n\r\n");
    while (answer.find(" 503 ") != std::string::npos) {  // those before are on their way out
      HttpClient again(server_->address());
      again.Send(absl::StrCat("GET /dashboard/news HTTP/1.1\r\n", Host(), "\r\n"));
      answer = again.ReadUntil("\r\n\r\n");
    }
    EXPECT_THAT(answer, HasSubstr("text/event-stream"));
  }
}

TEST_F(DashboardTest, HistoryIsJson) {
  const json history = json::parse(Get("/dashboard/history").body);
  EXPECT_TRUE(history["times"].is_array());
  EXPECT_TRUE(history["series"].is_array());
}

TEST_F(DashboardTest, OtherPathsAreTheNextHandlers) {
  EXPECT_EQ(Get("/v1/models").code, 200);
  EXPECT_THAT(Get("/v1/models").head, Not(HasSubstr("Content-Security-Policy")));
  EXPECT_EQ(Get("/nothing").code, 404);
}

TEST_F(DashboardTest, LoadsAndUnloadsModels) {
  EXPECT_EQ(Post("/dashboard/load", {{"path", "/models/a.gguf"}, {"name", "a"}}).code, 200);
  const HttpClient::Response missing = Post("/dashboard/unload", {{"name", "other"}});
  EXPECT_EQ(missing.code, 404);
  EXPECT_THAT(missing.body, HasSubstr("no model is called 'other'"));
  EXPECT_EQ(Post("/dashboard/unload", {{"name", "fake"}}).code, 200);
  EXPECT_EQ(Post("/dashboard/load", json::object()).code, 400);
  EXPECT_EQ(Post("/dashboard/load", {{"path", 7}}).code, 400);
  EXPECT_EQ(Post("/dashboard/other", json::object()).code, 404);
}

TEST_F(DashboardTest, NameThatAStrangerMayOwnIsRefused) {
  EXPECT_EQ(Ask("GET", "/", "Host: evil.example:7780\r\n").code, 403);
  EXPECT_EQ(Ask("GET", "/dashboard/news", "Host: evil.example\r\n").code, 403);
  EXPECT_EQ(Ask("GET", "/dashboard/history", "").code, 403);
  EXPECT_THAT(Ask("GET", "/", "Host: nas.home:80\r\n").body,
              HasSubstr("--http-allow-origin http://nas.home:80"));
  EXPECT_EQ(Ask("GET", "/", "Host: nas.home:7780\r\n").code, 200);
  EXPECT_EQ(Ask("GET", "/", "Host: localhost:1\r\n").code, 200);
  EXPECT_EQ(Ask("GET", "/", "Host: [::1]:1\r\n").code, 200);
  EXPECT_EQ(Ask("GET", "/", "Host: 192.168.1.7\r\n").code, 200);
}

TEST_F(DashboardTest, StrangersPagesMayNothing) {
  const std::string stranger = "Origin: https://evil.example\r\n";
  EXPECT_EQ(Ask("GET", "/dashboard/news", Host() + stranger).code, 403);
  EXPECT_EQ(Post("/dashboard/unload", {{"name", "fake"}}, stranger).code, 403);
  EXPECT_EQ(Post("/dashboard/unload", {{"name", "fake"}}, "Origin: null\r\n").code, 403);
  // What a form of another page can send without being asked.
  EXPECT_EQ(
      Ask("POST", "/dashboard/unload", Host() + "Content-Type: text/plain\r\n", R"({"name": "fake"})").code,
      415);
}

TEST_F(DashboardTest, OnlyThisMachineChangesSomething) {
  const std::string elsewhere = "Host: 192.168.1.7:7780\r\nContent-Type: application/json\r\n";
  const HttpClient::Response refused = Ask("POST", "/dashboard/unload", elsewhere, R"({"name": "fake"})");
  EXPECT_EQ(refused.code, 403);
  EXPECT_THAT(refused.body, HasSubstr("admin's --key"));
  HttpClient client(server_->address());
  client.Send("GET /dashboard/news HTTP/1.1\r\nHost: 192.168.1.7:7780\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\"version\""), HasSubstr("\"admin\":false"));
}

TEST_F(DashboardTest, ItsPageMayUseTheApi) {
  const std::string page = absl::StrCat("Origin: http://", server_->address(), "\r\n");
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "x"}, {"max_tokens", 1}}, page).code, 200);
  EXPECT_EQ(
      Post("/v1/completions", {{"prompt", "x"}, {"max_tokens", 1}}, "Origin: http://127.0.0.1:1\r\n").code,
      403);
}

// Behind a gate, as where other machines reach it.
class DashboardWithKeysTest : public testing::Test {
 protected:
  DashboardWithKeysTest() {
    HttpServerOptions http;
    http.listen = "127.0.0.1:0";
    server_ = HttpServer::Start(http, gate_).value();
  }

  // `headers`: lines with \r\n.
  HttpClient::Response Ask(const std::string& method, const std::string& path, const std::string& headers,
                           const std::string& body = "") {
    HttpClient client(server_->address());
    client.Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: nas.home\r\n", headers,
                             body.empty() ? "" : "Content-Type: application/json\r\nContent-Length: ",
                             body.empty() ? "" : absl::StrCat(body.size(), "\r\n"), "\r\n", body));
    return client.Read();
  }
  std::string KeyOf(Role role) {
    const std::string name(RoleName(role));
    return absl::StrCat("Authorization: Bearer ", home_->MakeApiKey(name, role).value(), "\r\n");
  }

  TemporaryState state_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a").value();
  Served served_;
  const std::unique_ptr<HttpHandler> api_ = MakeOpenAiApi(served_.server->InProcessChannel(), {});
  const std::unique_ptr<Dashboard> dashboard_ =
      MakeDashboard(served_.server->InProcessChannel(), {.version = "1.2.3", .keys = true}, *api_);
  KeyGate gate_{*home_, IsPageFile, *dashboard_};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(DashboardWithKeysTest, FilesOfThePageAreEverybodysUnderAnyName) {
  EXPECT_EQ(Ask("GET", "/", "").code, 200);
  EXPECT_EQ(Ask("GET", "/dashboard/app.js", "").code, 200);
  for (const char* path : {"/dashboard/news", "/dashboard/history", "/dashboard/other", "/v1/models"}) {
    EXPECT_EQ(Ask("GET", path, "").code, 401) << path;
  }
  EXPECT_EQ(Ask("POST", "/", "", "{}").code, 401);
}

TEST_F(DashboardWithKeysTest, ClientLooksAndGeneratesAndChangesNothing) {
  const std::string key = KeyOf(Role::kClient);
  HttpClient client(server_->address());
  client.Send(absl::StrCat("GET /dashboard/news HTTP/1.1\r\nHost: nas.home\r\n", key, "\r\n"));
  EXPECT_THAT(client.ReadUntil("\"version\""), HasSubstr("\"admin\":false"));
  const std::string page = key + "Origin: https://nas.home\r\n";
  EXPECT_EQ(Ask("POST", "/v1/completions", page, R"({"prompt": "x", "max_tokens": 1})").code, 200);
  for (const char* path : {"/dashboard/load", "/dashboard/unload", "/dashboard/invite", "/dashboard/members",
                           "/dashboard/forget"}) {
    const HttpClient::Response refused = Ask("POST", path, page, "{}");
    EXPECT_EQ(refused.code, 403) << path;
    EXPECT_THAT(refused.body, HasSubstr("--role admin"));
  }
}

TEST_F(DashboardWithKeysTest, AdminChangesSomethingAndStrangersPagesMayNothing) {
  const std::string key = KeyOf(Role::kAdmin);
  HttpClient client(server_->address());
  client.Send(absl::StrCat("GET /dashboard/news HTTP/1.1\r\nHost: nas.home\r\n", key, "\r\n"));
  EXPECT_THAT(client.ReadUntil("\"version\""), HasSubstr("\"admin\":true"));
  const std::string stranger = key + "Origin: https://evil.example\r\n";
  EXPECT_EQ(Ask("POST", "/dashboard/unload", stranger, R"({"name": "fake"})").code, 403);
  EXPECT_EQ(Ask("POST", "/v1/completions", stranger, R"({"prompt": "x"})").code, 403);
  EXPECT_EQ(Ask("POST", "/dashboard/unload", key, R"({"name": "fake"})").code, 200);
}

}  // namespace
}  // namespace hearth
