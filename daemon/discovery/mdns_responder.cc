#include "daemon/discovery/mdns_responder.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/channel/frame_socket.h"
#include "daemon/channel/log_limiter.h"
#include "daemon/channel/stranger_limits.h"
#include "daemon/channel/tcp_listener.h"
#include "daemon/discovery/dns_message.h"
#include "daemon/discovery/lan_addresses.h"
#include "daemon/discovery/mdns_socket.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr size_t kMostAddresses = 16;  // of this machine
constexpr std::chrono::seconds kLookAgain{10};
constexpr std::chrono::seconds kLinesApart{600};
constexpr std::chrono::seconds kMulticastsApart{1};  // RFC 6762, 6
// What all messages have that ask for a home: others, of which there are many, are not read.
constexpr std::string_view kMark = "hearth";

// An interface by which the door is reached, by one version of IP, with its addresses there.
using Places = std::map<std::pair<std::string, bool>, std::vector<std::string>>;

Places PlacesOf(const std::string& door) {
  std::vector<std::string> reached;
  for (const std::string& address : ReachedAt(door, kMostAddresses)) {
    const absl::StatusOr<HostPort> where = ParseHostPort(address);
    if (where.ok()) reached.push_back(where->host);
  }
  Places places;
  for (const InterfaceAddress& own : OwnAddresses()) {
    error_code error;
    const asio::ip::address address = asio::ip::make_address(own.address, error);
    if (error || address.is_loopback() || std::count(reached.begin(), reached.end(), own.address) == 0)
      continue;
    places[{own.interface, address.is_v6()}].push_back(own.address);
  }
  return places;
}

// One of these.
class Station {
 public:
  Station(asio::io_context& context, LanHome home, bool v6, std::function<bool(const std::string&)> may_ask)
      : socket_(context), home_(std::move(home)), group_(MdnsGroup(v6)), may_ask_(std::move(may_ask)) {}

  error_code Open(const std::string& interface) {
    const error_code error = OpenMdnsSocket(interface, group_.address().is_v6(), /*listens=*/true, socket_);
    if (!error) Receive();
    broken_ = static_cast<bool>(error);
    return error;
  }
  // It hears nothing: another one may.
  bool broken() const { return broken_; }

 private:
  void Receive() {
    socket_.async_receive_from(asio::buffer(bytes_), sender_, [this](const error_code& error, size_t size) {
      broken_ = static_cast<bool>(error);
      if (error) return;
      Answer({bytes_.data(), size});
      Receive();
    });
  }

  void Answer(absl::Span<const uint8_t> message) {
    if (std::search(message.begin(), message.end(), kMark.begin(), kMark.end()) == message.end()) return;
    if (!may_ask_(NetworkOf(sender_.address()))) return;
    const std::optional<LanAnswer> answer = AnswerFor(message, sender_.port() != kMdnsPort, home_);
    if (!answer) return;
    if (!answer->unicast) {
      if (Clock::now() - multicast_ < kMulticastsApart) return;
      multicast_ = Clock::now();
    }
    error_code ignored;  // as if it were lost on the way
    socket_.send_to(asio::buffer(answer->message), answer->unicast ? sender_ : group_, 0, ignored);
  }

  udp::socket socket_;
  const LanHome home_;
  const udp::endpoint group_;
  const std::function<bool(const std::string&)> may_ask_;
  std::array<uint8_t, kMaxDnsBytes> bytes_;
  udp::endpoint sender_;
  bool broken_ = false;
  Clock::time_point multicast_{};
};

// All but construction and destruction happens on one thread.
class AsioResponder final : public MdnsResponder {
 public:
  AsioResponder(std::string door, LanHome home)
      : door_(std::move(door)), home_(std::move(home)), thread_([this] {
          Look();
          context_.run();
        }) {}
  ~AsioResponder() override {
    context_.stop();
    thread_.join();
  }

 private:
  void Look() {
    Places places = PlacesOf(door_);
    const bool broken =
        std::any_of(stations_.begin(), stations_.end(),
                    [](const std::unique_ptr<Station>& station) { return station->broken(); });
    if (places != places_ || broken) Settle(std::move(places));
    again_.expires_after(kLookAgain);
    again_.async_wait([this](const error_code& error) {
      if (!error) Look();
    });
  }

  void Settle(Places places) {
    stations_.clear();
    places_ = std::move(places);
    for (const auto& [place, addresses] : places_) {
      LanHome home = home_;
      home.addresses = addresses;
      auto station =
          std::make_unique<Station>(context_, std::move(home), place.second,
                                    [this](const std::string& network) { return MayAsk(network); });
      const error_code error = station->Open(place.first);
      if (error && limiter_.Allow()) {
        spdlog::warn("other machines do not find this home on {}: multicast DNS: {}; they join with a code",
                     place.first, error.message());
      }
      stations_.push_back(std::move(station));
    }
  }

  bool MayAsk(const std::string& network) {
    return network_rate_.Allow(network, Clock::now()) && rate_.Allow("", Clock::now());
  }

  const std::string door_;
  const LanHome home_;
  LogLimiter limiter_{kLinesApart};
  StrangerRate network_rate_{{.per_second = 5, .burst = 20}};
  StrangerRate rate_{{.per_second = 50, .burst = 100}};  // of all
  asio::io_context context_{1};
  asio::steady_timer again_{context_};
  Places places_;
  std::list<std::unique_ptr<Station>> stations_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<MdnsResponder> MdnsResponder::Start(const std::string& door, LanHome home) {
  if (const absl::StatusOr<HostPort> where = ParseHostPort(door); where.ok()) home.port = where->port;
  return std::make_unique<AsioResponder>(door, std::move(home));
}

}  // namespace hearth
