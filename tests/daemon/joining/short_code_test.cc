#include "daemon/joining/short_code.h"

#include <gtest/gtest.h>

#include <set>

namespace hearth {
namespace {

JoinNonce Filled(uint8_t byte) {
  JoinNonce nonce;
  nonce.fill(byte);
  return nonce;
}

class ShortCodeTest : public ::testing::Test {
 protected:
  const JoinReveal host_{Filled(1), "a request"};
  const JoinNonce coordinator_ = Filled(2);
  const HostId authority_{Filled(3)};
  const std::string code_ = ShortCodeOf(host_, coordinator_, authority_);
};

TEST_F(ShortCodeTest, IsWhatItWasInEarlierVersions) {
  EXPECT_EQ(code_, "064222");
  EXPECT_EQ(Sha256Hex(CommitmentTo(host_)).substr(0, 16), "ee5675a7e27aa648");
}

TEST_F(ShortCodeTest, ChangesWithEachPartThatItStandsFor) {
  JoinReveal other_nonce = host_, other_request = host_;
  other_nonce.nonce[31] ^= 1;
  other_request.signing_request_pem = "a requesu";
  EXPECT_NE(ShortCodeOf(other_nonce, coordinator_, authority_), code_);
  EXPECT_NE(ShortCodeOf(other_request, coordinator_, authority_), code_);
  EXPECT_NE(ShortCodeOf(host_, Filled(4), authority_), code_);
  EXPECT_NE(ShortCodeOf(host_, coordinator_, HostId(Filled(4))), code_);
  EXPECT_NE(CommitmentTo(other_nonce), CommitmentTo(host_));
  EXPECT_NE(CommitmentTo(other_request), CommitmentTo(host_));
}

TEST_F(ShortCodeTest, HasSixDigitsOfWhichEachIsLikely) {
  std::set<char> first, last;
  for (int i = 0; i < 200; ++i) {
    const std::string code = ShortCodeOf(host_, MakeJoinNonce(), authority_);
    ASSERT_EQ(code.size(), 6u);
    ASSERT_EQ(code.find_first_not_of("0123456789"), std::string::npos) << code;
    first.insert(code.front());
    last.insert(code.back());
  }
  EXPECT_EQ(first.size(), 10u);  // one is missing in less than one of ten million runs
  EXPECT_EQ(last.size(), 10u);
}

TEST_F(ShortCodeTest, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(ShownCode("012345"), "012 345");
  for (const char* text : {"012345", "012 345", "012-345", " 01 23 45 "})
    EXPECT_EQ(ReadShortCode(text), "012345");
  for (const char* text : {"", "12345", "0123456", "01234a", "012.345", "\xd9\xa1", "-"})
    EXPECT_EQ(ReadShortCode(text), std::nullopt) << text;
}

}  // namespace
}  // namespace hearth
