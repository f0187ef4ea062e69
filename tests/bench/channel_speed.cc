// What TLS costs on the tensor channel: round trips and bandwidth of a plain and an encrypted channel over
// loopback, in turn. build/bench/channel_speed [ROUNDS]
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "daemon/channel/link_probe.h"
#include "daemon/channel/tensor_server.h"
#include "daemon/identity/home.h"
#include "engine/base/quantile.h"

namespace hearth {
namespace {

int Main(int rounds) {
  signal(SIGPIPE, SIG_IGN);
  std::string state = (std::filesystem::temp_directory_path() / "channel-speed-XXXXXX").string();
  if (mkdtemp(state.data()) == nullptr) return 1;
  const auto home = Home::Open(state, "a").value();
  const JoinCode code = ParseJoinCode(home->Invite({"127.0.0.1:1"}, absl::Hours(1))).value();
  ConnectionKey worker;
  worker.private_key_pem = MakePrivateKey();
  worker.authority_pem = home->key().authority_pem;
  worker.certificate_pem =
      home->Admit(code.secret, MakeSigningRequest(worker.private_key_pem, "b").value()).value();
  const TensorTls tls{MakeTlsContext(home->key()).value(), IdOfPrivateKey(worker.private_key_pem).value()};
  const SessionToken token{};
  const auto plain = TensorServer::Open("127.0.0.1:0").value();
  const auto encrypted = TensorServer::Open("127.0.0.1:0", MakeTlsContext(worker).value()).value();
  plain->SetSession(token);
  encrypted->SetSession(token);
  std::vector<double> plain_us, tls_us, difference_us, plain_mb, tls_mb;
  for (int round = 0; round < rounds; ++round) {
    const auto a = ProbeLink(plain->address(), token).value();
    const auto b = ProbeLink(encrypted->address(), token, tls).value();
    plain_us.push_back(a.round_trip_us);
    tls_us.push_back(b.round_trip_us);
    difference_us.push_back(b.round_trip_us - a.round_trip_us);
    plain_mb.push_back(a.bytes_per_s * 1e-6);
    tls_mb.push_back(b.bytes_per_s * 1e-6);
  }
  std::printf("round trip of 64 bytes: plain %.1f us, TLS %.1f us, pairs differ by %.1f us\n",
              Median(absl::MakeSpan(plain_us)), Median(absl::MakeSpan(tls_us)),
              Median(absl::MakeSpan(difference_us)));
  std::printf("bandwidth: plain %.0f MB/s, TLS %.0f MB/s\n", Median(absl::MakeSpan(plain_mb)),
              Median(absl::MakeSpan(tls_mb)));
  std::filesystem::remove_all(state);
  return 0;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc > 1 ? std::max(1, std::atoi(argv[1])) : 21); }
