#include "daemon/discovery/lan_home.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/discovery/dns_message.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::Span<const uint8_t> WireOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

const LanHome kHome{"ABCDEFG", "study", 7772, {"10.0.0.1", "fd00::1"}};

std::string Query(DnsName name, uint16_t type, bool unicast = false) {
  DnsMessage query;
  query.id = 77;
  query.questions.push_back({{"_ipp", "_tcp", "local"}, kDnsPtr});
  query.questions.push_back({std::move(name), type, unicast});
  return EncodeDns(query);
}

TEST(LanHome, WhoAsksFindsIt) {
  const auto answer = AnswerFor(WireOf(LanHomeQuery()), /*legacy=*/true, kHome);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->unicast);
  const auto home = ReadLanHome(WireOf(answer->message));
  ASSERT_TRUE(home.has_value());
  EXPECT_EQ(home->id, "ABCDEFG");
  EXPECT_EQ(home->coordinator, "study");
  EXPECT_EQ(home->port, 7772);
  EXPECT_THAT(home->addresses, ElementsAre("10.0.0.1", "fd00::1"));
}

TEST(LanHome, AskersThatAreNoRespondersGetTheirQuestionAndShortLives) {
  const auto answer = AnswerFor(WireOf(Query({"_HEARTH", "_tcp", "local"}, kDnsPtr)), true, kHome);
  ASSERT_TRUE(answer.has_value());
  const auto read = DecodeDns(WireOf(answer->message));
  EXPECT_EQ(read->id, 77);
  ASSERT_EQ(read->questions.size(), 1u);
  for (const DnsRecord& record : read->records) {
    EXPECT_LE(record.ttl_seconds, 10u);
    EXPECT_FALSE(record.flush);
  }
}

TEST(LanHome, RespondersAreAnsweredBeforeAllUnlessTheyWantItAlone) {
  const DnsName service = {"_hearth", "_tcp", "local"};
  const auto to_all = AnswerFor(WireOf(Query(service, kDnsPtr)), /*legacy=*/false, kHome);
  ASSERT_TRUE(to_all.has_value());
  EXPECT_FALSE(to_all->unicast);
  const auto read = DecodeDns(WireOf(to_all->message));
  EXPECT_EQ(read->id, 0);
  EXPECT_THAT(read->questions, IsEmpty());
  EXPECT_FALSE(read->records[0].flush);  // other homes have the same name
  EXPECT_TRUE(read->records[1].flush);
  EXPECT_TRUE(AnswerFor(WireOf(Query(service, kDnsPtr, /*unicast=*/true)), false, kHome)->unicast);
}

TEST(LanHome, EachOfItsNamesIsKnown) {
  EXPECT_TRUE(AnswerFor(WireOf(Query({"study ABCDEFG", "_hearth", "_tcp", "local"}, kDnsSrv)), false, kHome));
  EXPECT_TRUE(AnswerFor(WireOf(Query({"study ABCDEFG", "_hearth", "_tcp", "local"}, kDnsAny)), false, kHome));
  EXPECT_TRUE(AnswerFor(WireOf(Query({"hearth-abcdefg", "local"}, kDnsA)), false, kHome));
}

TEST(LanHome, WhatIsAskedOfOthersIsNotAnswered) {
  EXPECT_FALSE(AnswerFor(WireOf(Query({"_http", "_tcp", "local"}, kDnsPtr)), true, kHome));
  EXPECT_FALSE(AnswerFor(WireOf(Query({"_hearth", "_tcp", "local"}, kDnsA)), true, kHome));
  EXPECT_FALSE(AnswerFor(WireOf(Query({"x", "_hearth", "_tcp", "local"}, kDnsSrv)), true, kHome));
  EXPECT_FALSE(AnswerFor(WireOf("nonsense"), true, kHome));
  const auto answer = AnswerFor(WireOf(LanHomeQuery()), true, kHome);
  EXPECT_FALSE(AnswerFor(WireOf(answer->message), true, kHome));  // nor are answers
}

TEST(LanHome, AnswerThatLacksAnythingIsNone) {
  const auto whole =
      DecodeDns(WireOf(AnswerFor(WireOf(LanHomeQuery()), true, {"ABCDEFG", "a", 1, {"10.0.0.1"}})->message));
  ASSERT_TRUE(ReadLanHome(WireOf(EncodeDns(*whole))));
  for (size_t i = 1; i < whole->records.size(); ++i) {
    DnsMessage less = *whole;
    less.records.erase(less.records.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(ReadLanHome(WireOf(EncodeDns(less)))) << i;
  }
  EXPECT_FALSE(ReadLanHome(WireOf(LanHomeQuery())));
  EXPECT_FALSE(ReadLanHome(WireOf("")));
}

TEST(LanHome, NamesOfOthersAreMadePrintable) {
  DnsMessage answer;
  answer.response = true;
  const DnsName instance = {"x", "_hearth", "_tcp", "local"};
  answer.records.push_back({instance, 1, false, DnsService{7, {"h", "local"}}});
  answer.records.push_back({instance, 1, false, DnsTexts{{"home=\x1b[2J", "host=a\nb"}}});
  for (int i = 0; i < 20; ++i)
    answer.records.push_back({{"h", "local"}, 1, false, DnsAddress{{'\n', 0, 0, static_cast<char>(i)}}});
  const auto home = ReadLanHome(WireOf(EncodeDns(answer)));
  ASSERT_TRUE(home.has_value());
  EXPECT_EQ(home->id, "\\x1b[2J");
  EXPECT_EQ(home->coordinator, "a\\nb");
  EXPECT_EQ(home->addresses.size(), 8u);
}

TEST(LanHome, LongNamesOfHostsFit) {
  LanHome home = kHome;
  home.coordinator = std::string(128, 'n');
  const auto answer = AnswerFor(WireOf(LanHomeQuery()), true, home);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(ReadLanHome(WireOf(answer->message))->coordinator, home.coordinator);
}

}  // namespace
}  // namespace hearth
