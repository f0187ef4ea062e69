// hearth-model's commands on the demo model: what they print and write.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/base/npy.h"
#include "engine/file/gguf_writer.h"
#include "engine/neuron/profile_file.h"
#include "tests/daemon/model_tool/run_tool.h"
#include "tests/support/lora_file.h"

namespace hearth {
namespace {

using nlohmann::json;
using ::testing::Each;
using ::testing::Gt;
using ::testing::HasSubstr;

constexpr char kPrompt[] = "1,431,1720,261,575,271";

std::string Generate(const std::string& model, const std::string& more) {
  return "generate " + model + " --tokens " + kPrompt + " -n 24 --temperature 0 --json " + more;
}

TEST(HelpTest, EveryCommandOfTheContractIsListed) {
  const ToolResult result = RunTool("--help");
  EXPECT_EQ(result.exit_code, 0);
  for (const char* name : {"inspect", "tokenize", "logits", "generate", "perplexity", "embed", "bench",
                           "profile", "quantize", "pack", "plan", "render"}) {
    EXPECT_THAT(result.out, HasSubstr(name));
  }
}

TEST(InspectTest, DescribesTheModel) {
  const json document = RunTool(std::string("inspect --json ") + kPredictedModel).json();
  EXPECT_EQ(document["architecture"], "llama");
  EXPECT_EQ(document["format"], "PowerInfer");
  EXPECT_EQ(document["model"]["sparsity"]["default"], "predicted");
  EXPECT_EQ(document["model"]["sparsity"]["kinds"], json({"dense", "exact", "predicted"}));
  EXPECT_EQ(document["tensors"].size(), document["tensor_count"]);
  EXPECT_GT(document["model"]["memory"]["neuron_bytes"], 1000000);
}

TEST(InspectTest, TextNamesTypesAndMemory) {
  const ToolResult result = RunTool(std::string("inspect ") + kDemoModel);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("Q8_0"));
  EXPECT_THAT(result.out, HasSubstr("memory: "));
}

TEST(TokenizeTest, EachLineGivesAnArrayOfIds) {
  const ToolResult result =
      RunTool(std::string("tokenize --json ") + kDemoModel, "\"the house\"\n\"\"\n\"two\\nlines \\u00e9\"\n");
  EXPECT_EQ(result.exit_code, 0);
  std::vector<json> lines;
  std::string line;
  for (std::istringstream in(result.out); std::getline(in, line);) lines.push_back(json::parse(line));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_GT(lines[0].size(), 1u);
  EXPECT_EQ(lines[1].size(), 1u);  // BOS alone
  EXPECT_EQ(lines[0][0], lines[1][0]);
}

TEST(TokenizeTest, SpecialTokensFollowTheFlags) {
  const json with = RunTool(std::string("tokenize --json ") + kDemoModel, "\"a\"\n").json();
  const json without =
      RunTool(std::string("tokenize --json --no-add-special ") + kDemoModel, "\"a\"\n").json();
  EXPECT_EQ(with.size(), without.size() + 1);
  const json as_text = RunTool(std::string("tokenize --json ") + kDemoModel, "\"</s>\"\n").json();
  const json as_token = RunTool(std::string("tokenize --json --special ") + kDemoModel, "\"</s>\"\n").json();
  EXPECT_GT(as_text.size(), as_token.size());
}

TEST(LogitsTest, WritesOneRowPerToken) {
  const std::string out = TempPath("logits.npy");
  std::remove(out.c_str());
  const ToolResult result =
      RunTool(std::string("logits ") + kDemoModel + " --tokens 1,5,9 --json --out " + out);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["tokens"], 3);
  const NpyArray array = ReadNpy(out).value();
  EXPECT_EQ(array.rows, 3u);
  EXPECT_EQ(array.cols, result.json()["vocab"].get<size_t>());
}

