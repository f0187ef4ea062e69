#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/seconds_since.h"
#include "daemon/model_tool/session.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/flags.h"
#include "engine/sample/sampler.h"

namespace hearth::model_tool {
namespace {

struct GenerateFlags {
  ModelFlags model;
  std::vector<TokenId> tokens;  // empty: the prompt is text
  std::string prompt;
  uint32_t count = 128;
  bool ignore_eos = false;
  bool special = false;
  std::optional<uint64_t> seed;
  SamplingOptions sampling;
};

struct Generated {
  std::vector<TokenId> tokens;
  std::string text;
  bool stopped = false;  // by a token that ends a generation
  double prefill_s = 0;
  double decode_s = 0;
};

using Clock = std::chrono::steady_clock;

absl::StatusOr<std::vector<TokenId>> PromptTokens(const GenerateFlags& flags) {
  if (!flags.tokens.empty()) return flags.tokens;
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.model.path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          Tokenizer::FromMetadata(file->metadata()));
  std::vector<TokenId> tokens =
      tokenizer->Encode(flags.prompt, {.add_special = true, .parse_special = flags.special});
  if (tokens.empty())
    return absl::InvalidArgumentError("the prompt is empty and the vocabulary adds no start token");
  return tokens;
}

// Continues the prompt; `show` gets whole characters as they come.
template <class Show>
absl::StatusOr<Generated> Continue(Session& session, const std::vector<TokenId>& prompt,
                                   const GenerateFlags& flags, Sampler& sampler, const Tokenizer* tokenizer,
                                   Show show) {
  Generated generated;
  std::optional<StreamDecoder> decoder;
  if (tokenizer != nullptr) decoder.emplace(*tokenizer, /*at_start_of_text=*/false);
  TokenId next = 0;
  const auto sample = [&](size_t, absl::Span<float> logits) {
    HEARTH_RETURN_IF_ERROR(CheckLogits(logits));
    next = sampler.Sample(logits);
    return absl::OkStatus();
  };
  for (TokenId token : prompt) sampler.Accept(token);
  const Clock::time_point start = Clock::now();
  HEARTH_RETURN_IF_ERROR(session.Append(prompt, false, sample, /*prompt=*/true));
  generated.prefill_s = SecondsSince(start);

  const Clock::time_point decode_start = Clock::now();
  while (generated.tokens.size() < flags.count) {
    if (!flags.ignore_eos && tokenizer != nullptr && tokenizer->IsEndOfGeneration(next)) {
      generated.stopped = true;
      break;
    }
    generated.tokens.push_back(next);
    sampler.Accept(next);
    if (decoder) {
      const std::string piece = decoder->Push(next);
      generated.text += piece;
      HEARTH_RETURN_IF_ERROR(show(piece));
    }
    if (generated.tokens.size() == flags.count) break;
    const TokenId last = next;
    HEARTH_RETURN_IF_ERROR(session.Append({&last, 1}, false, sample));
  }
  generated.decode_s = SecondsSince(decode_start);
  if (decoder) {
    const std::string rest = decoder->Flush();
    generated.text += rest;
    HEARTH_RETURN_IF_ERROR(show(rest));
  }
  return generated;
}

nlohmann::json ToJson(const Generated& generated, size_t prompt_tokens, uint64_t seed, bool has_text,
                      const Session& session) {
  nlohmann::json document = {{"tokens", generated.tokens},
                             {"text", nullptr},
                             {"prompt_tokens", prompt_tokens},
                             {"seed", seed},
                             {"finish_reason", generated.stopped ? "stop_token" : "length"},
                             {"prefill_seconds", generated.prefill_s},
                             {"decode_seconds", generated.decode_s},
                             {"devices", nlohmann::json::array()}};
  if (has_text) document["text"] = generated.text;
  const std::vector<std::string> names = session.device_names();
  const std::vector<DeviceCounters> counters = session.device_counters();
  for (size_t d = 0; d < names.size(); ++d) {
    document["devices"].push_back({{"name", names[d]},
                                   {"neurons_computed", counters[d].neurons_computed},
                                   {"neurons_held", counters[d].neurons_held}});
  }
  return document;
}

absl::Status Generate(const GenerateFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<TokenId> prompt, PromptTokens(flags));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                          Session::Open(flags.model, uint64_t{prompt.size()} + flags.count));
  HEARTH_RETURN_IF_ERROR(CheckTokenIds(prompt, session->vocab_size()));
  // Ids need no tokenizer: then there is no text, and nothing but the length ends the generation.
  const absl::StatusOr<const Tokenizer*> found = session->tokenizer();
  if (!found.ok() && flags.tokens.empty()) return found.status();
  const Tokenizer* tokenizer = found.ok() ? *found : nullptr;

  SamplingOptions sampling = flags.sampling;
  sampling.seed = flags.seed ? *flags.seed : RandomSeed();
  HEARTH_ASSIGN_OR_RETURN(Sampler sampler,
                          Sampler::Create(sampling, static_cast<int32_t>(session->vocab_size())));
  const auto show = [&](const std::string& piece) {
    return flags.model.json ? absl::OkStatus() : Print(piece);
  };
  HEARTH_ASSIGN_OR_RETURN(const Generated generated,
                          Continue(*session, prompt, flags, sampler, tokenizer, show));
  if (flags.model.json) {
    return PrintJson(ToJson(generated, prompt.size(), sampling.seed, tokenizer != nullptr, *session));
  }
  HEARTH_RETURN_IF_ERROR(tokenizer == nullptr ? PrintJson(generated.tokens) : Print("\n"));
  const size_t decoded = generated.tokens.empty() ? 0 : generated.tokens.size() - 1;
  absl::FPrintF(stderr, "%d prompt tokens in %.3f s, %d tokens at %.2f tokens/s, seed %d\n", prompt.size(),
                generated.prefill_s, generated.tokens.size(),
                generated.decode_s > 0 ? static_cast<double>(decoded) / generated.decode_s : 0.0,
                sampling.seed);
  return absl::OkStatus();
}

}  // namespace

