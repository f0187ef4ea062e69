#include "daemon/discovery/lan_search.h"

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "daemon/channel/frame_socket.h"
#include "daemon/discovery/dns_message.h"
#include "daemon/discovery/lan_addresses.h"
#include "daemon/discovery/mdns_socket.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr int kTimes = 3;
constexpr std::chrono::seconds kForOthers{1};

// Interfaces with a version of IP: IPv6's also where they have addresses for their own network only.
std::set<std::pair<std::string, bool>> PlacesToAsk() {
  std::set<std::pair<std::string, bool>> places;
  for (const InterfaceAddress& own : OwnAddresses()) {
    error_code error;
    const asio::ip::address address = asio::ip::make_address(own.address, error);
    if (!error && !address.is_loopback()) places.emplace(own.interface, address.is_v6());
  }
  return places;
}

class Search {
 public:
  std::vector<FoundHome> Run(std::chrono::milliseconds patience) {
    for (const auto& [interface, v6] : PlacesToAsk()) {
      auto asker = std::make_unique<Asker>(Asker{udp::socket(context_), MdnsGroup(v6), {}, {}});
      if (OpenMdnsSocket(interface, v6, /*listens=*/false, asker->socket)) continue;
      askers_.push_back(std::move(asker));
    }
    if (askers_.empty()) return {};
    const Clock::time_point start = Clock::now();
    end_ = start + patience;
    for (int i = 0; i < kTimes && Clock::now() < end_; ++i) {
      Ask();
      if (i == 0) {
        for (const std::unique_ptr<Asker>& asker : askers_) Receive(*asker);
      }
      const Clock::time_point next = start + patience * (i + 1) / kTimes;
      while (Clock::now() < std::min(next, end_)) context_.run_one_until(std::min(next, end_));
    }
    return std::move(homes_);
  }

 private:
  struct Asker {
    udp::socket socket;
    udp::endpoint group;
    std::array<uint8_t, kMaxDnsBytes> bytes;
    udp::endpoint sender;
  };

  void Ask() {
    for (const std::unique_ptr<Asker>& asker : askers_) {
      error_code ignored;  // the other interfaces may do
      asker->socket.send_to(asio::buffer(query_), asker->group, 0, ignored);
    }
  }

  void Receive(Asker& asker) {
    asker.socket.async_receive_from(
        asio::buffer(asker.bytes), asker.sender, [this, &asker](const error_code& error, size_t size) {
          if (error) return;
          const std::optional<LanHome> home = ReadLanHome({asker.bytes.data(), size});
          if (home) {
            if (homes_.empty()) end_ = std::min(end_, Clock::now() + kForOthers);
            AddAnswer(*home, asker.sender.address().to_string(), homes_);
          }
          Receive(asker);
        });
  }

  const std::string query_ = LanHomeQuery();
  asio::io_context context_{1};
  const asio::executor_work_guard<asio::io_context::executor_type> until_the_end_{context_.get_executor()};
  std::list<std::unique_ptr<Asker>> askers_;
  Clock::time_point end_;
  std::vector<FoundHome> homes_;
};

}  // namespace

void AddAnswer(const LanHome& answer, const std::string& sender, std::vector<FoundHome>& homes) {
  auto home =
      std::find_if(homes.begin(), homes.end(), [&](const FoundHome& known) { return known.id == answer.id; });
  if (home == homes.end()) {
    if (homes.size() == kMostHomes) return;
    home = homes.insert(home, {answer.id, answer.coordinator, {}});
  }
  std::vector<std::string> addresses = answer.addresses;
  std::stable_partition(addresses.begin(), addresses.end(),
                        [&](const std::string& address) { return address == sender; });
  for (const std::string& address : addresses) {
    const std::string door = FormatHostPort({address, answer.port});
    if (home->doors.size() < kMostDoors && std::count(home->doors.begin(), home->doors.end(), door) == 0)
      home->doors.push_back(door);
  }
}

std::vector<FoundHome> SearchLan(std::chrono::milliseconds patience) { return Search().Run(patience); }

}  // namespace hearth
