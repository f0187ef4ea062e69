#ifndef HEARTH_TESTS_DAEMON_HTTP_HTTP_CLIENT_H_
#define HEARTH_TESTS_DAEMON_HTTP_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace hearth {

// A client that says exactly what a test wants, byte by byte. What takes longer than half a minute fails.
class HttpClient {
 public:
  // `address`: 127.0.0.1:PORT. `tls`: null for a plain connection; else the server's certificate has to be
  // one for this address that the context knows.
  explicit HttpClient(const std::string& address, int receive_bytes = 0, SSL_CTX* tls = nullptr)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{30, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (receive_bytes > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    sockaddr_in server{};
    server.sin_family = AF_INET;
    server.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&server), sizeof(server)), 0);
    if (tls == nullptr) return;
    tls_.reset(SSL_new(tls));
    SSL_set_verify(tls_.get(), SSL_VERIFY_PEER, nullptr);
    EXPECT_EQ(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), "127.0.0.1"), 1);
    EXPECT_EQ(SSL_set_fd(tls_.get(), socket_), 1);
    EXPECT_EQ(SSL_connect(tls_.get()), 1) << X509_verify_cert_error_string(SSL_get_verify_result(tls_.get()));
  }
  ~HttpClient() { Close(); }
  HttpClient(HttpClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        tls_(std::move(other.tls_)),
        received_(std::move(other.received_)) {}

  void Send(absl::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = tls_ ? SSL_write(tls_.get(), text.data(), static_cast<int>(text.size()))
                                : send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void Get(const std::string& path) { Send(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n")); }
  // `headers`: further ones, each with its line end.
  void Post(const std::string& path, const std::string& json, const std::string& headers = "") {
    Send(absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: x\r\n", headers,
                      "Content-Type: application/json\r\nContent-Length: ", json.size(), "\r\n\r\n", json));
  }
  void EndInput() {
    if (tls_) {
      SSL_shutdown(tls_.get());
    } else {
      shutdown(socket_, SHUT_WR);
    }
  }
  // Without a word, even within TLS.
  void Close() {
    tls_.reset();
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }

  // More of what the server sent; false at its end.
  bool ReadSome() {
    char buffer[4096];
    errno = 0;
    const ssize_t got =
        tls_ ? SSL_read(tls_.get(), buffer, sizeof(buffer)) : recv(socket_, buffer, sizeof(buffer), 0);
    EXPECT_FALSE(got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        << "the server says nothing after: " << received_;
    if (got <= 0) return false;
    received_.append(buffer, static_cast<size_t>(got));
    return true;
  }
  // Up to and with `end`; what the server sent until it closed where that does not come.
  std::string ReadUntil(const std::string& end) {
    size_t found = 0;
    while ((found = received_.find(end)) == std::string::npos) {
      if (!ReadSome()) return std::exchange(received_, "");
    }
    return Take(found + end.size());
  }
  std::string ReadAll() {
    while (ReadSome()) {
    }
    return std::exchange(received_, "");
  }

  struct Response {
    int code = 0;
    std::string head;
    std::string body;
  };
  // One answer whose length its head tells, or one in chunks.
  Response Read() {
    Response response;
    response.head = ReadUntil("\r\n\r\n");
    if (response.head.size() > 12) response.code = std::atoi(response.head.c_str() + 9);
    const size_t length = response.head.find("Content-Length: ");
    if (length != std::string::npos) {
      const auto bytes = static_cast<size_t>(std::atoll(response.head.c_str() + length + 16));
      while (received_.size() < bytes && ReadSome()) {
      }
      response.body = Take(bytes);
    } else if (response.head.find("chunked") != std::string::npos) {
      response.body = ReadChunks();
    }
    return response;
  }

 private:
  std::string ReadChunks() {
    std::string body;
    for (;;) {
      uint64_t bytes = 0;
      std::string line = ReadUntil("\r\n");
      if (line.size() < 3 || !absl::SimpleHexAtoi(line.substr(0, line.size() - 2), &bytes))
        return body + " (cut off)";
      while (received_.size() < bytes + 2 && ReadSome()) {
      }
      body += Take(bytes);
      Take(2);
      if (bytes == 0) return body;
    }
  }
  std::string Take(size_t bytes) {
    std::string taken = received_.substr(0, bytes);
    received_.erase(0, bytes);
    return taken;
  }

  struct FreeTls {
    void operator()(SSL* tls) const { SSL_free(tls); }
  };

  int socket_;
  std::unique_ptr<SSL, FreeTls> tls_;
  std::string received_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_HTTP_HTTP_CLIENT_H_
