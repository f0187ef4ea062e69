// Bad input to hearth-model: one clear line on stderr, a non-zero exit code, nothing on stdout.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/daemon/model_tool/run_tool.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

void ExpectFails(const std::string& arguments, const std::string& message, const std::string& input = "") {
  const ToolResult result = RunTool(arguments, input);
  EXPECT_GT(result.exit_code, 0) << arguments;
  EXPECT_EQ(result.out, "") << arguments;
  EXPECT_THAT(result.err, StartsWith("hearth-model: "));
  EXPECT_THAT(result.err, HasSubstr(message));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

std::string Logits(const std::string& more) {
  return std::string("logits ") + kDemoModel + " --out " + TempPath("logits.npy") + " " + more;
}

TEST(ErrorTest, NoCommand) { ExpectFails("", "A subcommand is required"); }

TEST(ErrorTest, UnknownCommandOrFlag) {
  ExpectFails("dance", "unknown command dance");
  ExpectFails(std::string("inspect --bogus ") + kDemoModel, "--bogus");
}

TEST(ErrorTest, MissingFile) {
  for (const char* command :
       {"inspect", "tokenize", "logits --tokens 1 --out l.npy", "generate --tokens 1", "bench"}) {
    ExpectFails(std::string(command) + " /nonexistent/model.gguf", "/nonexistent/model.gguf");
  }
}

TEST(ErrorTest, TruncatedFile) {
  const std::string bytes = ReadFile(kDemoModel);
  for (size_t size : {size_t{10}, size_t{2000}, bytes.size() / 2}) {
    const std::string path = WriteTempFile("truncated.gguf", bytes.substr(0, size));
    ExpectFails("inspect " + path, path);
    ExpectFails("logits --tokens 1 --out l.npy " + path, path);
  }
}

TEST(ErrorTest, FileOfAnotherKind) {
  ExpectFails("inspect " + WriteTempFile("text.gguf", "this is no model, it is a text of some length\n"),
              "GGUF");
  ExpectFails("inspect " + WriteTempFile("empty.gguf", ""), "empty");
}

TEST(ErrorTest, TokensOutsideTheVocabulary) {
  ExpectFails(Logits("--tokens 1,999999"), "id 999999 at position 1 is outside the vocabulary");
  ExpectFails(Logits("--tokens 1,-1"), "\"-1\" is no token id");
  ExpectFails(Logits("--tokens 1,99999999999999999999"), "is no token id");
}

TEST(ErrorTest, TokensThatAreNoNumbers) {
  ExpectFails(Logits("--tokens 1,two"), "\"two\" is no token id");
  ExpectFails(Logits("--tokens 1,,2"), "\"\" is no token id");
  ExpectFails(Logits(""), "--tokens is required");
}

TEST(ErrorTest, UnwritableOutput) {
  ExpectFails(std::string("logits --tokens 1 --out /nonexistent/l.npy ") + kDemoModel, "/nonexistent/l.npy");
}

TEST(ErrorTest, SparsityThatTheModelCannotHave) {
  ExpectFails(Logits("--tokens 1 --sparsity predicted"), "predictors");
  ExpectFails(Logits("--tokens 1 --sparsity lots"), "lots");
}

TEST(ErrorTest, MoreTokensThanTheContext) {
  ExpectFails(Logits("--tokens 1,2,3 --context 2"), "3 tokens do not fit the context of 2");
  ExpectFails(std::string("generate ") + kDemoModel + " --tokens 1 -n 600 --context 512",
              "601 tokens do not fit the context of 512");
}

TEST(ErrorTest, BadDevices) {
  ExpectFails(Logits("--tokens 1 --devices 0"), "from 1 to 64");
  ExpectFails(Logits("--tokens 1 --devices 'a;a'"), "a device of this name is there already");
  ExpectFails(Logits("--tokens 1 --devices 'a,memory=1K'"), "are missing");
  ExpectFails(Logits("--tokens 1 --devices 'a,kind=gpu'"), "a is a gpu");
}

TEST(ErrorTest, BadNumbersInFlags) {
  ExpectFails(Logits("--tokens 1 --threads 0"), "--threads");
  ExpectFails(Logits("--tokens 1 --kv-type f64"), "--kv-type");
  ExpectFails(Logits("--tokens 1 --rope-scaling sideways"), "sideways");
  ExpectFails(std::string("generate ") + kDemoModel + " --tokens 1 --temperature -1", "temperature");
}

TEST(ErrorTest, PromptAndTokensExcludeOneAnother) {
  ExpectFails(std::string("generate ") + kDemoModel, "prompt");
  ExpectFails(std::string("generate ") + kDemoModel + " --tokens 1 --prompt a", "prompt");
}

TEST(ErrorTest, TokenizeNamesTheLineThatIsNoJsonString) {
  const ToolResult result = RunTool(std::string("tokenize --json ") + kDemoModel, "\"good\"\nnot json\n");
  EXPECT_GT(result.exit_code, 0);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1);
  EXPECT_THAT(result.err, HasSubstr("line 2 of the input is not a JSON string"));
  ExpectFails(std::string("tokenize --json ") + kDemoModel, "line 1", "[1, 2]\n");
  ExpectFails(std::string("tokenize --json ") + kDemoModel, "line 1", "\"\xff\xfe\"\n");
}

TEST(ErrorTest, PerplexityNeedsText) {
  ExpectFails(std::string("perplexity ") + kDemoModel + " --text /nonexistent.txt", "/nonexistent.txt");
  ExpectFails(std::string("perplexity ") + kDemoModel + " --text " + WriteTempFile("empty.txt", ""),
              "holds no text");
}

TEST(ErrorTest, QuantizeToAnUnknownType) {
  ExpectFails(std::string("quantize ") + kDemoModel + " " + TempPath("out.gguf") + " Q99",
              "unknown type Q99");
}

TEST(ErrorTest, PlanForABadCluster) {
  const std::string path = WriteTempFile("cluster.json", R"({"hosts": [{"name": "a"}]})");
  ExpectFails("plan --cluster " + path + " --model " + kDemoModel, "hosts[0]: \"devices\" must be an array");
  ExpectFails(std::string("plan --cluster /nonexistent.json --model ") + kDemoModel, "/nonexistent.json");
}

TEST(ErrorTest, PlanWithAProfileThatIsNone) {
  const std::string path =
      WriteTempFile("cluster.json", R"({"hosts": [{"name": "a", "devices": [{"name": "cpu",
      "kind": "cpu", "memory": "1GiB", "read_bytes_per_s": 1e9, "operations_per_s": 1e12}]}]})");
  ExpectFails("plan --cluster " + path + " --model " + kPredictedModel +
                  " --profile tests/engine/model/fixtures/llama_relu.gguf",
              "holds no profile of this model");
}

}  // namespace
}  // namespace hearth
