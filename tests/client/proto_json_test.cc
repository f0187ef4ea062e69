#include "client/command/proto_json.h"

#include <limits>

#include "gtest/gtest.h"
#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {
namespace {

TEST(ProtoJsonTest, ScalarsAreThereAlsoWhenZero) {
  v1::Usage usage;
  usage.set_prompt_tokens(3);
  EXPECT_EQ(
      ToJsonLine(usage),
      R"({"prompt_tokens":3,"generated_tokens":0,"cached_tokens":0,"drafted_tokens":0,"accepted_draft_tokens":0})");
}

TEST(ProtoJsonTest, LargeNumbersStayNumbers) {
  v1::Started started;
  started.set_seed(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(ToJson(started).at("seed"), std::numeric_limits<uint64_t>::max());
}

TEST(ProtoJsonTest, EnumsAreShortNames) {
  v1::Finished finished;
  finished.set_reason(v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(ToJson(finished).at("reason"), "stop_string");
  v1::HostStatus host;
  EXPECT_EQ(ToJson(host).at("state"), "unspecified");
}

TEST(ProtoJsonTest, OnlyTheEventThatIsSetIsThere) {
  v1::GenerateResponse response;
  response.mutable_delta()->set_text("a\"b");
  response.mutable_delta()->add_tokens(7);
  EXPECT_EQ(
      ToJsonLine(response),
      R"({"delta":{"text":"a\"b","tokens":[7],"logprobs":[],"reasoning":"","tool_calls":[],"offset":0,"first_tool_call":0}})");
}

TEST(ProtoJsonTest, AbsentOptionalFieldsAreLeftOut) {
  v1::Sampling sampling;
  sampling.set_temperature(0);
  EXPECT_EQ(ToJsonLine(sampling), R"({"temperature":0.0,"logit_bias":[]})");
}

TEST(ProtoJsonTest, RepeatedMessagesNest) {
  v1::ClusterStatus cluster;
  cluster.add_hosts()->set_name("a");
  cluster.add_hosts()->add_devices()->set_name("cpu0");
  const auto json = ToJson(cluster);
  EXPECT_EQ(json.at("hosts").at(0).at("name"), "a");
  EXPECT_EQ(json.at("hosts").at(1).at("devices").at(0).at("name"), "cpu0");
}

TEST(ProtoJsonTest, NonFiniteNumbersAreNull) {
  v1::LinkStatus link;
  link.set_round_trip_us(std::numeric_limits<double>::infinity());
  EXPECT_NE(ToJsonLine(link).find(R"("round_trip_us":null)"), std::string::npos);
}

}  // namespace
}  // namespace hearth
