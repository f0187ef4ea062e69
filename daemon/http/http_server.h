#ifndef HEARTH_DAEMON_HTTP_HTTP_SERVER_H_
#define HEARTH_DAEMON_HTTP_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/http/exchange.h"
#include "daemon/identity/tls_context.h"

namespace hearth {

// What one client may take of the server. What passes a limit ends that client's connection and nothing else.
struct HttpLimits {
  size_t connections = 4096;  // at the same time; where all are taken, the longest idle one makes room
  size_t header_bytes = size_t{16} << 10;
  size_t body_bytes = 4'000'000;  // what is made of it fits a gRPC message
  // Of pipelined requests, while one is being answered; what comes beyond stays with the system.
  size_t ahead_bytes = size_t{64} << 10;
  std::chrono::milliseconds handshake{10'000};  // of TLS, from a connection's begin
  std::chrono::milliseconds idle{60'000};       // between two requests
  std::chrono::milliseconds header{10'000};     // from a request's first byte to the end of its header
  std::chrono::milliseconds body{30'000};       // from there to its last byte
  // For the system to take 64 KiB of an answer. Streams of generations have their own, shorter patience.
  std::chrono::milliseconds write{60'000};
};

struct HttpServerOptions {
  std::string listen = "127.0.0.1:7780";  // HOST:PORT; port 0 takes any free one
  HttpLimits limits;
  int threads = 2;  // of its own: it never computes
  TlsContext tls;   // in place of which it speaks plain HTTP: null
};

// An HTTP/1.1 server: keep-alive, pipelined requests one after the other, HEAD as GET without the body. A
// client that closes its connection, or its half of it, while a handler waits for WhenGone is gone.
class HttpServer {
 public:
  // `handler` outlives the server. UNAVAILABLE when the address cannot be had; INVALID_ARGUMENT for one that
  // is none.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options,
                                                           HttpHandler& handler);
  // Stops at once.
  virtual ~HttpServer() = default;

  // HOST:PORT with the port that is really in use.
  virtual const std::string& address() const = 0;
  // Connections that are open now. Thread-safe.
  virtual size_t connections() const = 0;
  // Takes no more connections and requests, gives answers that are under way this long, then ends them, and
  // waits until nothing of them is left. Idempotent.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_HTTP_SERVER_H_
