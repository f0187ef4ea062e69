#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/session.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/flags.h"
#include "engine/model/pooling.h"
#include "engine/sample/sampler.h"

namespace hearth::model_tool {
namespace {

struct EmbedFlags {
  ModelFlags model;
  std::vector<std::string> texts;
  std::vector<TokenId> tokens;  // one more input
  std::string pooling;          // empty: what the file says
  uint32_t dimensions = 0;
  bool keep_length = false;
};

struct PoolingName {
  const char* name;
  Pooling pooling;
};
constexpr PoolingName kPoolings[] = {
    {"mean", Pooling::kMean}, {"cls", Pooling::kCls}, {"last", Pooling::kLast}};

Pooling PoolingNamed(const std::string& name, const std::optional<Pooling>& of_file) {
  for (const PoolingName& known : kPoolings) {
    if (name == known.name) return known.pooling;
  }
  return of_file.value_or(Pooling::kMean);
}

const char* NameOf(Pooling pooling) {
  for (const PoolingName& known : kPoolings) {
    if (known.pooling == pooling) return known.name;
  }
  return "";
}

// The inputs as tokens: the texts, then the tokens.
absl::StatusOr<std::vector<std::vector<TokenId>>> Inputs(const EmbedFlags& flags) {
  std::vector<std::vector<TokenId>> inputs;
  if (!flags.texts.empty()) {
    HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.model.path));
    HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                            Tokenizer::FromMetadata(file->metadata()));
    for (const std::string& text : flags.texts) {
      if (!text.empty()) inputs.push_back(tokenizer->Encode(text, {.add_special = true}));
      if (text.empty() || inputs.back().empty()) {
        return absl::InvalidArgumentError("a text is empty; give each --text at least one token");
      }
    }
  }
  if (!flags.tokens.empty()) inputs.push_back(flags.tokens);
  if (inputs.empty()) return absl::InvalidArgumentError("there is nothing to embed; give --text or --tokens");
  return inputs;
}

// The vector of one input, read from the start of sequence 0.
absl::StatusOr<std::vector<float>> Embed(Session& session, const std::vector<TokenId>& tokens,
                                         const EmbeddingOptions& options) {
  HEARTH_RETURN_IF_ERROR(session.Clear());
  Decoder& decoder = session.decoder();
  Pooler pooler(options, session.model().spec().n_embd);
  std::vector<BatchRow> rows;
  while (pooler.tokens() < tokens.size()) {
    rows.clear();
    const size_t end = std::min<size_t>(tokens.size(), pooler.tokens() + decoder.options().max_rows);
    for (uint32_t t = pooler.tokens(); t < end; ++t) {
      rows.push_back({.position = t, .token = tokens[t], .prompt = true, .want_state = true});
    }
    HEARTH_RETURN_IF_ERROR(decoder.Step(rows, {}));
    HEARTH_RETURN_IF_ERROR(CheckLogits(decoder.states()));
    pooler.Add(decoder.states());
  }
  return pooler.Finish();
}

absl::Status EmbedAll(const EmbedFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<std::vector<TokenId>> inputs, Inputs(flags));
  size_t longest = 0;
  for (const std::vector<TokenId>& tokens : inputs) longest = std::max(longest, tokens.size());
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(flags.model, longest));
  const ModelSpec& spec = session->model().spec();
  if (flags.dimensions > spec.n_embd) {
    return absl::InvalidArgumentError(absl::StrCat("--dimensions is ", flags.dimensions, "; 1 to ",
                                                   spec.n_embd, " can be had of this model"));
  }
  const EmbeddingOptions options{PoolingNamed(flags.pooling, spec.pooling), flags.dimensions,
                                 flags.keep_length};
  nlohmann::json document = {{"pooling", NameOf(options.pooling)}, {"embeddings", nlohmann::json::array()}};
  for (const std::vector<TokenId>& tokens : inputs) {
    HEARTH_RETURN_IF_ERROR(CheckTokenIds(tokens, session->vocab_size()));
    HEARTH_ASSIGN_OR_RETURN(const std::vector<float> vector, Embed(*session, tokens, options));
    document["dimensions"] = vector.size();
    document["embeddings"].push_back({{"tokens", tokens}, {"values", vector}});
    if (!flags.model.json) HEARTH_RETURN_IF_ERROR(Print(absl::StrCat(absl::StrJoin(vector, " "), "\n")));
  }
  return flags.model.json ? PrintJson(document) : absl::OkStatus();
}

}  // namespace

void AddEmbed(CLI::App& app, Job& job) {
  auto flags = std::make_shared<EmbedFlags>();
  CLI::App* command =
      app.add_subcommand("embed", "prints the vectors that stand for texts, each divided by its length");
  AddModelFlags(*command, flags->model);
  command->add_option("--text", flags->texts, "a text; may be given more than once")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddTokensFlag(*command, flags->tokens, "token ids of one more input, for example 1,2,3");
  command
      ->add_option("--pooling", flags->pooling,
                   "what becomes of the tokens' states: mean, cls (the first) or last; default: as the file "
                   "says, else mean")
      ->check(CLI::IsMember({"mean", "cls", "last"}));
  AddWholeNumber<uint32_t>(*command, "--dimensions", flags->dimensions,
                           "keep so many values of each vector only; 0: all");
  command->add_flag("--keep-length", flags->keep_length, "leave the vectors as long as the model makes them");
  command->callback([flags, &job] { job = [flags] { return EmbedAll(*flags); }; });
}

}  // namespace hearth::model_tool
