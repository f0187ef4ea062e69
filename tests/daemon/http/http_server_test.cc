#include "daemon/http/http_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/http/http_client.h"
#include "tests/daemon/http/scripted_handler.h"
#include "tests/daemon/http/test_https.h"
#include "tests/daemon/serving/fakes.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using testing::Not;

class HttpServerFixture : public testing::Test {
 protected:
  virtual bool encrypted() const { return false; }
  void StartWith(HttpLimits limits, int threads = HttpServerOptions().threads) {
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.limits = limits;
    options.threads = threads;
    if (encrypted()) options.tls = https_.server;
    auto started = HttpServer::Start(options, handler_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  HttpClient Connect(int receive_bytes = 0) {
    if (server_ == nullptr) StartWith({});
    return HttpClient(server_->address(), receive_bytes, encrypted() ? https_.client.get() : nullptr);
  }
  void AwaitConnections(size_t count) {
    while (server_->connections() != count) std::this_thread::yield();
  }

  const TestHttps https_;
  ScriptedHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

// What holds within TLS and without.
class HttpServerTest : public HttpServerFixture, public testing::WithParamInterface<bool> {
 protected:
  bool encrypted() const override { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(, HttpServerTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Encrypted" : "Plain"; });

TEST_P(HttpServerTest, AnswersOneRequestAfterTheOtherOnAConnection) {
  HttpClient client = Connect();
  client.Get("/a%20b?query");
  const HttpClient::Response first = client.Read();
  EXPECT_EQ(first.code, 200);
  EXPECT_EQ(first.body, "GET /a b ");
  EXPECT_THAT(first.head, HasSubstr("Content-Type: text/plain\r\n"));
  EXPECT_THAT(first.head, HasSubstr("Date: "));
  client.Post("/c", "{}");
  EXPECT_EQ(client.Read().body, "POST /c {}");
}

TEST_P(HttpServerTest, PipelinedRequestsAreAnsweredInTheirOrder) {
  HttpClient client = Connect();
  client.Send(
      "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nConnection: "
      "close\r\n\r\n");
  EXPECT_EQ(client.Read().body, "GET /1 ");
  EXPECT_EQ(client.Read().body, "POST /2 abc");
  EXPECT_EQ(client.Read().body, "GET /3 ");
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_P(HttpServerTest, RequestsMayComeByteByByteAndInChunks) {
  HttpClient client = Connect();
  for (char byte :
       std::string("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")) {
    client.Send(std::string(1, byte));
  }
  EXPECT_EQ(client.Read().body, "POST /x abc");
}

TEST_P(HttpServerTest, HeadIsGetWithoutTheBody) {
  HttpClient client = Connect();
  client.Send("HEAD /x HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_P(HttpServerTest, OldClientsGetOneAnswerForAConnection) {
  HttpClient client = Connect();
  client.Send("GET /x HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), HasSubstr("Connection: close\r\n\r\nGET /x "));
}

TEST_P(HttpServerTest, ClientThatWaitsForLeaveToSendItsBodyGetsIt) {
  HttpClient client = Connect();
  client.Send("POST /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ab");
  EXPECT_EQ(client.Read().body, "POST /x ab");
}

TEST_P(HttpServerTest, ClientThatEndsItsHalfStillGetsAShortAnswer) {
  HttpClient client = Connect();
  client.Get("/x");
  client.EndInput();
  EXPECT_THAT(client.ReadAll(), HasSubstr("GET /x "));
}

TEST_P(HttpServerTest, StreamsComeInChunks) {
  handler_.script = [](HttpRequest, std::shared_ptr<Exchange> exchange) {
    exchange->BeginStream(Text(""));
    exchange->Write("one ", [exchange] {
      exchange->Write("two", nullptr);
      exchange->EndStream();
    });
  };
  HttpClient client = Connect();
  client.Get("/");
  EXPECT_EQ(client.Read().body, "one two");
  client.Get("/");
  EXPECT_EQ(client.Read().body, "one two");
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(client.ReadAll().ends_with("\r\n\r\none two"));
}

struct Bad {
  const char* name;
  std::string request;
  int code;
};

class BadRequestTest : public HttpServerFixture, public testing::WithParamInterface<Bad> {};

TEST_P(BadRequestTest, GetsOneErrorAndTheConnectionEnds) {
  HttpLimits limits;
  limits.body_bytes = 1000;
  StartWith(limits);
  HttpClient client = Connect();
  client.Send(GetParam().request);
  const HttpClient::Response response = client.Read();
  EXPECT_EQ(response.code, GetParam().code) << response.head;
  EXPECT_THAT(response.body, HasSubstr("{\"error\":{\"message\":\""));
  EXPECT_THAT(response.head, HasSubstr("Connection: close"));
  EXPECT_EQ(client.ReadAll(), "");
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRequestTest,
    testing::Values(Bad{"Garbage", "\x16\x03\x01 hello\r\n\r\n", 400},
                    Bad{"OtherVersion", "GET / HTTP/3.0\r\n\r\n", 400},
                    Bad{"NoTarget", "GET HTTP/1.1\r\n\r\n", 400},
                    Bad{"BadHeader", "GET / HTTP/1.1\r\na b: c\r\n\r\n", 400},
                    Bad{"LongHeader", "GET / HTTP/1.1\r\na: " + std::string(20000, 'x') + "\r\n\r\n", 431},
                    Bad{"EndlessTarget", "GET /" + std::string(20000, 'x'), 431},
                    Bad{"LongBody", "POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413},
                    Bad{"HugeLength", "POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", 413},
                    Bad{"NoLength", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400},
                    Bad{"TwoLengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                        400},
                    Bad{"LengthAndChunks",
                        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
                    Bad{"BadChunk", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
                    Bad{"ManyChunks",
                        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                            std::string(2000, 'x') + "\r\n0\r\n\r\n",
                        413}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(HttpServerTest, WhoSendsTooSlowlyIsToldSo) {
  HttpLimits limits;
  limits.header = std::chrono::milliseconds(50);
  limits.body = std::chrono::milliseconds(50);
  StartWith(limits);
  HttpClient header = Connect();
  header.Send("GET / HT");
  EXPECT_EQ(header.Read().code, 408);
  HttpClient body = Connect();
  body.Send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nab");
  EXPECT_EQ(body.Read().code, 408);
}

TEST_P(HttpServerTest, IdleConnectionEndsWithoutAWord) {
  HttpLimits limits;
  limits.idle = std::chrono::milliseconds(50);
  StartWith(limits);
  HttpClient silent = Connect();
  EXPECT_EQ(silent.ReadAll(), "");
  HttpClient again = Connect();
  again.Get("/x");
  EXPECT_EQ(again.Read().code, 200);
  EXPECT_EQ(again.ReadAll(), "");
}

TEST_P(HttpServerTest, LongestIdleConnectionMakesRoom) {
  std::promise<std::shared_ptr<Exchange>> waiting;
  handler_.script = [&](HttpRequest request, std::shared_ptr<Exchange> exchange) {
    if (request.path == "/wait") return waiting.set_value(std::move(exchange));
    exchange->Send(Text("x"));
  };
  HttpLimits limits;
  limits.connections = 3;
  StartWith(limits, /*threads=*/1);  // a connection is idle before the next one is accepted
  HttpClient busy = Connect();
  busy.Get("/wait");
  const auto exchange = waiting.get_future().get();
  HttpClient idle = Connect();
  idle.Get("/");
  EXPECT_EQ(idle.Read().code, 200);
  HttpClient third = Connect();
  third.Get("/");
  EXPECT_EQ(third.Read().code, 200);
  HttpClient fourth = Connect();
  fourth.Get("/");
  EXPECT_EQ(fourth.Read().code, 200);
  EXPECT_EQ(idle.ReadAll(), "");
  exchange->Post([exchange] { exchange->Send(Text("done")); });
  EXPECT_EQ(busy.Read().body, "done");
}

TEST_P(HttpServerTest, ClientThatGoesIsNoticedWhileItsAnswerIsUnderWay) {
  std::promise<void> handled;
  std::promise<void> gone;
  handler_.script = [&](HttpRequest, std::shared_ptr<Exchange> exchange) {
    exchange->WhenGone([&gone, exchange] { gone.set_value(); });
    handled.set_value();
  };
  HttpClient client = Connect();
  client.Get("/");
  handled.get_future().wait();
  client.Close();
  gone.get_future().wait();
  AwaitConnections(0);
}

TEST_P(HttpServerTest, SlowReaderHoldsUpItselfAlone) {
  const std::string piece(size_t{1} << 20, 'x');
  std::atomic<int> written = 0;
  std::promise<void> gone;
  // Writes on for as long as the system takes it.
  std::function<void(std::shared_ptr<Exchange>)> write_on = [&](std::shared_ptr<Exchange> exchange) {
    exchange->Write(piece, [&, exchange] {
      ++written;
      write_on(exchange);
    });
  };
  handler_.script = [&](HttpRequest request, std::shared_ptr<Exchange> exchange) {
    if (request.path != "/stream") return exchange->Send(Text("x"));
    exchange->WhenGone([&] { gone.set_value(); });
    exchange->BeginStream(Text(""));
    write_on(exchange);
  };
  HttpLimits limits;
  limits.write = std::chrono::milliseconds(300);
  StartWith(limits);
  HttpClient slow = Connect(/*receive_bytes=*/4096);
  slow.Get("/stream");
  HttpClient other = Connect();
  for (int i = 0; i < 100; ++i) {
    other.Get("/");
    ASSERT_EQ(other.Read().code, 200);
  }
  gone.get_future().wait();  // the server's patience for a write is over
  EXPECT_LT(written, 64);    // what the system keeps for a connection, not what the handler has
  AwaitConnections(1);
}

TEST_P(HttpServerTest, RequestsAheadStayWithTheSystem) {
  std::promise<std::shared_ptr<Exchange>> waiting;
  std::atomic<int> answered = 0;
  handler_.script = [&](HttpRequest request, std::shared_ptr<Exchange> exchange) {
    if (request.path == "/wait") return waiting.set_value(std::move(exchange));
    ++answered;
    exchange->Send(Text("x"));
  };
  HttpLimits limits;
  limits.ahead_bytes = 10000;
  StartWith(limits);
  HttpClient client = Connect();
  client.Get("/wait");
  const auto exchange = waiting.get_future().get();
  constexpr int kAhead = 2000;
  for (int i = 0; i < kAhead; ++i) client.Get("/");
  exchange->Post([exchange] { exchange->Send(Text("done")); });
  EXPECT_EQ(client.Read().body, "done");
  for (int i = 0; i < kAhead; ++i) ASSERT_EQ(client.Read().body, "x");
  EXPECT_EQ(answered, kAhead);
}

TEST_P(HttpServerTest, StoppingLetsAnswersEndAndThenEndsThem) {
  std::promise<std::shared_ptr<Exchange>> waiting;
  std::promise<void> gone;
  handler_.script = [&](HttpRequest request, std::shared_ptr<Exchange> exchange) {
    if (request.path == "/short") return waiting.set_value(std::move(exchange));
    exchange->WhenGone([&gone, exchange] { gone.set_value(); });
    exchange->BeginStream(Text("begun"));
  };
  HttpClient endless = Connect();
  endless.Get("/endless");
  endless.ReadUntil("begun");
  HttpClient brief = Connect();
  brief.Get("/short");
  auto exchange = waiting.get_future().get();
  std::thread stopping([&] { server_->Stop(std::chrono::milliseconds(200)); });
  exchange->Post([exchange] { exchange->Send(Text("done")); });
  exchange.reset();
  EXPECT_EQ(brief.Read().body, "done");
  EXPECT_EQ(brief.ReadAll(), "");
  EXPECT_EQ(endless.ReadAll(), "\r\n");  // of the first chunk
  gone.get_future().wait();
  stopping.join();
}

TEST_P(HttpServerTest, PortInUseIsNamed) {
  StartWith({});
  HttpServerOptions options;
  options.listen = server_->address();
  const auto second = HttpServer::Start(options, handler_);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(second.status().message(), HasSubstr(server_->address()));
  EXPECT_THAT(second.status().message(), HasSubstr("--http"));
}

TEST_P(HttpServerTest, ManyClientsAtOnceAreAnswered) {
  StartWith({});
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 50; ++j) {
        HttpClient client = Connect();
        client.Get(absl::StrCat("/", i, "/", j));
        right += client.Read().body == absl::StrCat("GET /", i, "/", j, " ");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 400);
}

class HttpsServerTest : public HttpServerFixture {
 protected:
  bool encrypted() const override { return true; }
  HttpClient ConnectPlain() {
    if (server_ == nullptr) StartWith({});
    return HttpClient(server_->address());
  }
  // Whether a client of no later version than `version` is taken.
  bool Takes(int version) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> client(SSL_new(https_.client.get()), SSL_free);
    SSL_set_max_proto_version(client.get(), version);
    SSL_set_security_level(client.get(), 0);
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> connection(
        BIO_new_connect(server_->address().c_str()), BIO_free_all);
    EXPECT_EQ(BIO_do_connect(connection.get()), 1);
    BIO_up_ref(connection.get());
    SSL_set_bio(client.get(), connection.get(), connection.get());
    const bool taken = SSL_connect(client.get()) == 1;
    ERR_clear_error();
    return taken;
  }
};

TEST_F(HttpsServerTest, PlainRequestIsToldOfHttps) {
  HttpClient client = ConnectPlain();
  client.Get("/");
  const HttpClient::Response answer = client.Read();
  EXPECT_EQ(answer.code, 400);
  EXPECT_THAT(answer.body, HasSubstr("this port speaks HTTPS"));
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HttpsServerTest, BytesThatAreNoHandshakeEndTheConnection) {
  HttpClient client = ConnectPlain();
  client.Send("\x16\x03\x01\xff\xff hello");
  client.EndInput();
  client.ReadAll();  // an alert, or nothing
  AwaitConnections(0);
}

TEST_F(HttpsServerTest, StalledHandshakesEndAndOthersAreAnsweredMeanwhile) {
  HttpLimits limits;
  limits.handshake = std::chrono::milliseconds(100);
  StartWith(limits);
  HttpClient silent = ConnectPlain(), begun = ConnectPlain();
  begun.Send("\x16\x03\x01");
  HttpClient other = Connect();
  other.Get("/x");
  EXPECT_EQ(other.Read().code, 200);
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(begun.ReadAll(), "");
}

TEST_F(HttpsServerTest, StalledHandshakeMakesRoomForOthers) {
  HttpLimits limits;
  limits.connections = 1;
  limits.handshake = std::chrono::minutes(10);
  StartWith(limits, /*threads=*/1);
  HttpClient silent = ConnectPlain();
  AwaitConnections(1);
  HttpClient other = Connect();
  other.Get("/x");
  EXPECT_EQ(other.Read().code, 200);
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST_F(HttpsServerTest, StoppingDoesNotWaitForHandshakes) {
  HttpLimits limits;
  limits.handshake = std::chrono::minutes(10);
  StartWith(limits);
  HttpClient silent = ConnectPlain();
  AwaitConnections(1);
  server_->Stop(std::chrono::minutes(10));
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST_F(HttpsServerTest, OldVersionsOfTlsAreRefused) {
  StartWith({});
  EXPECT_TRUE(Takes(TLS1_3_VERSION));
  EXPECT_TRUE(Takes(TLS1_2_VERSION));
  EXPECT_FALSE(Takes(TLS1_1_VERSION));
}

}  // namespace
}  // namespace hearth
