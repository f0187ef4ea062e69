#ifndef HEARTH_DAEMON_HTTP_EXCHANGE_H_
#define HEARTH_DAEMON_HTTP_EXCHANGE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/identity/certificate.h"

namespace hearth {

// What a client asks for, whole and within the limits of the server.
struct HttpRequest {
  std::string method;             // "GET"; HEAD arrives as GET
  std::string path;               // percent-decoded, without the query
  std::string content_type;       // as it came; empty: none
  std::string content_encoding;   // likewise
  std::string origin;             // the web page that asks, as browsers tell it; empty: none
  std::string requested_headers;  // of a browser's preflight
  std::string host;               // whom the client means to talk to, HOST[:PORT]; empty: it does not say
  std::string if_none_match;      // what it has already, as it came; empty: nothing
  std::string client;             // the address of who asks
  bool from_this_machine = false;
  std::string key;            // that the client shows to be let in, as it came; empty: none
  std::optional<Role> role;   // of the key's owner; nullopt where no key is asked for
  bool has_body = false;      // or is to have one
  std::string last_event_id;  // behind which a stream is to go on; empty: none
  std::string body;
};

struct HttpResponse {
  int code = 200;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;  // further ones
  std::string body;
};

// One request and its answer: either Send once, or BeginStream, any number of Writes, and EndStream
// once. Post is for any thread; everything else happens on the exchange's own strand, which is
// where Handle, posted tasks and callbacks run. After the client has gone everything is harmless and does
// nothing.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // Runs `task` on the strand, after what was posted before. The server does not stop while it is held.
  virtual void Post(std::function<void()> task) = 0;
  // A header that goes with whatever is sent.
  virtual void AddHeader(std::string name, std::string value) = 0;
  // The whole answer.
  virtual void Send(HttpResponse response) = 0;

  // An answer whose body comes in pieces; that of `head` is the first.
  virtual void BeginStream(HttpResponse head) = 0;
  // The next piece, not empty. `written` is called once the system has taken it, or never: who writes the
  // next piece only then keeps a client that does not read from filling memory.
  virtual void Write(std::string piece, std::function<void()> written) = 0;
  virtual void EndStream() = 0;

  // `gone` is called at most once, when the client has gone or its connection is to end. Who does not ask for
  // it is expected to answer soon.
  virtual void WhenGone(std::function<void()> gone) = 0;
  // Ends the connection as it is.
  virtual void Abort() = 0;
};

// Answers requests.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Called with a request that has no body yet: the answer, where its body is not to be waited for. The
  // connection ends with it. nullopt: go on.
  virtual std::optional<HttpResponse> RefuseEarly(const HttpRequest&) { return std::nullopt; }
  // Called from any of the server's threads; must return at once and see to it that the exchange is answered.
  virtual void Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_EXCHANGE_H_