TEST(LogitsTest, DevicesThreadsAndModeOfSparsityChangeNothing) {
  const std::string out = TempPath("logits.npy");
  const std::string start =
      std::string("logits ") + kDemoModel + " --tokens " + kPrompt + " --force --out " + out;
  const auto logits_with = [&](const std::string& flags) {
    const ToolResult result = RunTool(start + " " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return ReadNpy(out).value().values;
  };
  const std::vector<float> reference = logits_with("--threads 1");
  EXPECT_EQ(logits_with("--threads 3"), reference);
  EXPECT_EQ(logits_with("--devices 3"), reference);
  EXPECT_EQ(logits_with("--devices 'a,memory=400K;b,threads=2'"), reference);
}

TEST(LogitsTest, ReplaceNoFileThatIsThereUnlessForced) {
  const std::string out = TempPath("logits.npy");
  const std::string start = std::string("logits ") + kDemoModel + " --tokens 1,5 --out " + out;
  for (const char* there : {"", "a letter to a friend"}) {
    WriteTempFile("logits.npy", there);
    EXPECT_EQ(RunTool(start).exit_code, 1);
    EXPECT_EQ(ReadFile(out), there);
  }
  EXPECT_EQ(RunTool(start + " --force").exit_code, 0);
  EXPECT_EQ(ReadNpy(out).value().rows, 2u);
}

TEST(GenerateTest, GivesTheDemoModelsOwnContinuation) {
  const json expected = json::parse(ReadFile("deploy/demo_model/expected.json"))["cases"][0];
  std::string tokens;
  for (const json& id : expected["prompt_tokens"]) tokens += (tokens.empty() ? "" : ",") + id.dump();
  const json document = RunTool(std::string("generate ") + kDemoModel + " --tokens " + tokens +
                                " -n 64 --temperature 0 --ignore-eos --json --sparsity dense")
                            .json();
  EXPECT_EQ(document["tokens"], expected["plain_dense"]["tokens"]);
  EXPECT_EQ(document["text"], expected["plain_dense"]["text"]);
  EXPECT_EQ(document["finish_reason"], "length");
}

TEST(GenerateTest, AnyNumberOfDevicesGivesTheSameTokens) {
  for (const char* sparsity : {"dense", "exact", "predicted"}) {
    const std::string mode = std::string(" --sparsity ") + sparsity;
    const json reference = RunTool(Generate(kPredictedModel, mode)).json()["tokens"];
    ASSERT_EQ(reference.size(), 24u) << sparsity;
    for (const char* devices : {"2", "4"}) {
      const json split = RunTool(Generate(kPredictedModel, mode + " --devices " + devices)).json();
      EXPECT_EQ(split["tokens"], reference) << sparsity << ", " << devices << " devices";
      EXPECT_EQ(split["devices"].size(), std::stoul(devices));
    }
  }
}

TEST(GenerateTest, SeedMakesTheSameTextAgain) {
  const std::string start =
      std::string("generate ") + kDemoModel + " --prompt 'And the' -n 16 --json --temperature 1.5";
  const json first = RunTool(start).json();
  const json again = RunTool(start + " --seed " + first["seed"].dump()).json();
  EXPECT_EQ(first["tokens"], again["tokens"]);
}

TEST(GenerateTest, TextGoesToStandardOutputAlone) {
  const ToolResult result =
      RunTool(std::string("generate ") + kDemoModel + " --prompt 'And the' -n 8 --temperature 0");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("tokens/s"));
  EXPECT_EQ(result.out.find("tokens/s"), std::string::npos);
}

TEST(LoraTest, CommandsThatRunAModelTakeAdapters) {
  const std::string lora = LoraFile(**GgufFile::Open(kDemoModel)).Write("tool.gguf");
  const std::string tokens = std::string(kDemoModel) + " --tokens 1,431,1720 -n 12 --temperature 0 --json ";
  const json plain = RunTool("generate " + tokens).json()["tokens"];
  const std::string strong = "--lora " + lora + ",scale=8";
  const json adapted = RunTool("generate " + tokens + strong).json()["tokens"];
  EXPECT_NE(adapted, plain);
  EXPECT_EQ(RunTool("generate " + tokens + "--devices 3 --threads 3 " + strong).json()["tokens"], adapted);
  EXPECT_EQ(RunTool("generate " + tokens + "--lora " + lora + ",scale=0").json()["tokens"], plain);
  const std::string rest =
      " --lora " + lora + " --prompt-tokens 8 --generate-tokens 4 --repetitions 1 --json";
  EXPECT_EQ(RunTool("bench " + std::string(kDemoModel) + rest).exit_code, 0);
}

TEST(LoraTest, AdapterThatCannotBeUsedIsOneClearError) {
  const std::string tokens = std::string(kDemoModel) + " --tokens 1 -n 2 --lora ";
  const ToolResult model = RunTool("generate " + tokens + kDemoModel);
  EXPECT_EQ(model.exit_code, 1);
  EXPECT_THAT(model.err, HasSubstr("is no LoRA adapter"));
  EXPECT_EQ(std::count(model.err.begin(), model.err.end(), '\n'), 1);
  EXPECT_THAT(RunTool("generate " + tokens + "/nowhere.gguf").err, HasSubstr("/nowhere.gguf"));
  const ToolResult scale = RunTool("generate " + tokens + "a.gguf,scale=much");
  EXPECT_NE(scale.exit_code, 0);
  EXPECT_THAT(scale.err, HasSubstr("FILE,scale=S"));
}

TEST(LoraTest, PackedModelIsRefused) {
  const std::string packed = TempPath("packed_for_lora.gguf");
  ASSERT_EQ(RunTool("pack --force " + std::string(kDemoModel) + " " + packed).exit_code, 0);
  const std::string lora = LoraFile(**GgufFile::Open(kDemoModel)).Write("packed_lora.gguf");
  EXPECT_THAT(RunTool("generate " + packed + " --tokens 1 -n 2 --lora " + lora).err, HasSubstr("is packed"));
}

