#include "daemon/discovery/dns_message.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

constexpr uint16_t kClassIn = 1, kClassAny = 255;
constexpr uint16_t kTopBit = 0x8000;  // of a class: unicast or flush
constexpr uint16_t kResponse = 0x8000, kAuthoritative = 0x0400, kOperation = 0x7800;  // flags
constexpr uint8_t kPointer = 0xc0;
constexpr size_t kMostPointers = 16;  // of one name
constexpr size_t kMaxTextBytes = 255;
constexpr size_t kLeastQuestionBytes = 5, kLeastRecordBytes = 11;

void AppendNumber(uint64_t number, size_t bytes, std::string& out) {
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(number >> (8 * i));
}

void AppendName(const DnsName& name, std::string& out) {
  size_t bytes = 1;
  for (const std::string& label : name) {
    HEARTH_CHECK(!label.empty() && label.size() <= kMaxDnsLabelBytes);
    bytes += 1 + label.size();
    AppendNumber(label.size(), 1, out);
    out += label;
  }
  HEARTH_CHECK(bytes <= kMaxDnsNameBytes);
  AppendNumber(0, 1, out);
}

// The type and the bytes of a record's data.
struct Encoded {
  uint16_t type = 0;
  std::string data;
};

struct DataEncoder {
  Encoded operator()(std::monostate) const { HEARTH_CHECK(false); }
  Encoded operator()(const DnsAddress& address) const {
    return {address.bytes.size() == 4 ? kDnsA : kDnsAaaa, address.bytes};
  }
  Encoded operator()(const DnsName& name) const {
    Encoded encoded{kDnsPtr, ""};
    AppendName(name, encoded.data);
    return encoded;
  }
  Encoded operator()(const DnsService& service) const {
    Encoded encoded{kDnsSrv, std::string(4, '\0')};  // priority and weight
    AppendNumber(service.port, 2, encoded.data);
    AppendName(service.target, encoded.data);
    return encoded;
  }
  Encoded operator()(const DnsTexts& texts) const {
    Encoded encoded{kDnsTxt, ""};
    for (const std::string& text : texts.texts) {
      HEARTH_CHECK(text.size() <= kMaxTextBytes);
      AppendNumber(text.size(), 1, encoded.data);
      encoded.data += text;
    }
    return encoded;
  }
};

// Each function says whether what it reads is sound.
class Reader {
 public:
  explicit Reader(absl::Span<const uint8_t> message) : message_(message), end_(message.size()) {}

  size_t left() const { return end_ - at_; }

  bool Number(size_t bytes, uint64_t& number) {
    if (left() < bytes) return false;
    number = 0;
    for (; bytes > 0; --bytes) number = number << 8 | message_[at_++];
    return true;
  }
  bool Number(uint16_t& number) {
    uint64_t wide = 0;
    if (!Number(2, wide)) return false;
    number = static_cast<uint16_t>(wide);
    return true;
  }

  bool Bytes(size_t count, std::string& bytes) {
    if (left() < count) return false;
    bytes.assign(message_.begin() + static_cast<ptrdiff_t>(at_),
                 message_.begin() + static_cast<ptrdiff_t>(at_ + count));
    at_ += count;
    return true;
  }

  // A name may point to the rest of one that stands before it; each pointer leads further to the front, so
  // there is an end.
  bool Name(DnsName& name) {
    size_t bytes = 1, pointers = 0, from = at_;
    std::optional<size_t> behind;  // the first pointer
    for (size_t here = at_;;) {
      if (here >= end_) return false;
      const uint8_t head = message_[here++];
      if (head == 0) {
        at_ = behind.value_or(here);
        return true;
      }
      if (head >= kPointer) {
        if (here >= end_ || ++pointers > kMostPointers) return false;
        const size_t target = static_cast<size_t>(head & ~kPointer) << 8 | message_[here++];
        if (target >= from) return false;
        if (!behind) behind = here;
        from = here = target;
        continue;
      }
      bytes += 1 + head;
      if (head > kMaxDnsLabelBytes || bytes > kMaxDnsNameBytes || end_ - here < head) return false;
      name.emplace_back(message_.begin() + static_cast<ptrdiff_t>(here),
                        message_.begin() + static_cast<ptrdiff_t>(here + head));
      here += head;
    }
  }

  bool Question(std::vector<DnsQuestion>& questions) {
    DnsQuestion question;
    uint16_t cls = 0;
    if (!Name(question.name) || !Number(question.type) || !Number(cls)) return false;
    question.unicast = (cls & kTopBit) != 0;
    const uint16_t plain = cls & ~kTopBit;
    if (plain == kClassIn || plain == kClassAny) questions.push_back(std::move(question));
    return true;
  }

