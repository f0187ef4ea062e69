// hearth-model profile: what it counts, the predictors that it makes, and how it refuses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/file/gguf.h"
#include "engine/file/gguf_writer.h"
#include "tests/daemon/model_tool/run_tool.h"
#include "tests/support/powerinfer_files.h"

namespace hearth {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

namespace fs = std::filesystem;

// A few hundred tokens in the manner of the demo model's text.
std::string Verses(int count) {
  static constexpr const char* kWords[] = {"the LORD", "said unto",     "Moses",    "the children of Israel",
                                           "went up",  "the house",     "of David", "and the king",
                                           "shall be", "upon the earth"};
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += std::string("And ") + kWords[i % 10] + " " + kWords[i * 7 % 10] + " " + kWords[i * 3 % 9] +
            (i % 4 == 3 ? ".\n" : ", ");
  }
  return text;
}

class ProfileTest : public ::testing::Test {
 protected:
  void TearDown() override {
    std::remove(out_.c_str());
    std::remove(svg_.c_str());
  }

  ToolResult Profile(const std::string& more, const std::string& model = kDemoModel) {
    return RunTool("profile " + model + " --text " + text_ + " --out " + out_ + " " + more);
  }

  void ExpectFails(const ToolResult& result, const std::string& message) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, StartsWith("hearth-model: "));
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  }

  const std::string text_ = WriteTempFile("text", Verses(200));
  const std::string out_ = TempPath("out.profile"), svg_ = TempPath("out.svg");
};

TEST_F(ProfileTest, CountsWhatTheModelCarries) {
  const ToolResult result = Profile("--json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json document = result.json();
  ASSERT_EQ(document["layers"].size(), 5u);
  EXPECT_GT(document["tokens"], 500);
  // The demo model's own profile, of other text: 29.2, 6.1, 7.1, 10.3 and 15.1 % fire.
  EXPECT_NEAR(document["layers"][0]["firing"].get<double>(), 0.292, 0.06);
  EXPECT_NEAR(document["layers"][1]["firing"].get<double>(), 0.061, 0.02);
  const auto profile = GgufFile::Open(out_).value();
  const std::vector<float> shares = profile->metadata().GetFloats("hearth.profile.0").value().value();
  ASSERT_EQ(shares.size(), 768u);
  double sum = 0;
  for (const float share : shares) sum += share;
  EXPECT_NEAR(sum / 768, document["layers"][0]["firing"].get<double>(), 1e-5);
}

TEST_F(ProfileTest, IsTheSameForAnyNumberOfThreads) {
  ASSERT_EQ(Profile("--threads 1").exit_code, 0);
  const std::string alone = ReadFile(out_);
  ASSERT_EQ(Profile("--threads 3 --force").exit_code, 0);
  EXPECT_EQ(ReadFile(out_), alone);
}

TEST_F(ProfileTest, LayoutsOfOneModelFireAlike) {
  const json plain = Profile("--json").json();
  const json by_neuron = Profile("--json --force", kPredictedModel).json();
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(plain["layers"][i]["firing"].get<double>(), by_neuron["layers"][i]["firing"].get<double>(),
                0.002);
  }
}

TEST_F(ProfileTest, AThresholdCountsFewerNeurons) {
  const json all = Profile("--json").json(), strong = Profile("--json --force --threshold 0.5").json();
  EXPECT_LT(strong["layers"][0]["firing"], 0.9 * all["layers"][0]["firing"].get<double>());
}

TEST_F(ProfileTest, DrawsAPicture) {
  ASSERT_EQ(Profile("--svg " + svg_).exit_code, 0);
  EXPECT_THAT(ReadFile(svg_), HasSubstr("hearth-demo-q8_0.gguf: how often neurons fire"));
}

TEST_F(ProfileTest, PredictorsMakeAPlainModelPredicted) {
  const ToolResult made = Profile("--predictor --json --lost-mass 0.03");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  int predicted = 0;
  const json document = made.json();
  for (const json& layer : document["layers"]) {
    if (!layer.contains("predictor")) continue;
    ++predicted;
    EXPECT_LE(layer["predictor"]["lost_mass"], 0.035);
    EXPECT_LT(layer["predictor"]["kept"], 0.6);
    EXPECT_LT(layer["predictor"]["bytes_share"], 0.7);
  }
  EXPECT_GE(predicted, 3);
  const std::string with = std::string(kDemoModel) + " --profile " + out_;
  EXPECT_EQ(RunTool("inspect --json " + with).json()["model"]["sparsity"]["default"], "predicted");
  const auto perplexity = [&](const std::string& mode) {
    return RunTool("perplexity --json " + with + " --text " + text_ + " --sparsity " + mode)
        .json()["perplexity"]
        .get<double>();
  };
  const double dense = perplexity("dense"), by_predictors = perplexity("predicted");
  EXPECT_NE(by_predictors, dense);
  EXPECT_NEAR(by_predictors / dense, 1, 0.03);
  const auto bytes = [&](const std::string& mode) {
    return RunTool(
               "bench --json --repetitions 1 --prompt-tokens 4 --generate-tokens 8 --threads 1 --sparsity " +
               mode + " " + with)
        .json()["bytes_touched_per_token"]
        .get<double>();
  };
  EXPECT_LT(bytes("predicted"), 0.95 * bytes("exact"));
}