TEST(PerplexityTest, TextOfTheTrainingKindIsLikely) {
  const std::string likely = WriteTempFile("likely.txt",
                                           "And the LORD said unto Moses, Go in unto Pharaoh, and tell "
                                           "him, Thus saith the LORD, Let my people go.\n");
  const std::string unlikely =
      WriteTempFile("unlikely.txt", "zq xkcd 0x7f && || {} ;; vwx qqq zzz jjj ### $$$ @@@\n");
  const std::string start = std::string("perplexity --json ") + kDemoModel + " --text ";
  const json good = RunTool(start + likely).json(), bad = RunTool(start + unlikely).json();
  EXPECT_LT(good["perplexity"], 60);
  EXPECT_GT(bad["perplexity"], 4 * good["perplexity"].get<double>());
  EXPECT_NEAR(std::log(good["perplexity"].get<double>()), good["nll"].get<double>(), 1e-6);
  EXPECT_GT(good["nll_standard_error"], 0);
}

TEST(BenchTest, ReportsEveryRepetitionBesideTheMachine) {
  const json document = RunTool(std::string("bench --json --threads 1 --prompt-tokens 8 --generate-tokens 4 "
                                            "--repetitions 2 --sparsity dense ") +
                                kDemoModel)
                            .json();
  EXPECT_EQ(document["prefill_tokens_per_second"].size(), 2u);
  EXPECT_EQ(document["decode_tokens_per_second"].size(), 2u);
  EXPECT_THAT(document["decode_tokens_per_second"].get<std::vector<double>>(), Each(Gt(0)));
  EXPECT_GT(document["read_bandwidth_bytes_per_second"], 0);
  EXPECT_GT(document["share_of_read_bandwidth"], 0);
  EXPECT_GT(document["prefill_operations_per_second"], 0);
  EXPECT_GT(document["peak_operations_per_second"], 0);
  // A token reads all weights but the embeddings, once: not half as much, nor twice.
  const double file_bytes = static_cast<double>(ReadFile(kDemoModel).size());
  EXPECT_GT(document["bytes_touched_per_token"], 0.5 * file_bytes);
  EXPECT_LT(document["bytes_touched_per_token"], 2 * file_bytes);
}

TEST(BenchTest, SparseDecodeTouchesFewerBytes) {
  const std::string start =
      std::string("bench --json --threads 1 --prompt-tokens 8 --generate-tokens 4 --repetitions 1 ") +
      kPredictedModel + " --sparsity ";
  EXPECT_LT(RunTool(start + "predicted").json()["bytes_touched_per_token"],
            RunTool(start + "dense").json()["bytes_touched_per_token"]);
}

TEST(QuantizeTest, WritesASmallerModelThatRuns) {
  const std::string out = TempPath("q4.gguf");
  std::remove(out.c_str());
  const ToolResult result = RunTool(std::string("quantize --json ") + kDemoModel + " " + out + " Q4_0");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LT(result.json()["output_bytes"], result.json()["input_bytes"]);
  EXPECT_EQ(RunTool(Generate(out, "")).json()["tokens"].size(), 24u);
}

TEST(QuantizeTest, TypesAreTakenInSmallLettersToo) {
  const std::string out = TempPath("q4.gguf");
  std::remove(out.c_str());
  const ToolResult result = RunTool(std::string("quantize --json ") + kDemoModel + " " + out + " q4_k");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["type"], "Q4_K");
}

TEST(QuantizeTest, ForceReplacesAFileThatExists) {
  const std::string out = WriteTempFile("q4.gguf", "old");
  const std::string start = std::string("quantize ") + kDemoModel + " " + out + " Q4_0";
  EXPECT_EQ(RunTool(start).exit_code, 1);
  EXPECT_EQ(ReadFile(out), "old");
  EXPECT_EQ(RunTool(start + " --force").exit_code, 0);
  EXPECT_EQ(RunTool("inspect " + out).exit_code, 0);
}

// The fixture has learned 32 positions; others would be the default.
constexpr char kFewPositions[] = "tests/engine/model/fixtures/learned_positions.gguf";

TEST(ContextTest, DefaultIsNoMoreThanTheModelWasTrainedFor) {
  const json model = RunTool(std::string("inspect --json ") + kFewPositions).json()["model"];
  EXPECT_EQ(model["memory"]["context"], model["trained_context"]);
  const ToolResult generated =
      RunTool(std::string("generate ") + kFewPositions + " --tokens 1,2 -n 4 --json");
  EXPECT_EQ(generated.exit_code, 0) << generated.err;
  EXPECT_EQ(generated.err, "");
}