  bool Record(std::vector<DnsRecord>& records) {
    DnsRecord record;
    uint16_t type = 0, cls = 0, length = 0;
    uint64_t ttl = 0;
    if (!Name(record.name) || !Number(type) || !Number(cls) || !Number(4, ttl) || !Number(length))
      return false;
    if (left() < length) return false;
    record.ttl_seconds = static_cast<uint32_t>(ttl);
    record.flush = (cls & kTopBit) != 0;
    const size_t whole = std::exchange(end_, at_ + length);
    if (!Data(type, record) || left() != 0) return false;
    end_ = whole;
    if ((cls & ~kTopBit) == kClassIn) records.push_back(std::move(record));
    return true;
  }

 private:
  // All that is left.
  bool Data(uint16_t type, DnsRecord& record) {
    const size_t length = left();
    if (type == kDnsA || type == kDnsAaaa) {
      if (length != (type == kDnsA ? 4 : 16)) return false;
      return Bytes(length, record.data.emplace<DnsAddress>().bytes);
    }
    if (type == kDnsPtr) return Name(record.data.emplace<DnsName>());
    if (type == kDnsSrv) {
      auto& service = record.data.emplace<DnsService>();
      uint64_t ignored = 0;  // priority and weight
      return Number(4, ignored) && Number(service.port) && Name(service.target);
    }
    if (type == kDnsTxt) {
      std::vector<std::string>& texts = record.data.emplace<DnsTexts>().texts;
      for (uint64_t bytes = 0; left() > 0;) {
        if (!Number(1, bytes) || !Bytes(bytes, texts.emplace_back())) return false;
      }
      return true;
    }
    at_ = end_;
    return true;
  }

  const absl::Span<const uint8_t> message_;
  size_t at_ = 0;
  size_t end_;  // of what is read now
};

}  // namespace

bool SameDnsName(const DnsName& a, const DnsName& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const std::string& x, const std::string& y) { return absl::EqualsIgnoreCase(x, y); });
}

std::string EncodeDns(const DnsMessage& message) {
  std::string out;
  AppendNumber(message.id, 2, out);
  AppendNumber(message.response ? kResponse | kAuthoritative : 0, 2, out);
  AppendNumber(message.questions.size(), 2, out);
  AppendNumber(message.records.size(), 2, out);
  AppendNumber(0, 4, out);  // of the other two kinds of records
  for (const DnsQuestion& question : message.questions) {
    AppendName(question.name, out);
    AppendNumber(question.type, 2, out);
    AppendNumber(kClassIn | (question.unicast ? kTopBit : 0), 2, out);
  }
  for (const DnsRecord& record : message.records) {
    const Encoded encoded = std::visit(DataEncoder(), record.data);
    AppendName(record.name, out);
    AppendNumber(encoded.type, 2, out);
    AppendNumber(kClassIn | (record.flush ? kTopBit : 0), 2, out);
    AppendNumber(record.ttl_seconds, 4, out);
    AppendNumber(encoded.data.size(), 2, out);
    out += encoded.data;
  }
  HEARTH_CHECK(out.size() <= kMaxDnsBytes);
  return out;
}

std::optional<DnsMessage> DecodeDns(absl::Span<const uint8_t> bytes) {
  if (bytes.size() > kMaxDnsBytes) return std::nullopt;
  Reader reader(bytes);
  DnsMessage message;
  uint16_t flags = 0, questions = 0, answers = 0, authorities = 0, additional = 0;
  if (!reader.Number(message.id) || !reader.Number(flags) || !reader.Number(questions) ||
      !reader.Number(answers) || !reader.Number(authorities) || !reader.Number(additional) ||
      (flags & kOperation) != 0)
    return std::nullopt;
  message.response = (flags & kResponse) != 0;
  const size_t records = size_t{answers} + authorities + additional;
  if (questions * kLeastQuestionBytes + records * kLeastRecordBytes > reader.left()) return std::nullopt;
  if (questions > kMaxDnsQuestions) return std::nullopt;
  for (size_t i = 0; i < questions; ++i) {
    if (!reader.Question(message.questions)) return std::nullopt;
  }
  for (size_t i = 0; i < std::min(records, kMaxDnsRecords); ++i) {
    if (!reader.Record(message.records)) return std::nullopt;
  }
  return message;
}

}  // namespace hearth
