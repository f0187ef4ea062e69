#include "daemon/web/http_face.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/discovery/lan_addresses.h"
#include "daemon/http/https_files.h"
#include "daemon/openai/openai_api.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// By what other machines may ask for this one.
ServerNames NamesOfThisMachine() {
  ServerNames names;
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0) {
    names.hosts = {host.data(), absl::StrCat(host.data(), ".local")};
  }
  names.addresses = ReachableFirst(OwnAddresses());
  return names;
}

absl::Status MakeKey(const Home& home, const LiveKey& key) {
  HEARTH_ASSIGN_OR_RETURN(ConnectionKey made, home.MakeServerKey(NamesOfThisMachine()));
  key.Replace(std::move(made));
  return absl::OkStatus();
}

absl::StatusOr<TlsContext> MakeTls(const Config& config, const Home* home, const LiveKey& key) {
  if (!HttpGuardOf(config).tls) return nullptr;
  if (!config.http_certificate.empty()) return ReadHttpsFiles(config.http_certificate, config.http_key);
  HEARTH_RETURN_IF_ERROR(MakeKey(*home, key));
  return MakeServerTlsContext(key);
}

bool NeedsNoKey(const HttpRequest& request) {
  // A browser asks by OPTIONS whether it may send a key.
  return request.method == "OPTIONS" || (request.method == "GET" && request.path == "/health") ||
         IsPageFile(request);
}

// "dashboard: http://127.0.0.1:7780/   OpenAI clients: http://127.0.0.1:7780/v1".
std::string ReadyLine(const HttpServer& server, bool tls) {
  const std::vector<std::string> reached = ReachedAt(server.address(), 1);
  const std::string url =
      absl::StrCat(tls ? "https://" : "http://", reached.empty() ? server.address() : reached[0]);
  return absl::StrCat("dashboard: ", url, "/   OpenAI clients: ", url, "/v1");
}

}  // namespace

absl::Status RenewCertificate(const Home& home, const HttpFace& face) {
  return face.key.empty() ? absl::OkStatus() : MakeKey(home, face.key);
}

absl::StatusOr<HttpFace> StartHttp(const Config& config, Server& grpc, const Home* home,
                                   size_t most_connections) {
  HttpFace face;
  const HttpGuard guard = HttpGuardOf(config);
  HttpServerOptions options;
  options.listen = config.http.value_or(kDefaultHttp);
  if (options.listen == kHttpOff) return face;
  options.limits.connections = std::min(options.limits.connections, most_connections);
  HEARTH_ASSIGN_OR_RETURN(options.tls, MakeTls(config, home, face.key));
  face.api = MakeOpenAiApi(grpc.InProcessChannel(),
                           {.allowed_origins = config.http_allow_origins, .metrics = grpc.Metrics()});
  const bool coordinator = config.join.empty();
  face.dashboard = MakeDashboard(grpc.InProcessChannel(),
                                 {.version = HEARTH_VERSION,
                                  .coordinator = coordinator,
                                  .allowed_origins = config.http_allow_origins,
                                  .keys = guard.keys,
                                  .chronicle = {.metrics = grpc.Metrics(), .always = coordinator}},
                                 *face.api);
  if (guard.keys) face.gate = std::make_unique<KeyGate>(*home, NeedsNoKey, *face.dashboard);
  HttpHandler& first = face.gate ? static_cast<HttpHandler&>(*face.gate) : *face.dashboard;
  absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(options, first);
  if (server.ok()) {
    face.server = *std::move(server);
    face.text = ReadyLine(*face.server, guard.tls);
    return face;
  }
  // Somebody who asked for nothing gets a daemon that works; often the port is another daemon's of this
  // machine.
  if (config.http || !absl::IsUnavailable(server.status())) return server.status();
  face.dashboard.reset();
  face.text = absl::StrCat("no port for the dashboard and OpenAI clients: another program has ", kDefaultHttp,
                           "; choose one with --http HOST:PORT, or --http off");
  spdlog::warn("{}", face.text);
  return face;
}

}  // namespace hearth
