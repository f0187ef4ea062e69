// Generation.Embed over a coordinator with fakes behind it: the state of token t at position p is (t, p, 1,
// 0).
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/served.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;
using testing::SizeIs;

struct Embedded {
  grpc::Status status;
  v1::EmbedResponse response;

  std::vector<float> Vector(int i) const {
    const auto& values = response.embeddings(i).values();
    return {values.begin(), values.end()};
  }
};

Embedded Embed(Served& served, const v1::EmbedRequest& request) {
  grpc::ClientContext context;
  Embedded embedded;
  embedded.status = served.generation->Embed(&context, request, &embedded.response);
  return embedded;
}

v1::EmbedRequest Tokens(std::vector<int32_t> ids) {
  v1::EmbedRequest request;
  request.add_inputs()->mutable_tokens()->mutable_ids()->Assign(ids.begin(), ids.end());
  request.set_keep_length(true);
  return request;
}

v1::EmbedRequest Texts(const std::vector<std::string>& texts) {
  v1::EmbedRequest request;
  for (const std::string& text : texts) request.add_inputs()->set_text(text);
  request.set_keep_length(true);
  return request;
}

void ExpectRefused(Served& served, const v1::EmbedRequest& request, grpc::StatusCode code,
                   const std::string& words) {
  const grpc::Status status = Embed(served, request).status;
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr(words));
}

TEST(EmbedTest, VectorIsTheMeanWhereTheFileSaysNothing) {
  Served served;
  const Embedded embedded = Embed(served, Tokens({10, 20, 60}));
  ASSERT_TRUE(embedded.status.ok()) << embedded.status.error_message();
  EXPECT_EQ(embedded.response.model(), "fake");
  EXPECT_EQ(embedded.response.digest(), "sha256:00ff");
  EXPECT_EQ(embedded.response.pooling(), v1::POOLING_MEAN);
  EXPECT_EQ(embedded.response.embeddings(0).tokens(), 3u);
  EXPECT_THAT(embedded.Vector(0), ElementsAre(30, 1, 1, 0));
}

TEST(EmbedTest, PoolingIsTheFilesOrTheRequests) {
  auto model = std::make_shared<FakeModel>();
  model->set_pooling(Pooling::kLast);
  Served served(model);
  v1::EmbedRequest request = Tokens({10, 20, 60});
  EXPECT_THAT(Embed(served, request).Vector(0), ElementsAre(60, 2, 1, 0));
  request.set_pooling(v1::POOLING_CLS);
  EXPECT_THAT(Embed(served, request).Vector(0), ElementsAre(10, 0, 1, 0));
  EXPECT_EQ(Embed(served, request).response.pooling(), v1::POOLING_CLS);
}

TEST(EmbedTest, VectorsHaveLengthOneAndTheDimensionsAskedFor) {
  Served served;
  v1::EmbedRequest request = Tokens({3});
  request.set_keep_length(false);
  const float length = std::sqrt(10.0f);
  EXPECT_THAT(Embed(served, request).Vector(0), ElementsAre(FloatEq(3 / length), 0, FloatEq(1 / length), 0));
  request.set_dimensions(2);
  EXPECT_THAT(Embed(served, request).Vector(0), ElementsAre(1, 0));
}

TEST(EmbedTest, TextsGetTheTokensThatStandAroundThem) {
  Served served;
  v1::EmbedRequest request = Texts({"ab"});
  request.set_pooling(v1::POOLING_CLS);
  const Embedded embedded = Embed(served, request);
  EXPECT_EQ(embedded.response.embeddings(0).tokens(), 3u);
  EXPECT_THAT(embedded.Vector(0), ElementsAre(ByteTokenizer::kBos, 0, 1, 0));
}

TEST(EmbedTest, ManyTextsComeInTheirOrderThroughASmallQueue) {
  SchedulerOptions options;
  options.queue = 8;
  Served served(std::make_shared<FakeModel>(), options);
  v1::EmbedRequest request;
  request.set_keep_length(true);
  for (int32_t i = 0; i < 200; ++i) {
    request.add_inputs()->mutable_tokens()->mutable_ids()->Resize(1 + i % 7, i);
  }
  const Embedded embedded = Embed(served, request);
  ASSERT_TRUE(embedded.status.ok()) << embedded.status.error_message();
  ASSERT_EQ(embedded.response.embeddings_size(), 200);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(embedded.Vector(i)[0], static_cast<float>(i));
}

TEST(EmbedTest, TextLongerThanAStepHasTheSameVector) {
  DecoderOptions options = FakeModel::SmallOptions();
  options.max_rows = 16;
  Served served(std::make_shared<FakeModel>(Bytes("x"), options));
  EXPECT_THAT(Embed(served, Tokens(std::vector<int32_t>(99, 7))).Vector(0), ElementsAre(7, 49, 1, 0));
}

TEST(EmbedTest, WholeTextsGoIntoOneStepEach) {
  DecoderOptions options = FakeModel::SmallOptions();
  options.max_rows = 16;
  auto model = std::make_shared<FakeModel>(Bytes("x"), options);
  model->set_whole_texts();
  model->decoder().set_before_step([](absl::Span<const BatchRow> rows) {
    for (size_t t = 0; t < rows.size(); ++t) {
      const bool goes_on = t > 0 && rows[t - 1].sequence == rows[t].sequence;
      if (!goes_on && rows[t].position != 0) return absl::InternalError("a text was cut");
    }
    return absl::OkStatus();
  });
  Served served(model);
  const Embedded embedded = Embed(
      served, Texts({"fifteen letters", "seven l", "a", "fourteen lette", "seven l", "b", "c", "dd", "e"}));
  ASSERT_TRUE(embedded.status.ok()) << embedded.status.error_message();
  EXPECT_EQ(embedded.response.embeddings(0).tokens(), 16u);
  ExpectRefused(served, Texts({"x", "sixteen letters."}), grpc::StatusCode::OUT_OF_RANGE,
                "input 1 has 17 tokens; the model reads at most 16");
}

