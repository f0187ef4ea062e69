// What TLS costs on the tensor channel: one synchronisation (a layer's input there, its sums back) over a
// plain and an encrypted connection on loopback, in pairs that alternate. build/bench/channel_speed [PAIRS]
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/channel/frame_socket.h"
#include "daemon/channel/frame_socket_impl.h"
#include "daemon/identity/home.h"
#include "engine/base/check.h"
#include "engine/base/quantile.h"

namespace hearth {
namespace {

using boost::asio::ip::tcp;
using Clock = FrameSocket::Clock;

// Between a leader and a host over loopback; a thread is the host, which answers at once.
class Link {
 public:
  // Plain without contexts.
  Link(const TlsContext& leader, const TlsContext& host) {
    auto context = std::make_shared<boost::asio::io_context>(1);
    tcp::acceptor acceptor(*context, {boost::asio::ip::address_v4::loopback(), 0});
    leader_ =
        FrameSocket::Connect("127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()), Soon()).value();
    host_ = std::make_unique<FrameSocket>(std::make_unique<FrameSocket::Impl>(context, acceptor.accept()));
    thread_ = std::thread([this, host] { Answer(host); });
    if (leader != nullptr) HEARTH_CHECK(leader_->StartTls(leader, TlsEnd::kClient, Soon()).ok());
  }
  ~Link() {
    leader_->Close();
    thread_.join();
  }

  // Microseconds from the first byte of the input until the last one of the sums is here.
  double SynchronizeUs(absl::Span<const uint8_t> input, absl::Span<uint8_t> sums) {
    FrameHeader request;
    request.operation = FrameOperation::kFfn;
    request.step = sums.size();
    request.payload_bytes = input.size();
    const Clock::time_point start = Clock::now();
    HEARTH_CHECK(leader_->Send(request, {input}, FrameSocket::kNoDeadline).ok());
    HEARTH_CHECK(leader_->ReceiveHeader(FrameSocket::kNoDeadline).ok());
    HEARTH_CHECK(leader_->Receive(sums, FrameSocket::kNoDeadline).ok());
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  }

 private:
  static Clock::time_point Soon() { return Clock::now() + std::chrono::seconds(10); }

  void Answer(const TlsContext& tls) {
    if (tls != nullptr) HEARTH_CHECK(host_->StartTls(tls, TlsEnd::kServer, Soon()).ok());
    std::vector<uint8_t> input(1 << 20), sums(1 << 20);
    for (;;) {
      const absl::StatusOr<FrameHeader> request = host_->ReceiveHeader(FrameSocket::kNoDeadline);
      if (!request.ok()) return;
      HEARTH_CHECK(
          host_->Receive(absl::MakeSpan(input).first(request->payload_bytes), FrameSocket::kNoDeadline).ok());
      FrameHeader answer;
      answer.operation = FrameOperation::kSums;
      answer.payload_bytes = request->step;
      HEARTH_CHECK(
          host_->Send(answer, {absl::MakeConstSpan(sums).first(request->step)}, FrameSocket::kNoDeadline)
              .ok());
    }
  }

  std::unique_ptr<FrameSocket> leader_, host_;
  std::thread thread_;
};

constexpr int kAtATime = 64;
// The host of the other connection stays awake, and takes a core's time, for a millisecond.
constexpr std::chrono::milliseconds kUntilTheOtherSleeps{3};

// So many synchronisations one after the other: their times, and the median of them.
double Measure(Link& link, absl::Span<const uint8_t> input, absl::Span<uint8_t> sums,
               std::vector<double>& all_us) {
  const Clock::time_point begin = Clock::now() + kUntilTheOtherSleeps;
  while (Clock::now() < begin) link.SynchronizeUs(input, sums);
  std::vector<double> us;
  for (int i = 0; i < kAtATime; ++i) us.push_back(link.SynchronizeUs(input, sums));
  all_us.insert(all_us.end(), us.begin(), us.end());
  return Median(absl::MakeSpan(us));
}

// One row of a model this wide: 8-bit codes with a scale for each 32 of them there, 32-bit sums back.
void Compare(Link& plain, Link& encrypted, size_t width, int pairs) {
  const std::vector<uint8_t> input(width + width / 32 * 4);
  std::vector<uint8_t> sums(width * 4);
  std::vector<double> plain_us, tls_us, differences_us;
  for (int i = 0; i < pairs; ++i) {
    const double first = Measure(plain, input, absl::MakeSpan(sums), plain_us);
    differences_us.push_back(Measure(encrypted, input, absl::MakeSpan(sums), tls_us) - first);
  }
  const auto quantile = [](std::vector<double>& us, double share) {
    return Quantile(absl::MakeSpan(us), share);
  };
  std::printf(
      "%5zu wide, %5zu bytes there, %5zu back: plain %5.1f us (p99 %6.1f), TLS %5.1f us (p99 %6.1f), pairs "
      "differ by %5.1f us (%.1f to %.1f)\n",
      width, input.size(), sums.size(), quantile(plain_us, 0.5), quantile(plain_us, 0.99),
      quantile(tls_us, 0.5), quantile(tls_us, 0.99), quantile(differences_us, 0.5),
      quantile(differences_us, 0.25), quantile(differences_us, 0.75));
}

int Main(int pairs) {
  signal(SIGPIPE, SIG_IGN);
  std::string state = (std::filesystem::temp_directory_path() / "channel-speed-XXXXXX").string();
  if (mkdtemp(state.data()) == nullptr) return 1;
  {
    const auto home = Home::Open(state, "a").value();
    const JoinCode code = ParseJoinCode(home->Invite({"127.0.0.1:1"}, absl::Hours(1))).value();
    ConnectionKey host;
    host.private_key_pem = MakePrivateKey();
    host.authority_pem = home->key().authority_pem;
    host.certificate_pem =
        home->Admit(code.secret, MakeSigningRequest(host.private_key_pem, "b").value()).value();
    Link plain(nullptr, nullptr);
    Link encrypted(MakeTlsContext(home->key()).value(), MakeTlsContext(host).value());
    for (const size_t width : {1024, 2048, 4096, 8192}) Compare(plain, encrypted, width, pairs);
  }
  std::filesystem::remove_all(state);
  return 0;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc > 1 ? std::max(1, std::atoi(argv[1])) : 101); }
