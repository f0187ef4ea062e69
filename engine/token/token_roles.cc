#include "engine/token/token_roles.h"

#include <algorithm>
#include <string>

#include "absl/container/btree_set.h"
#include "absl/strings/ascii.h"
#include "absl/types/span.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

using Texts = absl::Span<const std::string_view>;

constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",      "<|end_of_text|>",
    "<EOT>",      "_<EOT>",     "[EOT]",   "<｜end▁of▁sentence｜>", "<end_of_utterance>",
};
constexpr std::string_view kEndOfMessage[] = {"<|eom_id|>"};
constexpr std::string_view kFimPrefix[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",    "<｜fim▁begin｜>",
    "<PRE>",          "▁<PRE>",       "<|code_prefix|>", "<|prefix|>",
};
constexpr std::string_view kFimSuffix[] = {
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",    "<｜fim▁hole｜>",
    "<SUF>",          "▁<SUF>",       "<|code_suffix|>", "<|suffix|>",
};
constexpr std::string_view kFimMiddle[] = {
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>",    "<｜fim▁end｜>",
    "<MID>",          "▁<MID>",       "<|code_middle|>", "<|middle|>",
};
constexpr std::string_view kFimPadding[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
constexpr std::string_view kFimRepository[] = {
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
};
constexpr std::string_view kFimFileSeparator[] = {"<|file_sep|>"};

constexpr std::string_view kEndOfGeneration[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
};
// Parts of a tool-calling format that readers of the output need to see.
constexpr std::string_view kAlwaysVisible[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

// Sets `*id`, unless the file gave it, to the first token written as one of `texts` and makes it a control
// token.
void FindRole(Texts texts, Vocabulary* vocabulary, TokenId* id) {
  if (*id != kNoToken) return;
  TokenId first = kNoToken;
  for (std::string_view text : texts) {
    const TokenId found = vocabulary->Find(text);
    if (found != kNoToken && (first == kNoToken || found < first)) first = found;
  }
  if (first == kNoToken) return;
  *id = first;
  vocabulary->attributes[first] |= kControlToken;
}

void SetAttribute(std::string_view text, uint16_t attributes, Vocabulary* vocabulary) {
  const TokenId id = vocabulary->Find(text);
  if (id != kNoToken) vocabulary->attributes[id] = attributes;
}

void Insert(TokenId id, absl::btree_set<TokenId>* ids) {
  if (id != kNoToken) ids->insert(id);
}

// Formats in which a token that looks final is not: "<|end|>" closes only a message where calls and returns
// have tokens of their own, "</s>" is text where "<|tool_response>" exists.
void RemoveFalseEnds(Vocabulary* vocabulary, absl::btree_set<TokenId>* ends) {
  const auto ends_with = [&](std::string_view text) { return ends->contains(vocabulary->Find(text)); };
  const auto remove = [&](std::string_view text, uint16_t attributes) {
    if (!ends_with(text)) return;
    ends->erase(vocabulary->Find(text));
    SetAttribute(text, attributes, vocabulary);
  };
  const bool calls = ends_with("<|call|>") || ends_with("<|calls|>");
  if (calls && (ends_with("<|return|>") || ends_with("<|flush|>"))) remove("<|end|>", kUserDefinedToken);
  if (ends_with("<|tool_response>")) remove("</s>", kNormalToken);
}

bool ContainsAny(std::string_view text, Texts parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

void SetStrip(std::string_view text, uint16_t side, bool on, Vocabulary* vocabulary) {
  const TokenId id = vocabulary->Find(text);
  if (id == kNoToken) return;
  uint16_t& attributes = vocabulary->attributes[id];
  attributes = on ? attributes | side : attributes & ~side;
}

}  // namespace

void FindEndTokens(FillInMiddleTokens fim, Vocabulary* vocabulary) {
  FindRole(kEndOfTurn, vocabulary, &vocabulary->eot);
  FindRole(kEndOfMessage, vocabulary, &vocabulary->eom);
  FindRole(kFimPrefix, vocabulary, &fim.prefix);
  FindRole(kFimSuffix, vocabulary, &fim.suffix);
  FindRole(kFimMiddle, vocabulary, &fim.middle);
  FindRole(kFimPadding, vocabulary, &fim.padding);
  FindRole(kFimRepository, vocabulary, &fim.repository);
  FindRole(kFimFileSeparator, vocabulary, &fim.file_separator);

  absl::btree_set<TokenId> ends;
  Insert(fim.padding, &ends);
  Insert(fim.repository, &ends);
  Insert(fim.file_separator, &ends);
  for (std::string_view text : kEndOfGeneration) {
    const TokenId id = vocabulary->Find(text);
    if (id == kNoToken) continue;
    ends.insert(id);
    vocabulary->attributes[id] |= kControlToken;
  }
  for (std::string_view text : kAlwaysVisible) SetAttribute(text, kUserDefinedToken, vocabulary);
  Insert(vocabulary->eos, &ends);
  Insert(vocabulary->eot, &ends);
  Insert(vocabulary->eom, &ends);
  RemoveFalseEnds(vocabulary, &ends);
  vocabulary->end_of_generation.assign(ends.begin(), ends.end());
}

void SetStripping(std::string_view model_name, std::string_view architecture, std::string_view pre_tokenizer,
                  Vocabulary* vocabulary) {
  const std::string name = absl::AsciiStrToLower(AbslView(model_name));
  constexpr std::string_view kMaskPreTokenizers[] = {"jina-v2-de", "jina-v2-es", "jina-v2-code"};
  constexpr std::string_view kMaskArchitectures[] = {"nomic-bert-moe", "jina-bert-v3"};
  constexpr std::string_view kPhi3[] = {"phi-3", "phi3"};
  if (ContainsAny(pre_tokenizer, kMaskPreTokenizers) || ContainsAny(architecture, kMaskArchitectures)) {
    SetStrip("<mask>", kStripsLeft, true, vocabulary);
  } else if (ContainsAny(name, kPhi3)) {
    for (uint16_t& attributes : vocabulary->attributes) {
      if (attributes & (kControlToken | kUserDefinedToken | kUnknownToken)) attributes |= kStripsRight;
    }
    SetStrip("</s>", kStripsRight, true, vocabulary);
    for (std::string_view text : {"<unk>", "<s>", "<|endoftext|>"}) {
      SetStrip(text, kStripsRight, false, vocabulary);
    }
  } else if (name.find("modern-bert") != std::string::npos) {
    SetStrip("[MASK]", kStripsLeft, true, vocabulary);
  }
}

}  // namespace hearth
