// hearth-model render on a file with a vocabulary and a template and nothing else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/file/gguf_writer.h"
#include "tests/daemon/model_tool/run_tool.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr char kTemplate[] =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if tools %}[{{ tools | length }}]{% endif %}{% if add_generation_prompt %}<|assistant|>{% endif %}{{ "
    "x }}";

std::string ModelWith(const std::string& chat_template) {
  const GgufMetadata metadata = SpmMetadata({{"<|user|>", kControl}, {"<|assistant|>", kControl}});
  GgufWriter writer;
  for (const std::string& key : metadata.keys()) writer.Set(key, *metadata.Find(key));
  writer.Set("general.architecture", std::string("llama"));
  if (!chat_template.empty()) writer.Set("tokenizer.chat_template", chat_template);
  const std::string path = TempPath("model.gguf");
  EXPECT_TRUE(writer.Write(path).ok());
  return path;
}

std::string Messages(const std::string& text = R"([{"role": "user", "content": "Grüße\n"}])") {
  return " --messages " + WriteTempFile("messages.json", text);
}

TEST(RenderTest, PrintsTheExactTextAndNothingElse) {
  const std::string start = "render " + ModelWith(kTemplate) + Messages();
  const ToolResult result = RunTool(start);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "<s><|user|>Grüße\n");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(RunTool(start + " --add-generation-prompt").out, "<s><|user|>Grüße\n<|assistant|>");
}

TEST(RenderTest, ToolsAndVariablesReachTheTemplate) {
  const ToolResult result = RunTool("render " + ModelWith(kTemplate) + Messages("[]") + " --tools " +
                                    WriteTempFile("tools.json", "[{}, {}]") + " --variables " +
                                    WriteTempFile("variables.json", "{\"x\": \"!\"}"));
  EXPECT_EQ(result.out, "<s>[2]!") << result.err;
}

TEST(RenderTest, JsonGivesTheTokens) {
  const ToolResult result =
      RunTool("render --json " + ModelWith(kTemplate) +
              Messages(R"([{"role": "user", "content": "<|user|>"}])") + " --add-generation-prompt");
  const nlohmann::json ids = result.json();
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 260);
  // What the message says is text, and the role comes from it too.
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 259), 0);
}

// What `arguments` fail with, in one line.
std::string ErrorOf(const std::string& arguments) {
  const ToolResult result = RunTool("render " + arguments);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  return result.err;
}

TEST(RenderTest, TemplatesThatCannotBeUsedAreNamed) {
  EXPECT_THAT(ErrorOf(ModelWith("") + Messages()), HasSubstr("the model's file has no chat template"));
  EXPECT_THAT(ErrorOf(ModelWith("{{ x.y }}") + Messages()),
              HasSubstr("cannot be applied to these messages: line 1, column 5: 'x' is undefined"));
  EXPECT_THAT(ErrorOf(ModelWith("{% if") + Messages()),
              HasSubstr("the model's chat template 'default' cannot be read: line 1"));
  EXPECT_THAT(ErrorOf(ModelWith("x") + Messages() + " --template y"),
              HasSubstr("has no chat template called 'y'; it has: default"));
}

TEST(RenderTest, FilesThatCannotBeUsedAreNamed) {
  EXPECT_THAT(ErrorOf(ModelWith("x") + Messages("{")), HasSubstr("is not JSON in UTF-8"));
  EXPECT_THAT(ErrorOf(ModelWith("x") + Messages("{}")),
              HasSubstr("--messages must hold an array of messages"));
  EXPECT_THAT(ErrorOf(ModelWith("x") + Messages() + " --tools " + WriteTempFile("tools.json", "3")),
              HasSubstr("--tools must hold an array"));
  EXPECT_THAT(ErrorOf(ModelWith("x") + Messages() + " --variables " + WriteTempFile("variables.json", "[]")),
              HasSubstr("--variables must hold an object"));
  EXPECT_THAT(ErrorOf(ModelWith("x") + " --messages /nonexistent.json"), HasSubstr("/nonexistent.json"));
}

}  // namespace
}  // namespace hearth
