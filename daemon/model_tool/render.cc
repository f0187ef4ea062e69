#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/print_json.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/chat/chat_templates.h"
#include "engine/chat/chat_tokens.h"
#include "engine/chat/json_text.h"
#include "engine/command_line/program.h"
#include "engine/file/gguf.h"
#include "engine/token/tokenizer.h"

namespace hearth::model_tool {
namespace {

using Json = nlohmann::ordered_json;

struct RenderFlags {
  std::string path;
  std::string messages;
  std::string tools;
  std::string variables;
  std::string template_name;
  bool add_generation_prompt = false;
  bool tokens = false;
};

constexpr size_t kMaxJsonBytes = size_t{64} << 20;

absl::StatusOr<Json> ReadJson(const std::string& what, const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadInputFile(path, kMaxJsonBytes));
  return ParseJson(absl::StrCat(what, " ", Printable(path)), text);
}

absl::StatusOr<Conversation> ReadConversation(const RenderFlags& flags) {
  Conversation conversation;
  conversation.template_name = flags.template_name;
  conversation.add_generation_prompt = flags.add_generation_prompt;
  HEARTH_ASSIGN_OR_RETURN(conversation.messages, ReadJson("--messages", flags.messages));
  if (!conversation.messages.is_array()) {
    return absl::InvalidArgumentError(
        "--messages must hold an array of messages, such as [{\"role\": \"user\", \"content\": \"Hello\"}]");
  }
  if (!flags.tools.empty()) {
    HEARTH_ASSIGN_OR_RETURN(conversation.tools, ReadJson("--tools", flags.tools));
    if (!conversation.tools.is_array())
      return absl::InvalidArgumentError("--tools must hold an array of tools");
  }
  if (!flags.variables.empty()) {
    HEARTH_ASSIGN_OR_RETURN(conversation.variables, ReadJson("--variables", flags.variables));
    if (!conversation.variables.is_object()) {
      return absl::InvalidArgumentError(
          "--variables must hold an object, such as {\"enable_thinking\": false}");
    }
  }
  return conversation;
}

absl::Status Render(const RenderFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const Conversation conversation, ReadConversation(flags));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          Tokenizer::FromMetadata(file->metadata()));
  const ChatTemplates chat = ChatTemplates::FromMetadata(file->metadata(), *tokenizer);
  HEARTH_ASSIGN_OR_RETURN(const jinja::Rendered rendered,
                          chat.Render(conversation, absl::Now(), absl::LocalTimeZone()));
  if (!flags.tokens) return Print(rendered.text);
  return PrintJson(ChatTokens(*tokenizer, rendered));
}

}  // namespace

void AddRender(CLI::App& app, Job& job) {
  auto flags = std::make_shared<RenderFlags>();
  CLI::App* command = app.add_subcommand(
      "render", "applies the model's chat template to messages and prints the text, nothing added");
  command->add_option("model", flags->path, "a GGUF file with a chat template")->required();
  command->add_option("--messages", flags->messages, "a JSON file: [{\"role\": ..., \"content\": ...}, ...]")
      ->required();
  command->add_option("--tools", flags->tools, "a JSON file: an array of tools");
  command->add_option("--variables", flags->variables,
                      "a JSON file: an object with further variables of the template");
  command->add_option(
      "--template", flags->template_name,
      "the template's name; default: tool_use where there are tools and such a one, else default");
  command->add_flag("--add-generation-prompt", flags->add_generation_prompt,
                    "end where the assistant's answer begins");
  command->add_flag("--json", flags->tokens, "print the token ids instead, as a JSON array");
  command->callback([flags, &job] { job = [flags] { return Render(*flags); }; });
}

}  // namespace hearth::model_tool
