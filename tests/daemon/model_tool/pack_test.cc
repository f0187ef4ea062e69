// hearth-model pack, and what the other commands make of a packed model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/daemon/model_tool/run_tool.h"

namespace hearth {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Packed(const std::string& model) {
  const std::string path = TempPath("packed.gguf");
  const ToolResult result = RunTool("pack --json --force " + model + " " + path);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GT(result.json()["neurons"], 1000);
  return path;
}

json Generate(const std::string& model, const std::string& more = "") {
  const ToolResult result =
      RunTool("generate " + model + " --tokens 1,431,1720,261 -n 16 --temperature 0 --json " + more);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.json()["tokens"];
}

TEST(PackTest, PackedModelsGiveTheSameTextAndLogits) {
  for (const std::string model : {kDemoModel, kPredictedModel}) {
    const std::string packed = Packed(model);
    EXPECT_EQ(Generate(packed), Generate(model));
    for (const std::string& path : {packed, model}) {
      const std::string out = TempPath(path == packed ? "packed.npy" : "model.npy");
      EXPECT_EQ(RunTool("logits " + path + " --tokens 1,5,9,13 --out " + out + " --force").exit_code, 0);
    }
    EXPECT_EQ(ReadFile(TempPath("packed.npy")), ReadFile(TempPath("model.npy")));
  }
}

TEST(PackTest, PackedModelIsInspectedLikeTheModel) {
  const json packed = RunTool("inspect --json " + Packed(kPredictedModel)).json();
  const json model = RunTool(std::string("inspect --json ") + kPredictedModel).json();
  EXPECT_EQ(packed["packed"], true);
  EXPECT_EQ(model["packed"], false);
  EXPECT_EQ(packed["model"], model["model"]);
  EXPECT_EQ(packed["tensor_bytes"], model["tensor_bytes"]);
}

TEST(PackTest, ModelLargerThanItsMemoryGivesTheSameText) {
  const std::string packed = Packed(kPredictedModel);
  EXPECT_THAT(RunTool("generate " + packed + " --tokens 1,2 -n 2 --json --memory 1M").err,
              HasSubstr("give it more memory"));
  // The least that works: less than what holds all of it.
  std::string memory;
  ToolResult bench;
  for (uint64_t bytes = 65000000; bench.exit_code != 0 && bytes < 200000000; bytes += 500000) {
    memory = " --memory " + std::to_string(bytes);
    bench = RunTool("bench --json --prompt-tokens 4 --generate-tokens 4 --repetitions 1 " + packed + memory);
  }
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_GT(bench.json()["disk"]["misses_per_token"], 0);
  EXPECT_LT(bench.json()["disk"]["hit_rate"], 1);
  EXPECT_EQ(Generate(packed, memory), Generate(kPredictedModel));
}

TEST(PackTest, ModelThatIsNotPackedIsToBePackedWhereMemoryIsShort) {
  const ToolResult result =
      RunTool(std::string("generate --tokens 1,2 -n 2 --json --memory 1M ") + kPredictedModel);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("pack the model (hearth-model pack)"));
}

TEST(PackTest, FileThatExistsIsReplacedByForceAlone) {
  const std::string taken = WriteTempFile("taken", "mine");
  const ToolResult refused = RunTool(std::string("pack ") + kDemoModel + " " + taken);
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("the file exists; choose another name or add --force"));
  EXPECT_EQ(ReadFile(taken), "mine");
  EXPECT_EQ(RunTool(std::string("pack --force ") + kDemoModel + " " + taken).exit_code, 0);
  EXPECT_THAT(ReadFile(taken), StartsWith("GGUF"));
}

TEST(PackTest, PackingThatIsKilledLeavesThePlaceAsItWas) {
  const std::string output = TempPath("killed.gguf");
  const std::string command = std::string("timeout -s KILL 0.002 ") + HEARTH_MODEL_TOOL + " pack " +
                              kDemoModel + " " + output + " 2>/dev/null";
  for (int i = 0; i < 5; ++i) {
    EXPECT_NE(std::system(command.c_str()), 0);
    EXPECT_FALSE(std::filesystem::exists(output));
  }
}

}  // namespace
}  // namespace hearth
