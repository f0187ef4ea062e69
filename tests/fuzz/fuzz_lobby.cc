// Whatever a caller sends to a host's tensor port before it has said hello, in clear, instead of a handshake
// or within TLS, ends its visit, or is a sound hello. The first byte chooses.
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "daemon/channel/lobby.h"
#include "daemon/identity/certificate.h"
#include "engine/base/check.h"
#include "proto/connection_key.h"

namespace hearth {
namespace {

std::atomic<int> arrived{0};

ConnectionKey Issue(const Authority& authority, Role role) {
  ConnectionKey key;
  key.private_key_pem = MakePrivateKey();
  const SigningRequest request =
      ParseSigningRequest(MakeSigningRequest(key.private_key_pem, "a").value()).value();
  key.certificate_pem = IssueCertificate(authority, request, role, absl::Now()).value();
  key.authority_pem = authority.certificate_pem;
  return key;
}

std::unique_ptr<Lobby> OpenLobby(TlsContext tls) {
  LobbyOptions options;
  options.listen = "127.0.0.1:0";
  options.tls = std::move(tls);
  options.handshakes = {.per_second = 1e9, .burst = 1e9};
  Lobby::Events events;
  events.arrived = [](std::unique_ptr<FrameSocket>, const FrameHeader& hello, const SessionToken&) {
    HEARTH_CHECK(ValidateHello(hello).ok());
    ++arrived;
  };
  events.refused = [](const std::string&, const absl::Status&) {};
  return Lobby::Open(options, std::move(events)).value();
}

// A host's port as leaders reach it in clear and by TLS, and a leader's end.
struct Home {
  const Authority authority = MakeAuthority(absl::Now());
  const TlsContext leader = MakeTlsContext(Issue(authority, Role::kCoordinator)).value();
  const std::unique_ptr<Lobby> plain = OpenLobby(nullptr);
  const std::unique_ptr<Lobby> encrypted = OpenLobby(MakeTlsContext(Issue(authority, Role::kHost)).value());
};

int Connect(const Lobby& lobby) {
  const std::string address = lobby.address();
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Many short connections: none is to wait for its port.
  const linger at_once{1, 0};
  setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  HEARTH_CHECK(connect(descriptor, reinterpret_cast<const sockaddr*>(&where), sizeof(where)) == 0);
  return descriptor;
}

// Ends the caller's half and reads to the end, which then comes.
void AwaitEnd(int descriptor) {
  shutdown(descriptor, SHUT_WR);
  char answer[4096];
  while (recv(descriptor, answer, sizeof(answer), 0) > 0) {
  }
  close(descriptor);
}

void Send(const Lobby& lobby, const uint8_t* data, size_t size) {
  const int descriptor = Connect(lobby);
  (void)!send(descriptor, data, size, MSG_NOSIGNAL);
  AwaitEnd(descriptor);
}

// Behind a handshake as a leader makes it.
void SendEncrypted(const Home& home, const uint8_t* data, size_t size) {
  const int descriptor = Connect(*home.encrypted);
  const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(home.leader.get()), SSL_free);
  SSL_set_fd(tls.get(), descriptor);
  HEARTH_CHECK(SSL_connect(tls.get()) == 1);
  (void)SSL_write(tls.get(), data, static_cast<int>(size));
  AwaitEnd(descriptor);
}

void Check(uint8_t kind, const uint8_t* data, size_t size) {
  static const Home home;
  const int before = arrived;
  if (kind == 0) {
    Send(*home.plain, data, size);
  } else if (kind == 1) {
    Send(*home.encrypted, data, size);
    HEARTH_CHECK(arrived == before);  // nobody without a key
  } else {
    SendEncrypted(home, data, size);
  }
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const auto ignored = signal(SIGPIPE, SIG_IGN);
  if (size > 1) hearth::Check(data[0] % 3, data + 1, size - 1);
  return 0;
}