TEST(EmbedTest, ModelForEmbeddingsDoesNotContinueText) {
  auto model = std::make_shared<FakeModel>();
  model->set_whole_texts();
  Served served(model);
  const grpc::Status status = Generate(*served.generation, TextRequest("a", 3)).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("embeddings only"));
}

TEST(EmbedTest, WhatCannotBeEmbeddedIsRefusedAndNamed) {
  Served served;
  constexpr auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
  ExpectRefused(served, {}, kInvalid, "no input");
  ExpectRefused(served, Texts({"a", ""}), kInvalid, "input 1: it is empty");
  ExpectRefused(served, Tokens({}), kInvalid, "input 0: it is empty");
  ExpectRefused(served, Tokens({1, 258}), kInvalid, "input 0: token 258 at position 1");
  ExpectRefused(served, Texts({std::string(1000, 'x')}), grpc::StatusCode::OUT_OF_RANGE, "1001 tokens");
  ExpectRefused(served, Texts(std::vector<std::string>(2049, "x")), kInvalid, "2049 inputs; at most 2048");
  v1::EmbedRequest request = Tokens({1});
  request.set_dimensions(5);
  ExpectRefused(served, request, kInvalid, "dimensions is 5; 1 to 4");
  request.set_dimensions(0);
  ExpectRefused(served, request, kInvalid, "dimensions is 0");
  request = Tokens({1});
  request.add_inputs();
  ExpectRefused(served, request, kInvalid, "input 1: it has neither text nor tokens");
  request = Tokens({1});
  request.set_pooling(static_cast<v1::Pooling>(77));
  ExpectRefused(served, request, kInvalid, "pooling is 77");
  request = Tokens({1});
  request.set_model("other");
  ExpectRefused(served, request, grpc::StatusCode::NOT_FOUND, "'other'");
}

TEST(EmbedTest, StatesThatAreNoNumbersFailTheRequestAlone) {
  auto model = std::make_shared<FakeModel>();
  model->decoder().set_damaged_position(1);
  Served served(model);
  ExpectRefused(served, Tokens({1, 2}), grpc::StatusCode::DATA_LOSS, "no number");
  EXPECT_TRUE(Embed(served, Tokens({1})).status.ok());
}

TEST(EmbedTest, StepThatFailsEndsTheRequest) {
  auto model = std::make_shared<FakeModel>();
  model->decoder().set_before_step(
      [](absl::Span<const BatchRow>) { return absl::DataLossError("the file was changed"); });
  Served served(model);
  ExpectRefused(served, Texts({"a", "b"}), grpc::StatusCode::DATA_LOSS, "the file was changed");
}

TEST(EmbedTest, DeadlineInTheQueueEndsTheRequest) {
  auto model = std::make_shared<FakeModel>();
  model->SetReady(absl::UnavailableError("a host is missing"));
  Served served(model);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::EmbedResponse response;
  const grpc::Status status = served.generation->Embed(&context, Tokens({1}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(EmbedTest, CancelledRequestFreesItsPlaces) {
  auto model = std::make_shared<FakeModel>();
  Gate gate;
  model->decoder().set_before_step([&gate](absl::Span<const BatchRow>) {
    gate.Pass();
    return absl::OkStatus();
  });
  SchedulerOptions options;
  options.queue = 8;
  Served served(model, options);
  grpc::ClientContext context;
  std::thread client([&] {
    v1::EmbedResponse response;
    const grpc::Status status =
        served.generation->Embed(&context, Texts(std::vector<std::string>(100, "text")), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  });
  gate.AwaitArrival();
  context.TryCancel();
  client.join();
  gate.Open();
  // The daemon hears of it a little later than the client, and has room from its next step on.
  grpc::Status next;
  do next = Embed(served, Texts({"a", "b"})).status;
  while (next.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(next.ok()) << next.error_message();
}

TEST(EmbedTest, LostHostMeansThatTextsAreReadAgain) {
  DecoderOptions decoder = FakeModel::SmallOptions();
  decoder.max_rows = 8;
  auto model = std::make_shared<FakeModel>(Bytes("x"), decoder);
  // The third step loses a host, and with it all that was read before.
  int steps = 0;
  model->decoder().set_before_step([&, raw = model.get()](absl::Span<const BatchRow>) -> absl::Status {
    if (++steps != 3) return absl::OkStatus();
    EXPECT_TRUE(raw->decoder().Truncate(0, 0).ok());
    return absl::UnavailableError("host b was lost");
  });
  Served served(model);
  EXPECT_THAT(Embed(served, Tokens(std::vector<int32_t>(21, 7))).Vector(0), ElementsAre(7, 10, 1, 0));
}

TEST(EmbedTest, GoesOnBesideThoseWhoGenerate) {
  Served served;
  auto call = Start(*served.generation, TextRequest("a", 200));
  EXPECT_THAT(Embed(served, Tokens({4, 6})).Vector(0), ElementsAre(5, 0.5, 1, 0));
  EXPECT_THAT(ReadAll(*call).text, SizeIs(200));
}

}  // namespace
}  // namespace hearth
