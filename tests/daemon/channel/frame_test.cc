#include "daemon/channel/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "daemon/weights/session_token.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// Layer 0 is held and has a predictor, layer 1 is not held, layer 2 is one of four experts.
ShardShape Shape() {
  ShardShape shape;
  shape.epoch = 7;
  shape.max_rows = 16;
  shape.layers = {{true, 64, 8, 64, 1}, {}, {true, 64, 0, 64, 4}};
  return shape;
}

FrameHeader FfnHeader() {
  FrameHeader header;
  header.operation = FrameOperation::kFfn;
  header.type = FrameType::kFloat32;
  header.epoch = 7;
  header.step = 3;
  header.rows = 2;
  header.payload_bytes = 2 * 64 * 4;
  return header;
}

TEST(FrameHeader, DecodesWhatWasEncoded) {
  FrameHeader header = FfnHeader();
  header.hidden = true;
  header.epoch = 0x1122334455667788;
  header.choices = 0xfffffffe;
  header.payload_bytes = ~uint64_t{0};
  const absl::StatusOr<FrameHeader> decoded = DecodeFrameHeader(EncodeFrameHeader(header));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, header);
}

TEST(FrameHeader, IsLittleEndianOnTheWire) {
  const FrameHeaderBytes bytes = EncodeFrameHeader(FfnHeader());
  EXPECT_EQ(bytes[0], 0x48);  // magic
  EXPECT_EQ(bytes[1], 0x52);
  EXPECT_EQ(bytes[4], 2);  // version
  EXPECT_EQ(bytes[8], 7);
  EXPECT_EQ(bytes[15], 0);
}

TEST(FrameHeader, RandomBytesAreRefused) {
  std::mt19937 random(1);
  for (int i = 0; i < 100000; ++i) {
    FrameHeaderBytes bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    ASSERT_FALSE(DecodeFrameHeader(bytes).ok());
  }
}

// Every single-byte change either is refused or gives a header that says something else.
TEST(FrameHeader, NoByteIsIgnored) {
  const FrameHeaderBytes good = EncodeFrameHeader(FfnHeader());
  for (size_t at = 0; at < good.size(); ++at) {
    FrameHeaderBytes bytes = good;
    bytes[at] ^= 0x40;
    const absl::StatusOr<FrameHeader> decoded = DecodeFrameHeader(bytes);
    EXPECT_TRUE(!decoded.ok() || *decoded != FfnHeader()) << "byte " << at;
  }
}

TEST(FrameHeader, OtherVersionIsRefusedWithAdvice) {
  FrameHeaderBytes bytes = EncodeFrameHeader(FfnHeader());
  bytes[4] = 9;
  EXPECT_THAT(std::string(DecodeFrameHeader(bytes).status().message()),
              HasSubstr("install the same hearthd"));
}

TEST(ValidateFfn, MessageOfThePlanIsAccepted) { EXPECT_TRUE(ValidateFfn(FfnHeader(), Shape()).ok()); }

TEST(ValidateFfn, HiddenValuesAndChoicesCount) {
  FrameHeader header = FfnHeader();
  header.hidden = true;
  header.payload_bytes += 2 * 8 * 4;
  EXPECT_TRUE(ValidateFfn(header, Shape()).ok());
  header = FfnHeader();
  header.layer = 2;
  header.choices = 3;
  header.payload_bytes += 2 * 3 * 8;
  EXPECT_TRUE(ValidateFfn(header, Shape()).ok());
}

TEST(ValidateFfn, WrongEpochIsAFailedPrecondition) {
  for (const uint64_t epoch : {uint64_t{0}, uint64_t{6}, uint64_t{8}, ~uint64_t{0}}) {
    FrameHeader header = FfnHeader();
    header.epoch = epoch;
    EXPECT_EQ(ValidateFfn(header, Shape()).code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(ValidateFfn, WhatThePlanDoesNotAllowIsRefused) {
  const auto refused = [](auto change) {
    FrameHeader header = FfnHeader();
    change(header);
    return ValidateFfn(header, Shape()).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](FrameHeader& h) { h.operation = FrameOperation::kPing; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.layer = 1; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.layer = 3; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.layer = ~0u; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.rows = 0; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.rows = 17; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.rows = ~0u; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.choices = 2; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.choices = ~0u; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.type = FrameType::kInt64; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.hidden = true; }));  // its bytes are missing
  EXPECT_TRUE(refused([](FrameHeader& h) { h.layer = 2, h.hidden = true; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { ++h.payload_bytes; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.payload_bytes = ~uint64_t{0}; }));
}

TEST(ValidateHello, OnlyATokenIsAPayload) {
  FrameHeader hello;
  hello.payload_bytes = kSessionTokenBytes;
  EXPECT_TRUE(ValidateHello(hello).ok());
  hello.payload_bytes = kSessionTokenBytes + 1;
  EXPECT_FALSE(ValidateHello(hello).ok());
  EXPECT_FALSE(ValidateHello(FfnHeader()).ok());
}

TEST(ValidatePing, OverlongPingIsRefused) {
  FrameHeader ping;
  ping.operation = FrameOperation::kPing;
  ping.payload_bytes = kMaxPingBytes;
  EXPECT_TRUE(ValidatePing(ping).ok());
  ++ping.payload_bytes;
  EXPECT_FALSE(ValidatePing(ping).ok());
}

TEST(ValidateSums, OnlyTheAnswerToTheRequestIsAccepted) {
  const FrameHeader request = FfnHeader();
  FrameHeader answer = request;
  answer.operation = FrameOperation::kSums;
  answer.type = FrameType::kInt64;
  answer.payload_bytes = 2 * 64 * 8;
  EXPECT_TRUE(ValidateSums(answer, request, Shape()).ok());
  const auto refused = [&](auto change) {
    FrameHeader other = answer;
    change(other);
    return !ValidateSums(other, request, Shape()).ok();
  };
  EXPECT_TRUE(refused([](FrameHeader& h) { h.operation = FrameOperation::kPong; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.epoch = 6; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.step = 2; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.layer = 2; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.rows = 1; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.payload_bytes = 64 * 8; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.type = FrameType::kInt32; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.type = FrameType::kFloat32; }));
  answer.type = FrameType::kInt32;
  answer.payload_bytes = 2 * 64 * 4;
  EXPECT_TRUE(ValidateSums(answer, request, Shape()).ok());
}

TEST(ValidateChoices, BlocksAreOfTheLayerAndOccurOnceInARow) {
  ShardShape shape;
  shape.layers = {{true, 8, 0, 8, 4}};
  FrameHeader header;
  header.rows = 2;
  header.choices = 2;
  const auto check = [&](std::vector<BlockChoice> choices) {
    return ValidateChoices(header, shape, choices);
  };
  EXPECT_TRUE(check({{0, 1}, {3, 1}, {0, 1}, {3, 0.5f}}).ok()) << "the same blocks in another row";
  EXPECT_TRUE(check({{0, 1}, {0, 0}, {0, 0}, {0, 0}}).ok()) << "weight 0 stands for none";
  EXPECT_FALSE(check({{2, 1}, {2, 1}, {0, 1}, {1, 1}}).ok());
  EXPECT_FALSE(check({{0, 1}, {1, 1}, {3, 1}, {3, 0.5f}}).ok());
  EXPECT_FALSE(check({{0, 1}, {4, 1}, {0, 1}, {1, 1}}).ok());
  EXPECT_FALSE(check({{0, NAN}, {1, 1}, {0, 1}, {1, 1}}).ok());
}

}  // namespace
}  // namespace hearth
