#include "daemon/discovery/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Text(std::initializer_list<int> bytes) { return {bytes.begin(), bytes.end()}; }

// The twelve bytes in front of a message with so many questions and answers.
std::string Head(int questions, int answers, int flags = 0) {
  return Text({0, 7, flags, 0, questions >> 8, questions & 255, answers >> 8, answers & 255, 0, 0, 0, 0});
}

const std::string kTypeAndClass = Text({0, 12, 0, 1});

DnsMessage Everything() {
  DnsMessage message;
  message.id = 513;
  message.response = true;
  message.questions.push_back({{"_x", "local"}, kDnsPtr, true});
  message.records.push_back({{"_x", "local"}, 120, false, DnsName{"a b.c", "_x", "local"}});
  message.records.push_back({{"a b.c", "_x", "local"}, 120, true, DnsService{7772, {"h", "local"}}});
  message.records.push_back({{"a b.c", "_x", "local"}, 120, true, DnsTexts{{"v=1", ""}}});
  message.records.push_back({{"h", "local"}, 120, true, DnsAddress{Text({10, 0, 0, 1})}});
  message.records.push_back({{"h", "local"}, 120, true, DnsAddress{std::string(16, 'f')}});
  return message;
}

TEST(DnsMessage, ComesBack) {
  const auto read = DecodeDns(Bytes(EncodeDns(Everything())));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->id, 513);
  EXPECT_TRUE(read->response);
  ASSERT_THAT(read->questions, SizeIs(1));
  EXPECT_THAT(read->questions[0].name, ElementsAre("_x", "local"));
  EXPECT_TRUE(read->questions[0].unicast);
  ASSERT_THAT(read->records, SizeIs(5));
  EXPECT_EQ(read->records[0].ttl_seconds, 120u);
  EXPECT_FALSE(read->records[0].flush);
  EXPECT_THAT(std::get<DnsName>(read->records[0].data), ElementsAre("a b.c", "_x", "local"));
  EXPECT_TRUE(read->records[1].flush);
  EXPECT_EQ(std::get<DnsService>(read->records[1].data).port, 7772);
  EXPECT_THAT(std::get<DnsService>(read->records[1].data).target, ElementsAre("h", "local"));
  EXPECT_THAT(std::get<DnsTexts>(read->records[2].data).texts, ElementsAre("v=1", ""));
  EXPECT_EQ(std::get<DnsAddress>(read->records[3].data).bytes, Text({10, 0, 0, 1}));
}

TEST(DnsMessage, CutAnywhereIsNone) {
  const std::string whole = EncodeDns(Everything());
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(DecodeDns(Bytes(whole.substr(0, size)))) << size;
}

TEST(DnsMessage, NamesAreReadThroughPointersBackwards) {
  // "local" at 12, "x" and then local at 19, a pointer to that behind the first question.
  const std::string message =
      Head(2, 0) + "\5local" + Text({0}) + kTypeAndClass + "\1x" + Text({0xc0, 12}) + kTypeAndClass;
  const auto read = DecodeDns(Bytes(message));
  ASSERT_TRUE(read.has_value());
  EXPECT_THAT(read->questions[1].name, ElementsAre("x", "local"));
}

TEST(DnsMessage, PointersThatLoopOrLeadForwardsAreRefused) {
  EXPECT_FALSE(DecodeDns(Bytes(Head(1, 0) + Text({0xc0, 12}) + kTypeAndClass)));          // to itself
  EXPECT_FALSE(DecodeDns(Bytes(Head(1, 0) + "\1x" + Text({0xc0, 12}) + kTypeAndClass)));  // round and round
  EXPECT_FALSE(DecodeDns(Bytes(Head(1, 0) + Text({0xc0, 14, 0}) + kTypeAndClass)));       // forwards
  EXPECT_FALSE(DecodeDns(Bytes(Head(1, 0) + Text({0xff, 0xff}) + kTypeAndClass)));        // beyond the end
  EXPECT_FALSE(DecodeDns(Bytes(Head(1, 0) + Text({0xc0}))));                              // half a pointer
  EXPECT_FALSE(
      DecodeDns(Bytes(Head(1, 0) + Text({0x40}) + std::string(64, 'x') + Text({0}) + kTypeAndClass)));
}

