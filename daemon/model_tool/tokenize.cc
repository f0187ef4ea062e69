#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/print_json.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"
#include "engine/token/tokenizer.h"

namespace hearth::model_tool {
namespace {

struct TokenizeFlags {
  std::string path;
  bool json = false;
  bool special = false;
  bool no_add_special = false;
};

// The text that a line stands for: a JSON string with --json, else the line itself.
absl::StatusOr<std::string> TextOfLine(const std::string& line, size_t number, bool json) {
  if (!json) return line;
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!value.is_string()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "line ", number, " of the input is not a JSON string in UTF-8; expected for example \"some text\""));
  }
  return value.get<std::string>();
}

absl::Status Tokenize(const TokenizeFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          Tokenizer::FromMetadata(file->metadata()));
  const Tokenizer::EncodeOptions options{.add_special = !flags.no_add_special,
                                         .parse_special = flags.special};
  for (size_t number = 1;; ++number) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> line, ReadStandardInputLine());
    if (!line) return absl::OkStatus();
    HEARTH_ASSIGN_OR_RETURN(const std::string text, TextOfLine(*line, number, flags.json));
    const std::vector<TokenId> tokens = tokenizer->Encode(text, options);
    HEARTH_RETURN_IF_ERROR(flags.json ? PrintJson(tokens) : Print(absl::StrJoin(tokens, " ") + "\n"));
  }
}

}  // namespace

void AddTokenize(CLI::App& app, Job& job) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = app.add_subcommand(
      "tokenize",
      "reads lines on stdin and prints the token ids of each; with --json lines are JSON strings");
  command->add_option("model", flags->path, "a GGUF file with a vocabulary")->required();
  command->add_flag("--json", flags->json, "read JSON strings, print JSON arrays");
  command->add_flag("--special", flags->special, "special tokens written in the text become their ids");
  command->add_flag("--no-add-special", flags->no_add_special,
                    "no BOS or EOS, whatever the vocabulary wants");
  command->callback([flags, &job] { job = [flags] { return Tokenize(*flags); }; });
}

}  // namespace hearth::model_tool