TEST(ContextTest, GoingPastTheTrainedLengthIsSaidOnce) {
  const json demo = RunTool(std::string("inspect --json ") + kDemoModel).json()["model"];
  const std::string tokens = std::to_string(demo["trained_context"].get<int>() + 8);
  const ToolResult result =
      RunTool(std::string("generate ") + kDemoModel + " --tokens 1 --ignore-eos --json -n " + tokens);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("that the model was trained for"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

constexpr char kCluster[] = R"({"hosts": [
  {"name": "a", "devices": [{"name": "cpu", "kind": "cpu", "memory": "1GiB", "read_bytes_per_s": 4e8,
                             "operations_per_s": 1e12}]},
  {"name": "b", "devices": [{"name": "cpu", "kind": "cpu", "memory": "1GiB", "read_bytes_per_s": 4e8,
                             "operations_per_s": 1e12}],
   "link": {"round_trip_us": ROUND_TRIP, "bytes_per_s": 1e9}}]})";

std::string ClusterWithRoundTrip(const std::string& us) {
  std::string text = kCluster;
  return text.replace(text.find("ROUND_TRIP"), 10, us);
}

TEST(PlanTest, NearHostHelpsAndFarHostDoesNot) {
  const auto plan_with = [](const std::string& round_trip_us) {
    const std::string path = WriteTempFile("cluster.json", ClusterWithRoundTrip(round_trip_us));
    return RunTool("plan --json --context 512 --cluster " + path + " --model " + kDemoModel).json();
  };
  const json near = plan_with("20"), far = plan_with("100000");
  EXPECT_GT(near["devices"][1]["groups"], 0);
  EXPECT_EQ(far["devices"][1]["groups"], 0);
  EXPECT_LT(near["time_per_token_us"], far["time_per_token_us"]);
  EXPECT_THAT(far["explanation"].dump(),
              HasSubstr("Host b gets nothing: sending to it and back takes 100.00 ms"));
}

TEST(PlanTest, AdapterTakesMemoryAndTime) {
  const std::string cluster = WriteTempFile("cluster.json", ClusterWithRoundTrip("20"));
  const std::string plan = "plan --json --context 512 --cluster " + cluster + " --model " + kDemoModel;
  const std::string lora = LoraFile(**GgufFile::Open(kDemoModel), 64).Write("plan.gguf");
  EXPECT_GT(RunTool(plan + " --sparsity dense --lora " + lora).json()["time_per_token_us"],
            RunTool(plan + " --sparsity dense").json()["time_per_token_us"]);
}

TEST(PlanTest, SlowLinkServesOneStreamAndNotEight) {
  std::string text = ClusterWithRoundTrip("20");
  text.replace(text.find("1e9}}"), 3, "5e6");
  const std::string path = WriteTempFile("cluster.json", text);
  const auto plan_for = [&](const std::string& objective) {
    return RunTool("plan --json --context 512 --cluster " + path + " --model " + kDemoModel +
                   " --objective " + objective)
        .json();
  };
  const json one = plan_for("latency"), eight = plan_for("throughput:8");
  EXPECT_GT(one["devices"][1]["groups"], 0);
  EXPECT_EQ(eight["devices"][1]["groups"], 0);
  EXPECT_EQ(eight["objective"], "throughput:8");
  EXPECT_GT(eight["tokens_per_second"], one["expected"][1]["tokens_per_second"]);
  EXPECT_THAT(eight["explanation"].dump(), HasSubstr("The plan is for 8 streams at a time"));
  EXPECT_THAT(plan_for("prompt")["explanation"].dump(), HasSubstr("a chunk of 512 tokens"));
}

// A profile of the demo model in which each neuron fires for this share of the tokens.
std::string WriteProfile(const std::string& name, float share) {
  GgufWriter writer;
  DescribeProfile(*GgufFile::Open(kDemoModel).value(), 1000,
                  std::vector<std::vector<float>>(5, std::vector<float>(768, share)), writer);
  const std::string path = TempPath(name);
  EXPECT_TRUE(writer.Write(path).ok());
  return path;
}

TEST(PlanTest, ProfileOfAnotherFileDecidesHowMuchATokenReads) {
  const std::string cluster = WriteTempFile("cluster.json", ClusterWithRoundTrip("20"));
  const auto time_with = [&](const std::string& profile) {
    const ToolResult result = RunTool("plan --json --context 512 --sparsity exact --cluster " + cluster +
                                      " --model " + kDemoModel + " --profile " + profile);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.json()["time_per_token_us"].get<double>();
  };
  EXPECT_LT(time_with(WriteProfile("rare.gguf", 0.01f)), 0.9 * time_with(WriteProfile("always.gguf", 1.0f)));
}

}  // namespace
}  // namespace hearth