// `count` questions, each a pointer to the one before it but for the first.
std::string Chain(int count) {
  std::string message = Head(count, 0) + Text({0}) + kTypeAndClass;
  for (int i = 1, at = 12; i < count; ++i) {
    message += Text({0xc0 | at >> 8, at & 255}) + kTypeAndClass;
    at = 17 + 6 * (i - 1);
  }
  return message;
}

TEST(DnsMessage, AtMostSixteenPointersAreFollowed) {
  EXPECT_TRUE(DecodeDns(Bytes(Chain(17))));
  EXPECT_FALSE(DecodeDns(Bytes(Chain(18))));
}

TEST(DnsMessage, NamesHaveAtMost255Bytes) {
  const auto with = [](int last) {
    std::string name;
    for (int i = 0; i < 3; ++i) name += Text({63}) + std::string(63, 'x');
    return Head(1, 0) + name + Text({last}) + std::string(static_cast<size_t>(last), 'x') + Text({0}) +
           kTypeAndClass;
  };
  EXPECT_TRUE(DecodeDns(Bytes(with(61))));
  EXPECT_FALSE(DecodeDns(Bytes(with(62))));
}

TEST(DnsMessage, CountsThatTheBytesCannotHoldAreRefusedAtOnce) {
  EXPECT_FALSE(DecodeDns(Bytes(Head(0xffff, 0) + std::string(100, '\0'))));
  EXPECT_FALSE(DecodeDns(Bytes(Head(0, 0xffff) + std::string(100, '\0'))));
  EXPECT_FALSE(DecodeDns(Bytes(Text({0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}))));
}

TEST(DnsMessage, NoMoreIsReadThanTheLimits) {
  std::string many;
  for (int i = 0; i < 65; ++i) many += Text({0}) + kTypeAndClass;
  EXPECT_FALSE(DecodeDns(Bytes(Head(65, 0) + many)));
  EXPECT_TRUE(DecodeDns(Bytes(Head(64, 0) + many)));
  std::string records;
  for (int i = 0; i < 200; ++i) records += Text({0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1});
  const auto read = DecodeDns(Bytes(Head(0, 200) + records));
  ASSERT_TRUE(read.has_value());
  EXPECT_THAT(read->records, SizeIs(kMaxDnsRecords));
  EXPECT_FALSE(DecodeDns(Bytes(Head(0, 0) + std::string(kMaxDnsBytes, '\0'))));
}

TEST(DnsMessage, DataThatDoesNotFitItsLengthIsRefused) {
  const auto record = [](int type, int length, const std::string& data) {
    return Head(0, 1, 0x84) + Text({0, 0, type, 0, 1, 0, 0, 0, 9, length >> 8, length & 255}) + data;
  };
  EXPECT_TRUE(DecodeDns(Bytes(record(kDnsA, 4, "abcd"))));
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsA, 5, "abcde"))));
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsAaaa, 4, "abcd"))));
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsA, 0xffff, "abcd"))));
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsTxt, 2, "\5a"))));       // longer than the record
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsTxt, 2, "\5abcdef"))));  // into what is behind it
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsPtr, 3, std::string("\1x\0\0", 4).substr(0, 2) + "y"))));
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsPtr, 4, std::string("\1x\0\0", 4)))));  // more than the name
  EXPECT_FALSE(DecodeDns(Bytes(record(kDnsSrv, 5, std::string("\0\0\0\0\1", 5)))));
  EXPECT_TRUE(DecodeDns(Bytes(record(47, 3, "abc"))));  // of a type that is not read
}

TEST(DnsMessage, OtherOperationsAndClassesAreNotHeard) {
  EXPECT_FALSE(DecodeDns(Bytes(Head(0, 0, 0x28))));
  const auto chaos = DecodeDns(Bytes(Head(1, 0) + Text({0, 0, 12, 0, 3})));
  ASSERT_TRUE(chaos.has_value());
  EXPECT_TRUE(chaos->questions.empty());
}

TEST(DnsMessage, NamesAreTheSameInBothCases) {
  EXPECT_TRUE(SameDnsName({"_Hearth", "LOCAL"}, {"_hearth", "local"}));
  EXPECT_FALSE(SameDnsName({"_hearth"}, {"_hearth", "local"}));
  EXPECT_FALSE(SameDnsName({"_hearth.local"}, {"_hearth", "local"}));
}

}  // namespace
}  // namespace hearth