void AddGenerate(CLI::App& app, Job& job) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "continues a prompt");
  AddModelFlags(*command, flags->model);
  CLI::Option_group* prompt = command->add_option_group("prompt");
  AddTokensFlag(*prompt, flags->tokens, "the prompt as token ids, for example 1,2,3");
  prompt->add_option("--prompt", flags->prompt, "the prompt as text");
  prompt->require_option(1);
  AddWholeNumber(*command, "-n,--count", flags->count, "tokens to generate at most", 1u, 1u << 24);
  SamplingOptions& sampling = flags->sampling;
  AddDecimal(*command, "--temperature", sampling.temperature, "0: always the likeliest token");
  AddWholeNumber(*command, "--top-k", sampling.top_k, "only the k likeliest tokens; 0: off");
  AddDecimal(*command, "--top-p", sampling.top_p,
             "only the likeliest tokens with this share together; 1: off");
  AddDecimal(*command, "--min-p", sampling.min_p,
             "only tokens with this share of the likeliest one's probability");
  AddDecimal(*command, "--repetition-penalty", sampling.repetition_penalty, "1: off");
  AddDecimal(*command, "--frequency-penalty", sampling.frequency_penalty, "0: off");
  AddDecimal(*command, "--presence-penalty", sampling.presence_penalty, "0: off");
  AddWholeNumber(*command, "--penalty-window", sampling.penalty_window,
                 "last tokens that count as seen; 0: all");
  AddWholeNumber<uint64_t>(
      *command, "--seed", [flags](uint64_t seed) { flags->seed = seed; },
      "makes the same text again; drawn, and reported, unless given");
  command->add_flag("--ignore-eos", flags->ignore_eos, "go on after tokens that end a text");
  command->add_flag("--special", flags->special, "special tokens written in the prompt become their ids");
  command->callback([flags, &job] { job = [flags] { return Generate(*flags); }; });
}

}  // namespace hearth::model_tool
