// hearth-model embed on the demo model and on tiny encoders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/base/npy.h"
#include "tests/daemon/model_tool/run_tool.h"

namespace hearth {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kFixtures[] = "tests/engine/model/embedding_fixtures/";

json Embed(const std::string& model, const std::string& more) {
  const ToolResult result = RunTool("embed " + model + " --json " + more);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.json();
}

void ExpectRefused(const std::string& arguments, const std::string& words) {
  const ToolResult result = RunTool("embed " + arguments);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr(words));
}

double Cosine(const json& a, const json& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i].get<double>() * b[i].get<double>();
  return sum;
}

TEST(EmbedCommandTest, TextsHaveVectorsOfLengthOne) {
  const json document =
      Embed(kDemoModel, "--text 'the house of the LORD' --text 'the house of God' --text 'forty and two'");
  EXPECT_EQ(document["pooling"], "mean");
  const json& embeddings = document["embeddings"];
  ASSERT_EQ(embeddings.size(), 3u);
  EXPECT_EQ(document["dimensions"], embeddings[0]["values"].size());
  EXPECT_NEAR(Cosine(embeddings[0]["values"], embeddings[0]["values"]), 1, 1e-5);
  EXPECT_GT(Cosine(embeddings[0]["values"], embeddings[1]["values"]),
            Cosine(embeddings[0]["values"], embeddings[2]["values"]));
}

TEST(EmbedCommandTest, EncoderGivesThePooledStatesOfTheOracle) {
  for (const auto& [name, row_is_first] : std::vector<std::pair<std::string, bool>>{
           {"encoder_with_positions", true}, {"states_of_a_decoder", false}}) {
    const absl::StatusOr<NpyArray> states = ReadNpy(kFixtures + name + ".npy");
    ASSERT_TRUE(states.ok()) << states.status();
    const json document = Embed(kFixtures + name + ".gguf",
                                "--tokens 0,5,10,15,20,1,6,11,16,21,2,7 --keep-length --arithmetic float32");
    const json& values = document["embeddings"][0]["values"];
    ASSERT_EQ(values.size(), states->cols);
    const size_t row = row_is_first ? 0 : states->rows - 1;
    for (size_t i = 0; i < states->cols; ++i) {
      EXPECT_NEAR(values[i].get<float>(), states->values[row * states->cols + i], 2e-5f) << name;
    }
  }
}

TEST(EmbedCommandTest, DimensionsAndPoolingAreTheCallers) {
  const json document = Embed(kDemoModel, "--text 'the house' --dimensions 5 --pooling last");
  EXPECT_EQ(document["pooling"], "last");
  EXPECT_EQ(document["embeddings"][0]["values"].size(), 5u);
}

TEST(EmbedCommandTest, WhatCannotBeEmbeddedIsRefused) {
  const std::string demo = kDemoModel;
  ExpectRefused(demo, "nothing to embed");
  ExpectRefused(demo + " --text ''", "a text is empty");
  ExpectRefused(demo + " --text x --dimensions 100000", "--dimensions is 100000");
  ExpectRefused(demo + " --text x --pooling max", "max");
  ExpectRefused(demo + " --tokens 999999", "999999");
}

TEST(EmbedCommandTest, EncoderDoesNotGenerate) {
  const ToolResult result =
      RunTool(std::string("generate ") + kFixtures + "encoder_with_rope.gguf --tokens 1,2 -n 3");
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("embeddings only"));
}

}  // namespace
}  // namespace hearth
