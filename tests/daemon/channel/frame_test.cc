#include "daemon/channel/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "daemon/weights/session_token.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// Neurons of layer 0, which has a predictor, and of layer 2, which has four experts; heads of layer 1; 20
// output rows.
ShardShape Shape() {
  ShardShape shape;
  shape.epoch = 7;
  shape.limits = {.sequences = 2, .context_length = 32, .max_rows = 16};
  shape.n_embd = 64;
  shape.layers = {{false, true, 8, 64, 1, 0}, {true, false, 0, 0, 0, 128}, {false, true, 0, 64, 4, 0}};
  shape.output_runs = {{0, 10}, {90, 100}};
  return shape;
}

FrameHeader FfnHeader() {
  FrameHeader header;
  header.operation = FrameOperation::kFfn;
  header.type = FrameType::kFloat32;
  header.epoch = 7;
  header.ticket = 3;
  header.rows = 2;
  header.payload_bytes = 2 * 64 * 4;
  return header;
}

TEST(FrameHeader, DecodesWhatWasEncoded) {
  FrameHeader header = FfnHeader();
  header.hidden = true;
  header.epoch = 0x1122334455667788;
  header.step = 9;
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
  EXPECT_EQ(bytes[4], 4);  // version
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

TEST(ValidateRequest, MessageOfThePlanIsAccepted) { EXPECT_TRUE(ValidateRequest(FfnHeader(), Shape()).ok()); }

TEST(ValidateRequest, HiddenValuesAndChoicesCount) {
  FrameHeader header = FfnHeader();
  header.hidden = true;
  header.payload_bytes += 2 * 8 * 4;
  EXPECT_TRUE(ValidateRequest(header, Shape()).ok());
  header = FfnHeader();
  header.layer = 2;
  header.choices = 3;
  header.payload_bytes += 2 * 3 * 8;
  EXPECT_TRUE(ValidateRequest(header, Shape()).ok());
}

TEST(ValidateRequest, WrongEpochIsAFailedPrecondition) {
  for (const uint64_t epoch : {uint64_t{0}, uint64_t{6}, uint64_t{8}, ~uint64_t{0}}) {
    FrameHeader header = FfnHeader();
    header.epoch = epoch;
    EXPECT_EQ(ValidateRequest(header, Shape()).code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(ValidateRequest, WhatThePlanDoesNotAllowIsRefused) {
  const auto refused = [](auto change) {
    FrameHeader header = FfnHeader();
    change(header);
    return ValidateRequest(header, Shape()).code() == absl::StatusCode::kInvalidArgument;
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

// A message of an operation that has no choices and no hidden values.
FrameHeader HeaderOf(FrameOperation operation, uint32_t layer, uint32_t rows, uint64_t payload_bytes) {
  FrameHeader header = FfnHeader();
  header.operation = operation;
  header.layer = layer;
  header.rows = rows;
  header.payload_bytes = payload_bytes;
  return header;
}

TEST(ValidateRequest, HeadsAndOutputRowsAreAskedWhereTheyAre) {
  const auto ok = [](const FrameHeader& header) { return ValidateRequest(header, Shape()).ok(); };
  EXPECT_TRUE(ok(HeaderOf(FrameOperation::kMix, 1, 2, 2 * (64 * 4 + 12))));
  EXPECT_FALSE(ok(HeaderOf(FrameOperation::kMix, 0, 2, 2 * (64 * 4 + 12)))) << "neurons only";
  EXPECT_FALSE(ok(HeaderOf(FrameOperation::kMix, 1, 2, 2 * 64 * 4))) << "no places";
  EXPECT_TRUE(ok(HeaderOf(FrameOperation::kOutput, 0, 3, 3 * 64 * 4)));
  EXPECT_FALSE(ok(HeaderOf(FrameOperation::kOutput, 1, 3, 3 * 64 * 4))) << "the head has no layer";
  EXPECT_FALSE(ok(HeaderOf(FrameOperation::kFfn, 1, 2, 2 * 64 * 4))) << "heads only";
  FrameHeader header = HeaderOf(FrameOperation::kMix, 1, 2, 2 * (64 * 4 + 12));
  header.choices = 1;
  EXPECT_FALSE(ok(header));
}

TEST(ValidateRequest, ValuesForAnAdapterOfHeadsComeWhereThereIsOne) {
  FrameHeader header = HeaderOf(FrameOperation::kMix, 1, 2, 2 * (64 * 4 + 12 + 6 * 4));
  header.hidden = true;
  EXPECT_FALSE(ValidateRequest(header, Shape()).ok()) << "there is none";
  ShardShape shape = Shape();
  shape.layers[1].heads_adapted = 6;
  shape.layers[1].heads_returned = 3;
  EXPECT_TRUE(ValidateRequest(header, shape).ok());
  EXPECT_EQ(PayloadOf(shape, header).sums, 2u * (64 + 3));
  ++header.payload_bytes;
  EXPECT_FALSE(ValidateRequest(header, shape).ok());
  FrameHeader stage = HeaderOf(FrameOperation::kStage, 0, 2, 2 * (64 * 4 + 12 + 6 * 4));
  stage.hidden = true;
  shape.leads_stage = true;
  EXPECT_FALSE(ValidateRequest(stage, shape).ok()) << "who leads has them";
}

TEST(ValidateRequest, InputsTravelRoundedWhereDevicesRoundThem) {
  ShardShape shape = Shape();
  shape.layers[0].neurons_block = 32;
  shape.layers[1].heads_block = 32;
  shape.output_block = 32;
  const uint64_t row = 64 + 2 * 4;  // codes and magnitudes
  for (FrameHeader header :
       {HeaderOf(FrameOperation::kFfn, 0, 2, 2 * row), HeaderOf(FrameOperation::kMix, 1, 2, 2 * (row + 12)),
        HeaderOf(FrameOperation::kOutput, 0, 2, 2 * row)}) {
    EXPECT_FALSE(ValidateRequest(header, shape).ok()) << "too short for float32";
    header.type = FrameType::kRounded;
    EXPECT_TRUE(ValidateRequest(header, shape).ok());
    EXPECT_FALSE(ValidateRequest(header, Shape()).ok()) << "devices do not round";
    header.payload_bytes += 1;
    EXPECT_FALSE(ValidateRequest(header, shape).ok());
  }
}

TEST(ValidateRequest, CachedPositionsAreAtMostWhatTheContextHolds) {
  const auto ok = [](FrameOperation operation, uint64_t bytes) {
    FrameHeader header = HeaderOf(operation, 1, 0, bytes);
    header.type = FrameType::kBytes;
    return ValidateRequest(header, Shape()).ok();
  };
  EXPECT_TRUE(ok(FrameOperation::kReadKv, 16));
  EXPECT_FALSE(ok(FrameOperation::kReadKv, 17));
  EXPECT_FALSE(ok(FrameOperation::kReadKv, 0));
  EXPECT_TRUE(ok(FrameOperation::kWriteKv, 16 + 32 * 128));
  EXPECT_FALSE(ok(FrameOperation::kWriteKv, 16 + 32 * 128 + 1));
  EXPECT_FALSE(ok(FrameOperation::kWriteKv, ~uint64_t{0}));
}

TEST(ValidatePlaces, OnlyPositionsThatAreCachedAndFollowOneAnotherAreAccepted) {
  const auto ok = [](std::vector<WirePlace> places) { return ValidatePlaces(Shape(), places).ok(); };
  EXPECT_TRUE(ok({{0, 3, 1}, {1, 0, 0}, {0, 4, 0}}));
  EXPECT_FALSE(ok({{0, 3, 1}, {0, 5, 0}})) << "a gap";
  EXPECT_FALSE(ok({{0, 3, 1}, {0, 3, 0}})) << "twice";
  EXPECT_FALSE(ok({{2, 0, 0}})) << "no such sequence";
  EXPECT_FALSE(ok({{0, 32, 0}})) << "beyond the context";
  EXPECT_FALSE(ok({{0, 0, 2}})) << "neither prompt nor not";
}

TEST(ValidateKvRange, OnlyRangesWithinTheContextAreAccepted) {
  const auto ok = [](const WireKvRange& range) { return ValidateKvRange({}, Shape(), range).ok(); };
  EXPECT_TRUE(ok({0, 1, 0, 32}));
  EXPECT_FALSE(ok({0, 2, 0, 32}));
  EXPECT_FALSE(ok({0, 1, 0, 33}));
  EXPECT_FALSE(ok({0, 1, 9, 8}));
}

TEST(ValidateAnswer, LogitsAndCachesAreOfTheSizeThatWasAsked) {
  const FrameHeader output = HeaderOf(FrameOperation::kOutput, 0, 3, 0);
  FrameHeader answer = HeaderOf(FrameOperation::kLogits, 0, 3, 3 * 20 * 4);
  EXPECT_TRUE(ValidateAnswer(answer, output, Shape()).ok());
  answer.payload_bytes = 3 * 100 * 4;
  EXPECT_FALSE(ValidateAnswer(answer, output, Shape()).ok());
  const FrameHeader read = HeaderOf(FrameOperation::kReadKv, 1, 0, 16);
  answer = HeaderOf(FrameOperation::kKv, 1, 0, 5 * 128);
  answer.type = FrameType::kBytes;
  EXPECT_TRUE(ValidateAnswer(answer, read, Shape(), {0, 0, 0, 5}).ok());
  EXPECT_FALSE(ValidateAnswer(answer, read, Shape(), {0, 0, 0, 4}).ok());
  const FrameHeader write = HeaderOf(FrameOperation::kWriteKv, 1, 0, 16 + 128);
  EXPECT_FALSE(ValidateAnswer(answer, write, Shape()).ok());
  answer.payload_bytes = 0;
  EXPECT_TRUE(ValidateAnswer(answer, write, Shape()).ok());
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

TEST(ValidateAnswer, OnlyTheAnswerToTheRequestIsAccepted) {
  const FrameHeader request = FfnHeader();
  FrameHeader answer = request;
  answer.operation = FrameOperation::kSums;
  answer.type = FrameType::kInt64;
  answer.payload_bytes = 2 * 64 * 8;
  EXPECT_TRUE(ValidateAnswer(answer, request, Shape()).ok());
  const auto refused = [&](auto change) {
    FrameHeader other = answer;
    change(other);
    return !ValidateAnswer(other, request, Shape()).ok();
  };
  EXPECT_TRUE(refused([](FrameHeader& h) { h.operation = FrameOperation::kPong; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.epoch = 6; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.ticket = 2; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.layer = 2; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.rows = 1; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.payload_bytes = 64 * 8; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.type = FrameType::kInt32; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.type = FrameType::kFloat32; }));
  answer.type = FrameType::kInt32;
  answer.payload_bytes = 2 * 64 * 4;
  EXPECT_TRUE(ValidateAnswer(answer, request, Shape()).ok());
}

TEST(ValidateChoices, BlocksAreOfTheLayerAndOccurOnceInARow) {
  ShardShape shape;
  shape.layers = {{false, true, 0, 8, 4, 0}};
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