TEST_F(ProfileTest, ProfileBesideTheModelIsFound) {
  const std::string model = TempPath("model.gguf");
  fs::copy_file(kDemoModel, model, fs::copy_options::overwrite_existing);
  const std::string beside = TempPath("model.profile");
  std::remove(beside.c_str());
  ASSERT_EQ(RunTool("profile " + model + " --text " + text_ + " --max-tokens 100").exit_code, 0);
  EXPECT_TRUE(fs::exists(beside));
  const json found = RunTool("inspect --json " + model).json();
  EXPECT_EQ(found["model"]["sparsity"]["default"], "exact");
  EXPECT_THAT(found["model"]["sparsity"]["why"], HasSubstr("of the neurons fire"));
  EXPECT_EQ(found["model"]["sparsity"]["profile_tokens"], 101);  // with the one that begins the text
  for (const std::string& path : {model, beside}) std::remove(path.c_str());
}

// Killed at some moments while it counts, fits and writes: the place holds what was there, or all of the new.
TEST_F(ProfileTest, KilledHalfWayLeavesNoBrokenFile) {
  const std::string again = std::string(HEARTH_MODEL_TOOL) + " profile " + kDemoModel + " --text " + text_ +
                            " --force --predictor --out " + out_;
  for (const char* seconds : {"0.05", "0.2", "0.4", "0.8"}) {
    const std::string before = ReadFile(out_);
    std::system(("timeout -s KILL " + std::string(seconds) + " " + again + " >/dev/null 2>&1").c_str());
    const std::string after = ReadFile(out_);
    if (after != before) {
      EXPECT_TRUE(GgufFile::Open(out_).ok()) << seconds;
    }
  }
  EXPECT_EQ(Profile("--predictor --force").exit_code, 0);
  EXPECT_TRUE(GgufFile::Open(out_).ok());
}

TEST_F(ProfileTest, EmptyTextIsRefused) {
  const std::string empty = WriteTempFile("empty", "");
  ExpectFails(RunTool(std::string("profile ") + kDemoModel + " --text " + empty + " --out " + out_),
              "is empty");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(ProfileTest, AFileThatIsThereIsKept) {
  WriteTempFile("out.profile", "precious");
  ExpectFails(Profile(""), out_);
  EXPECT_EQ(ReadFile(out_), "precious");
}

TEST_F(ProfileTest, NeverReplacesTheModelOrTheText) {
  ExpectFails(RunTool("profile " + std::string(kDemoModel) + " --force --text " + text_ + " --out " + text_),
              text_);
  EXPECT_EQ(ReadFile(text_), Verses(200));
}

TEST_F(ProfileTest, ProfileOfAnotherModelIsRefusedByEveryCommand) {
  ASSERT_EQ(Profile("--max-tokens 50").exit_code, 0);
  const std::vector<std::string> commands = {"logits --tokens 1 --out " + TempPath("x.npy"),
                                             "generate --tokens 1", "bench", "perplexity --text " + text_};
  for (const std::string& command : commands) {
    ExpectFails(RunTool(command + " " + kPredictedModel + " --profile " + out_), "belongs to another model");
  }
}

TEST_F(ProfileTest, PredictorsNeedRelu) {
  ExpectFails(Profile("--predictor", "tests/engine/model/fixtures/llama_tied.gguf"), "no layer with ReLU");
}

TEST_F(ProfileTest, PowerInfersCountsBecomeAProfile) {
  const std::string folder = TempPath("activations");
  fs::create_directory(folder);
  for (int layer = 0; layer < 5; ++layer) {
    std::vector<float> counts(768);
    for (size_t i = 0; i < counts.size(); ++i) counts[i] = i % 4 == 0 ? 100 : 20;
    std::ofstream(folder + "/activation_" + std::to_string(layer) + ".pt") << TorchFile(counts);
  }
  const std::string convert = std::string("profile ") + kDemoModel + " --from " + folder + " --out " + out_;
  const ToolResult result = RunTool(convert + " --json --from-tokens 200 --svg " + svg_);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["tokens"], 200);
  EXPECT_NEAR(result.json()["layers"][4]["firing"].get<double>(), 0.2, 1e-6);
  const json found = RunTool(std::string("inspect --json ") + kDemoModel + " --profile " + out_).json();
  EXPECT_EQ(found["model"]["sparsity"]["why"], "its profile says that 20 % of the neurons fire");
  fs::remove(folder + "/activation_3.pt");
  ExpectFails(RunTool(convert + " --force"), "activation_3.pt");
  fs::remove_all(folder);
}

TEST_F(ProfileTest, APowerInferGpuIndexBecomesAProfile) {
  std::vector<std::pair<std::string, std::vector<int32_t>>> tensors;
  for (int layer = 0; layer < 5; ++layer) {
    tensors.push_back({"blk." + std::to_string(layer) + ".gpu_idx", std::vector<int32_t>(768, layer % 2)});
  }
  const std::string index = WriteTempFile("m.gpuidx", IntegerFile(tensors));
  const ToolResult result =
      RunTool(std::string("profile ") + kDemoModel + " --json --from " + index + " --out " + out_);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["tokens"], 0);
  EXPECT_GT(result.json()["layers"][1]["firing"], result.json()["layers"][0]["firing"]);
  ExpectFails(RunTool(std::string("profile ") + kDemoModel + " --force --from " + text_ + " --out " + out_),
              text_);
}

TEST_F(ProfileTest, NeedsATextOrCounts) {
  ExpectFails(RunTool(std::string("profile ") + kDemoModel + " --out " + out_), "give --text");
}

TEST_F(ProfileTest, TooLittleTextForAPredictor) {
  ExpectFails(Profile("--predictor --max-tokens 2"), "the text is too short");
  EXPECT_FALSE(fs::exists(out_));
}

}  // namespace
}  // namespace hearth
