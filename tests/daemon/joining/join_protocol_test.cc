#include "daemon/joining/join_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hearth {
namespace {

using ::testing::HasSubstr;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Body(const std::string& message) { return message.substr(kJoinLengthBytes); }

TEST(JoinProtocol, RequestComesBack) {
  JoinRequest request;
  request.secret.fill(9);
  request.signing_request_pem = "a request";
  const std::string message = EncodeJoinRequest(request);
  EXPECT_EQ(DecodeJoinLength(Bytes(message).first(kJoinLengthBytes)).value(),
            message.size() - kJoinLengthBytes);
  const auto decoded = DecodeJoinOpening(Bytes(Body(message)));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(std::get<JoinRequest>(*decoded).secret, request.secret);
  EXPECT_EQ(std::get<JoinRequest>(*decoded).signing_request_pem, "a request");
}

TEST(JoinProtocol, WireIsAsOlderHostsWriteIt) {
  JoinRequest request;
  request.secret.fill('s');
  request.signing_request_pem = "R";
  EXPECT_EQ(EncodeJoinRequest(request), std::string("\0\0\0\x18\0\x01"
                                                    "1\0\x10ssssssssssssssss\0\x01R",
                                                    28));
}

TEST(JoinProtocol, AnswerAndRefusalComeBack) {
  const auto answer = DecodeJoinAnswer(Bytes(Body(EncodeJoinAnswer(JoinAnswer{"a certificate", 7771}))));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->certificate_pem, "a certificate");
  EXPECT_EQ(answer->port, 7771);
  const auto refusal = DecodeJoinAnswer(Bytes(Body(EncodeJoinAnswer(absl::PermissionDeniedError("no")))));
  EXPECT_EQ(refusal.status(), absl::PermissionDeniedError("no"));
}

TEST(JoinProtocol, MessagesWithoutACodeComeBack) {
  Sha256Digest commitment;
  commitment.fill(5);
  const auto opening = DecodeJoinOpening(Bytes(Body(EncodeJoinCommitment(commitment))));
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(std::get<Sha256Digest>(*opening), commitment);
  EXPECT_EQ(DecodeJoinNonce(Bytes(Body(EncodeJoinNonce(commitment)))).value(), commitment);
  const auto reveal = DecodeJoinReveal(Bytes(Body(EncodeJoinReveal({commitment, "a request"}))));
  ASSERT_TRUE(reveal.ok()) << reveal.status();
  EXPECT_EQ(reveal->nonce, commitment);
  EXPECT_EQ(reveal->signing_request_pem, "a request");
  EXPECT_TRUE(DecodeJoinWaiting(Bytes(Body(EncodeJoinWaiting(absl::OkStatus())))).ok());
}

TEST(JoinProtocol, RefusalOfOneWithoutACodeComesBackAtEachTurn) {
  const absl::Status no = absl::ResourceExhaustedError("wait");
  EXPECT_EQ(DecodeJoinNonce(Bytes(Body(EncodeJoinNonce(no)))).status(), no);
  EXPECT_EQ(DecodeJoinWaiting(Bytes(Body(EncodeJoinWaiting(no)))), no);
}

TEST(JoinProtocol, CommitmentIsAsOlderHostsWriteIt) {
  Sha256Digest commitment;
  commitment.fill('c');
  EXPECT_EQ(EncodeJoinCommitment(commitment), std::string("\0\0\0\x25\0\x01"
                                                          "2\0\x20",
                                                          9) +
                                                  std::string(32, 'c'));
}

TEST(JoinProtocol, AnotherVersionIsToldBoth) {
  const std::string message = EncodeJoinFields({"7", "anything"});
  EXPECT_THAT(DecodeJoinOpening(Bytes(Body(message))).status().message(),
              HasSubstr("by version 7 and the coordinator by 1"));
}

TEST(JoinProtocol, LengthsThatCannotBeAreRefused) {
  EXPECT_FALSE(DecodeJoinLength(Bytes(std::string(4, '\0'))).ok());
  EXPECT_FALSE(DecodeJoinLength(Bytes(std::string("\0\0\x40\x01", 4))).ok());
  EXPECT_FALSE(DecodeJoinLength(Bytes("\xff\xff\xff\xff")).ok());
  EXPECT_TRUE(DecodeJoinLength(Bytes(std::string("\0\0\x40\0", 4))).ok());
}

TEST(JoinProtocol, EveryMessageThatIsCutIsRefused) {
  JoinRequest request;
  request.signing_request_pem = "R";
  const std::string whole = Body(EncodeJoinRequest(request));
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(DecodeJoinOpening(Bytes(whole.substr(0, length))).ok()) << length;
  }
  const std::string answer = Body(EncodeJoinAnswer(JoinAnswer{"c", 1}));
  for (size_t length = 0; length < answer.size(); ++length) {
    EXPECT_FALSE(DecodeJoinAnswer(Bytes(answer.substr(0, length))).ok()) << length;
  }
  const std::string commitment = Body(EncodeJoinCommitment({}));
  const std::string nonce = Body(EncodeJoinNonce(JoinNonce{}));
  const std::string reveal = Body(EncodeJoinReveal({{}, "R"}));
  for (size_t length = 0; length < reveal.size(); ++length) {
    EXPECT_FALSE(
        DecodeJoinOpening(Bytes(commitment.substr(0, std::min(length, commitment.size() - 1)))).ok());
    EXPECT_FALSE(DecodeJoinNonce(Bytes(nonce.substr(0, std::min(length, nonce.size() - 1)))).ok()) << length;
    EXPECT_FALSE(DecodeJoinReveal(Bytes(reveal.substr(0, length))).ok()) << length;
  }
  EXPECT_FALSE(DecodeJoinWaiting(Bytes("")).ok());
  EXPECT_FALSE(DecodeJoinFields(Bytes(std::string(2 * (kMaxJoinFields + 1), '\0'))).ok());
}

}  // namespace
}  // namespace hearth
