#ifndef HEARTH_DAEMON_DISCOVERY_DNS_MESSAGE_H_
#define HEARTH_DAEMON_DISCOVERY_DNS_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/types/span.h"

namespace hearth {

// Messages of DNS (RFC 1035) as multicast DNS (RFC 6762) uses them, as far as finding a service needs. Pure.

inline constexpr size_t kMaxDnsBytes = 9000;     // of a message of multicast DNS
inline constexpr size_t kMaxDnsNameBytes = 255;  // with the lengths of its labels
inline constexpr size_t kMaxDnsLabelBytes = 63;
// More of either are not read: what a message costs does not depend on who sends it.
inline constexpr size_t kMaxDnsQuestions = 64;
inline constexpr size_t kMaxDnsRecords = 64;

using DnsName = std::vector<std::string>;  // its labels, without the root's
// Letters of ASCII count as equal in both cases.
bool SameDnsName(const DnsName& a, const DnsName& b);

enum DnsType : uint16_t { kDnsA = 1, kDnsPtr = 12, kDnsTxt = 16, kDnsAaaa = 28, kDnsSrv = 33, kDnsAny = 255 };

struct DnsQuestion {
  DnsName name;
  uint16_t type = 0;
  bool unicast = false;  // an answer to the asker alone is welcome
};

struct DnsAddress {
  std::string bytes;  // 4 or 16
};
struct DnsService {
  uint16_t port = 0;
  DnsName target;
};
struct DnsTexts {
  std::vector<std::string> texts;  // at most 255 bytes each
};

// A record of class IN.
struct DnsRecord {
  DnsName name;
  uint32_t ttl_seconds = 0;
  bool flush = false;  // takes the place of what was known before
  // monostate: of a type that is not read. DnsName: PTR.
  std::variant<std::monostate, DnsAddress, DnsName, DnsService, DnsTexts> data;
};

struct DnsMessage {
  uint16_t id = 0;
  bool response = false;
  std::vector<DnsQuestion> questions;
  std::vector<DnsRecord> records;  // answers and what else came with them
};

// The records as answers; they are few and sound.
std::string EncodeDns(const DnsMessage& message);
// nullopt for what is no message: cut, longer than kMaxDnsBytes, with counts, lengths or pointers that cannot
// be.
std::optional<DnsMessage> DecodeDns(absl::Span<const uint8_t> bytes);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_DNS_MESSAGE_H_
