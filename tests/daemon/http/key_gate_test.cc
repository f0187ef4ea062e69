// The gate within a server, from the socket to the handler behind it.
#include "daemon/http/key_gate.h"

#include <future>

#include "absl/strings/str_cat.h"
#include "daemon/http/http_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/http/http_client.h"
#include "tests/daemon/http/scripted_handler.h"
#include "tests/daemon/http/test_https.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using testing::HasSubstr;

class KeyGateTest : public testing::Test {
 protected:
  KeyGateTest() {
    home_->SetRemovedListener([this](const HostId& id) { gate_.EndAnswersTo(id); });
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = https_.server;
    server_ = HttpServer::Start(options, gate_).value();
  }

  HttpClient Connect() { return HttpClient(server_->address(), 0, https_.client.get()); }
  // `headers`: lines with \r\n.
  HttpClient::Response Ask(const std::string& headers, const std::string& path = "/x") {
    HttpClient client = Connect();
    client.Send(absl::StrCat("GET ", path, " HTTP/1.1\r\n", headers, "\r\n"));
    return client.Read();
  }
  static std::string Bearer(const std::string& key) {
    return absl::StrCat("Authorization: Bearer ", key, "\r\n");
  }
  void Revoke(const std::string& name) {
    ASSERT_TRUE(home_->Remove(name, {Role::kClient, Role::kAdmin}).ok());
  }

  TemporaryState state_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a").value();
  const std::string key_ = home_->MakeApiKey("anna", Role::kClient).value();
  const TestHttps https_;
  ScriptedHandler handler_;
  KeyGate gate_{*home_, [](const HttpRequest& request) { return request.path == "/open"; }, handler_};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(KeyGateTest, OwnerOfAKeyPassesWithTheRole) {
  handler_.script = [](HttpRequest request, std::shared_ptr<Exchange> exchange) {
    exchange->Send(Text(request.role ? std::string(RoleName(*request.role)) : "nobody"));
  };
  EXPECT_EQ(Ask(Bearer(key_)).body, "client");
  EXPECT_EQ(Ask(absl::StrCat("authorization: bearer  ", key_, " \r\n")).body, "client");
  EXPECT_EQ(Ask(absl::StrCat("x-api-key: ", key_, "\r\n")).body, "client");
  EXPECT_EQ(Ask(Bearer(home_->MakeApiKey("berta", Role::kAdmin).value())).body, "admin");
  EXPECT_EQ(Ask("", "/open").body, "nobody");
}

TEST_F(KeyGateTest, WithoutAKeyOneIsToldWhatToSend) {
  for (const char* headers : {"", "Authorization: Basic aGVsbG8=\r\n", "Authorization: Bearer\r\n"}) {
    const HttpClient::Response refused = Ask(headers);
    EXPECT_EQ(refused.code, 401) << headers;
    EXPECT_THAT(refused.head, HasSubstr("WWW-Authenticate: Bearer\r\n"));
    EXPECT_THAT(refused.body, HasSubstr("{\"error\":{\"message\":\"a key is needed: send the header "));
    EXPECT_THAT(refused.body, HasSubstr("\"code\":\"invalid_api_key\""));
  }
}

TEST_F(KeyGateTest, WrongKeyIsRefusedInOtherWords) {
  for (const std::string& wrong : {std::string("none"), key_ + "x", key_.substr(0, 20)}) {
    const HttpClient::Response refused = Ask(Bearer(wrong));
    EXPECT_EQ(refused.code, 401);
    EXPECT_THAT(refused.body, HasSubstr("none of this home's, or was revoked"));
  }
}

TEST_F(KeyGateTest, ManyWrongKeysOfAnAddressAreTooManyAndARightOneStillPasses) {
  for (int i = 0; i < WrongKeys::kMost; ++i) ASSERT_EQ(Ask(Bearer("wrong")).code, 401);
  const HttpClient::Response refused = Ask(Bearer("wrong"));
  EXPECT_EQ(refused.code, 429);
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 60\r\n"));
  EXPECT_EQ(Ask(Bearer(key_)).code, 200);
  EXPECT_EQ(Ask("").code, 401);
}

TEST_F(KeyGateTest, BodyOfAStrangerIsNotWaitedFor) {
  for (const char* request : {"POST /x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
                              "POST /open HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    HttpClient client = Connect();
    client.Send(request);
    EXPECT_EQ(client.Read().code, 401) << request;
    EXPECT_EQ(client.ReadAll(), "");
  }
}

TEST_F(KeyGateTest, RevokingAKeyEndsItsStreamsAndNoOthers) {
  std::promise<void> gone;
  std::promise<std::shared_ptr<Exchange>> other;
  handler_.script = [&](HttpRequest request, std::shared_ptr<Exchange> exchange) {
    exchange->BeginStream(Text("begun"));
    if (request.path == "/other") return other.set_value(exchange);
    exchange->WhenGone([&gone, exchange] { gone.set_value(); });
  };
  HttpClient revoked = Connect();
  revoked.Send(absl::StrCat("GET / HTTP/1.1\r\n", Bearer(key_), "\r\n"));
  revoked.ReadUntil("begun");
  HttpClient stays = Connect();
  stays.Send(absl::StrCat("GET /other HTTP/1.1\r\n",
                          Bearer(home_->MakeApiKey("berta", Role::kClient).value()), "\r\n"));
  stays.ReadUntil("begun");
  Revoke("anna");
  gone.get_future().wait();
  EXPECT_EQ(revoked.ReadAll(), "\r\n");  // of the first piece: cut off
  const auto exchange = other.get_future().get();
  exchange->Post([exchange] {
    exchange->Write("more", nullptr);
    exchange->EndStream();
  });
  EXPECT_THAT(stays.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("more"));
}

TEST_F(KeyGateTest, RevokedKeyIsRefusedOnAConnectionThatItHad) {
  HttpClient client = Connect();
  const std::string request = absl::StrCat("GET / HTTP/1.1\r\n", Bearer(key_), "\r\n");
  client.Send(request);
  EXPECT_EQ(client.Read().code, 200);
  Revoke("anna");
  client.Send(request);
  EXPECT_EQ(client.Read().code, 401);
}

TEST_F(KeyGateTest, KeyThatIsRevokedWhileABodyComesIsRefused) {
  std::promise<void> handled;
  handler_.script = [&](HttpRequest, std::shared_ptr<Exchange> exchange) {
    handled.set_value();
    exchange->Send(Text("x"));
  };
  HttpClient client = Connect();
  client.Send(
      absl::StrCat("POST / HTTP/1.1\r\n", Bearer(key_), "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
  client.ReadUntil("100 Continue\r\n\r\n");  // the header was taken
  Revoke("anna");
  client.Send("body");
  EXPECT_EQ(client.Read().code, 401);
  EXPECT_EQ(handled.get_future().wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

}  // namespace
}  // namespace hearth
