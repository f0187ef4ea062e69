#include "daemon/discovery/lan_home.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/discovery/dns_message.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

namespace asio = boost::asio;

constexpr uint32_t kTtlSeconds = 120, kLegacyTtlSeconds = 10;  // RFC 6762, 10 and 6.7
constexpr size_t kMaxShownBytes = 40;                          // of the coordinator's name
constexpr size_t kMostTold = 8;
constexpr char kIdText[] = "home=", kCoordinatorText[] = "host=";

DnsName ServiceName() { return {"_hearth", "_tcp", "local"}; }

DnsName InstanceName(const LanHome& home) {
  DnsName name = ServiceName();
  name.insert(name.begin(), absl::StrCat(Printable(home.coordinator, kMaxShownBytes), " ", home.id));
  return name;
}

DnsName TargetName(const LanHome& home) {
  return {absl::StrCat("hearth-", absl::AsciiStrToLower(home.id)), "local"};
}

DnsAddress BytesOf(const std::string& address) {
  const asio::ip::address parsed = asio::ip::make_address(address);
  const auto text = [](const auto& bytes) { return std::string(bytes.begin(), bytes.end()); };
  return {parsed.is_v4() ? text(parsed.to_v4().to_bytes()) : text(parsed.to_v6().to_bytes())};
}

std::string TextOf(const DnsAddress& address) {
  if (address.bytes.size() == 4) {
    asio::ip::address_v4::bytes_type bytes;
    std::copy(address.bytes.begin(), address.bytes.end(), bytes.begin());
    return asio::ip::make_address_v4(bytes).to_string();
  }
  asio::ip::address_v6::bytes_type bytes;
  std::copy(address.bytes.begin(), address.bytes.end(), bytes.begin());
  return asio::ip::make_address_v6(bytes).to_string();
}

bool AsksFor(const DnsQuestion& question, const LanHome& home) {
  const auto asks = [&](std::initializer_list<DnsType> types, const DnsName& name) {
    return (question.type == kDnsAny ||
            std::find(types.begin(), types.end(), question.type) != types.end()) &&
           SameDnsName(question.name, name);
  };
  return asks({kDnsPtr}, ServiceName()) || asks({kDnsSrv, kDnsTxt}, InstanceName(home)) ||
         asks({kDnsA, kDnsAaaa}, TargetName(home));
}

}  // namespace

std::string LanHomeQuery() {
  DnsMessage query;
  query.questions.push_back({ServiceName(), kDnsPtr, /*unicast=*/true});
  return EncodeDns(query);
}

std::optional<LanAnswer> AnswerFor(absl::Span<const uint8_t> message, bool legacy, const LanHome& home) {
  const std::optional<DnsMessage> query = DecodeDns(message);
  if (!query || query->response) return std::nullopt;
  const auto asked = std::find_if(query->questions.begin(), query->questions.end(),
                                  [&](const DnsQuestion& question) { return AsksFor(question, home); });
  if (asked == query->questions.end()) return std::nullopt;
  DnsMessage answer;
  answer.response = true;
  const auto add = [&](DnsName name, auto data, bool only) {
    answer.records.push_back(
        {std::move(name), legacy ? kLegacyTtlSeconds : kTtlSeconds, only && !legacy, std::move(data)});
  };
  add(ServiceName(), InstanceName(home), false);
  add(InstanceName(home), DnsService{home.port, TargetName(home)}, true);
  add(InstanceName(home),
      DnsTexts{{"v=2", absl::StrCat(kIdText, home.id),
                absl::StrCat(kCoordinatorText, Printable(home.coordinator, kMaxNameBytes))}},
      true);
  for (const std::string& address : home.addresses) add(TargetName(home), BytesOf(address), true);
  if (legacy) {
    answer.id = query->id;
    answer.questions.push_back({asked->name, asked->type});
  }
  return LanAnswer{EncodeDns(answer), legacy || asked->unicast};
}

std::optional<LanHome> ReadLanHome(absl::Span<const uint8_t> message) {
  const std::optional<DnsMessage> answer = DecodeDns(message);
  if (!answer || !answer->response) return std::nullopt;
  LanHome home;
  DnsName target;
  for (const DnsRecord& record : answer->records) {
    const auto* const service = std::get_if<DnsService>(&record.data);
    const bool ours =
        record.name.size() == 4 && SameDnsName({record.name.begin() + 1, record.name.end()}, ServiceName());
    if (ours && service != nullptr) {
      home.port = service->port;
      target = service->target;
    }
    const auto* const texts = std::get_if<DnsTexts>(&record.data);
    if (!ours || texts == nullptr) continue;
    for (absl::string_view text : texts->texts) {
      if (absl::ConsumePrefix(&text, kIdText)) home.id = Printable(text, kMaxShownBytes);
      if (absl::ConsumePrefix(&text, kCoordinatorText)) home.coordinator = Printable(text, kMaxNameBytes);
    }
  }
  for (const DnsRecord& record : answer->records) {
    const auto* const address = std::get_if<DnsAddress>(&record.data);
    if (address == nullptr || home.addresses.size() == kMostTold || !SameDnsName(record.name, target))
      continue;
    home.addresses.push_back(TextOf(*address));
  }
  if (home.id.empty() || home.port == 0 || home.addresses.empty()) return std::nullopt;
  return home;
}

}  // namespace hearth
