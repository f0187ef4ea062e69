// Bad input to hearth-model: one clear line on stderr, a non-zero exit code, nothing on stdout.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
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
  return std::string("logits ") + kDemoModel + " --force --out " + TempPath("logits.npy") + " " + more;
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
  ExpectFails(std::string("quantize ") + kDemoModel + " /nonexistent/q.gguf Q4_0", "/nonexistent/q.gguf");
}

TEST(ErrorTest, OutputThatIsNoRegularFileIsKeptEvenByForce) {
  const std::string fifo = TempPath("fifo"), link = TempPath("link");
  for (const std::string& path : {fifo, link}) std::remove(path.c_str());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::filesystem::create_symlink(WriteTempFile("target", "old"), link);
  for (const char* force : {"", " --force"}) {
    for (const std::string& path : {std::string("/dev/null"), ::testing::TempDir(), fifo, link}) {
      ExpectFails(std::string("quantize ") + kDemoModel + " " + path + " Q4_0" + force,
                  "cannot write " + path);
      ExpectFails(std::string("logits ") + kDemoModel + " --tokens 1 --out " + path + force,
                  "cannot write " + path);
    }
  }
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
}

TEST(ErrorTest, InputIsNeverReplaced) {
  const std::string model = WriteTempFile("model.gguf", ReadFile(kDemoModel));
  const std::string before = ReadFile(model);
  ExpectFails("quantize --force " + model + " " + model + " Q4_0", "it is the file that is read");
  ExpectFails("logits --force " + model + " --tokens 1 --out " + model, "it is the file that is read");
  EXPECT_EQ(ReadFile(model), before);
}

TEST(ErrorTest, FullDiskLeavesNothing) {
  const std::string out = TempPath("q.gguf");
  std::remove(out.c_str());
  const std::string command = std::string("ulimit -f 100; ") + HEARTH_MODEL_TOOL + " quantize " + kDemoModel +
                              " " + out + " Q8_0 2>" + TempPath("stderr");
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
  EXPECT_THAT(ReadFile(TempPath("stderr")), HasSubstr("cannot write " + out + ": File too large"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(ErrorTest, StandardOutputThatCannotBeWritten) {
  for (const std::string& command :
       {std::string("inspect ") + kDemoModel, std::string("generate -n 2 --tokens 1 ") + kDemoModel,
        Logits("--tokens 1"), std::string("tokenize ") + kDemoModel, std::string("--help")}) {
    for (const char* where : {" >/dev/full", " >&-"}) {
      const ToolResult result = RunTool(command + where, "text\n");
      EXPECT_EQ(result.exit_code, 1) << command;
      EXPECT_THAT(result.err, StartsWith("hearth-model: cannot write to standard output: ")) << command;
    }
  }
}

TEST(ErrorTest, InputThatIsNoRegularFileIsToldApart) {
  const std::string fifo = TempPath("fifo");
  std::remove(fifo.c_str());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string quantize =
      std::string("quantize ") + kDemoModel + " " + TempPath("q.gguf") + " Q4_0 --imatrix ";
  for (const std::string& start :
       {std::string("perplexity ") + kDemoModel + " --text ",
        std::string("plan --model ") + kDemoModel + " --cluster ", std::string("inspect "), quantize}) {
    ExpectFails(start + ::testing::TempDir(), "is a directory");
    ExpectFails(start + fifo, "is not a regular file");
    ExpectFails(start + "/dev/zero", "is not a regular file");
    ExpectFails(start + "/nonexistent", "No such file or directory");
  }
}

TEST(ErrorTest, PathsThatAreNoUtf8AreShownEscaped) {
  const std::string model = TempPath("caf\xe9.gguf");
  std::filesystem::copy_file(kDemoModel, model, std::filesystem::copy_options::overwrite_existing);
  ExpectFails("inspect '" + model + "x'", "caf\\xe9.ggufx");
  const ToolResult bench =
      RunTool("bench --json --prompt-tokens 1 --generate-tokens 1 --repetitions 1 '" + model + "'");
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_TRUE(bench.json().is_object());
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
  ExpectFails(Logits("--tokens 1 --devices 'a,kind=gpu,number=63'"), "device a: ");  // nobody has so many
}

TEST(ErrorTest, BadNumbersInFlags) {
  ExpectFails(Logits("--tokens 1 --threads 0"), "--threads");
  ExpectFails(Logits("--tokens 1 --threads 100000"), "--threads: \"100000\" is no whole number from 1 to ");
  ExpectFails(Logits("--tokens 1 --devices 'a,threads=1000'"), "a has 1000 threads");
  ExpectFails(std::string("generate ") + kDemoModel + " --tokens 1 --seed -1",
              "--seed: \"-1\" is no whole number from 0 to 18446744073709551615");
  ExpectFails(std::string("generate ") + kDemoModel + " --tokens 1 -n -1", "--count: \"-1\"");
  ExpectFails(std::string("generate ") + kDemoModel + " --tokens ''", "--tokens: \"\" is no token id");
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
              "is empty; give a file with text");
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

TEST(ErrorTest, PlanForAnObjectiveThatIsNone) {
  const std::string plan = std::string("plan --cluster /nonexistent.json --model ") + kDemoModel;
  ExpectFails(plan + " --objective fast", "--objective: expected latency, throughput:N");
  ExpectFails(plan + " --objective throughput:1", "2 to 256");
  ExpectFails(plan + " --objective throughput:8 --sequences 4",
              "--objective throughput:8 takes --sequences 8 or more");
}

TEST(ErrorTest, PlanWithAProfileThatIsNone) {
  const std::string path =
      WriteTempFile("cluster.json", R"({"hosts": [{"name": "a", "devices": [{"name": "cpu",
      "kind": "cpu", "memory": "1GiB", "read_bytes_per_s": 1e9, "operations_per_s": 1e12}]}]})");
  ExpectFails("plan --cluster " + path + " --model " + kPredictedModel +
                  " --profile tests/engine/model/fixtures/llama_relu.gguf",
              "is no profile of a model");
}

}  // namespace
}  // namespace hearth
