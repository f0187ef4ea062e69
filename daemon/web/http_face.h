#ifndef HEARTH_DAEMON_WEB_HTTP_FACE_H_
#define HEARTH_DAEMON_WEB_HTTP_FACE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "daemon/dashboard/dashboard.h"
#include "daemon/http/http_server.h"
#include "daemon/http/key_gate.h"
#include "daemon/identity/home.h"
#include "daemon/serving/server.h"

namespace hearth {

// The HTTP port, if there is one, and what the daemon says about it.
struct HttpFace {
  LiveKey key;  // for HTTPS, made by the home; empty: it was given another, or speaks HTTP
  std::unique_ptr<HttpHandler> api;
  std::unique_ptr<Dashboard> dashboard;
  std::unique_ptr<KeyGate> gate;       // null: nobody is asked for a key
  std::unique_ptr<HttpServer> server;  // null: off
  std::string text;
};

// `home`: null on a worker. What is passed outlives the face. Errors: the server's; those of the
// certificate's files.
absl::StatusOr<HttpFace> StartHttp(const Config& config, Server& grpc, const Home* home,
                                   size_t most_connections);

// Gives the port a new certificate of the home's, for the addresses that the machine has by now, where it was
// given none.
absl::Status RenewCertificate(const Home& home, const HttpFace& face);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEB_HTTP_FACE_H_
