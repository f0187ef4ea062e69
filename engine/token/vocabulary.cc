#include "engine/token/vocabulary.h"

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/token/token_roles.h"

namespace hearth {
namespace {

constexpr char kTokensKey[] = "tokenizer.ggml.tokens";
constexpr char kScoresKey[] = "tokenizer.ggml.scores";
constexpr char kTypesKey[] = "tokenizer.ggml.token_type";
constexpr char kMergesKey[] = "tokenizer.ggml.merges";

template <class... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("vocabulary: ", parts...));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool IsByteText(std::string_view text) {
  return text.size() == 6 && text.substr(0, 3) == "<0x" && HexDigit(text[3]) >= 0 && HexDigit(text[4]) >= 0 &&
         text[5] == '>';
}

uint16_t AttributesOfType(int64_t type) {
  switch (type) {
    case 1:
      return kNormalToken;
    case 2:
      return kUnknownToken;
    case 3:
      return kControlToken;
    case 4:
      return kUserDefinedToken;
    case 5:
      return kUnusedToken;
    case 6:
      return kByteToken;
    default:
      return 0;
  }
}

absl::Status ReadKind(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  HEARTH_ASSIGN_OR_RETURN(auto model, metadata.GetString("tokenizer.ggml.model"));
  if (!model.has_value()) return Invalid("the file has no tokenizer.ggml.model, so text cannot be tokenised");
  HEARTH_ASSIGN_OR_RETURN(auto pre, metadata.GetString("tokenizer.ggml.pre"));
  std::string name = pre.value_or("");
  if (*model == "llama") {
    vocabulary->kind = VocabularyKind::kSpm;
  } else if (*model == "bert") {
    vocabulary->kind = VocabularyKind::kWordPiece;
  } else if (*model == "gpt2" || *model == "gemma4") {
    vocabulary->kind = VocabularyKind::kBpe;
    if (*model == "gemma4") name = "gemma4";
    vocabulary->rule = FindPreTokenizerRule(name);
    if (vocabulary->rule == nullptr) {
      return absl::UnimplementedError(absl::StrCat("unknown pre-tokenizer \"", Printable(name),
                                                   "\" (tokenizer.ggml.pre); known: ", PreTokenizerNames()));
    }
  } else {
    return absl::UnimplementedError(
        absl::StrCat("unknown tokenizer \"", Printable(*model),
                     "\" (tokenizer.ggml.model); known: llama, gpt2, gemma4, bert"));
  }
  return absl::OkStatus();
}

absl::Status ReadTokens(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  const std::vector<std::string>* tokens = metadata.FindStrings(kTokensKey);
  if (tokens == nullptr || tokens->empty()) return Invalid("the file has no array of strings ", kTokensKey);
  if (tokens->size() > static_cast<size_t>(std::numeric_limits<TokenId>::max())) {
    return Invalid(kTokensKey, " has ", tokens->size(), " entries, more than token ids can count");
  }
  vocabulary->tokens = *tokens;
  vocabulary->ids.reserve(tokens->size());
  for (TokenId id = 0; id < vocabulary->size(); ++id) {
    const std::string& text = vocabulary->tokens[id];
    if (!text.empty()) vocabulary->ids.emplace(text, id);
    vocabulary->longest_token_bytes = std::max(vocabulary->longest_token_bytes, text.size());
  }
  return absl::OkStatus();
}

absl::Status ReadTypes(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  vocabulary->attributes.assign(vocabulary->tokens.size(), kNormalToken);
  const auto read = metadata.GetInts(kTypesKey);
  HEARTH_RETURN_IF_ERROR(read.status());
  if (!read->has_value()) return absl::OkStatus();
  const std::vector<int64_t>& types = **read;
  if (types.size() != vocabulary->tokens.size()) {
    return Invalid(kTypesKey, " has ", types.size(), " entries for ", vocabulary->tokens.size(), " tokens");
  }
  for (TokenId id = 0; id < vocabulary->size(); ++id) {
    vocabulary->attributes[id] = AttributesOfType(types[id]);
    if (vocabulary->Has(id, kByteToken) && !IsByteText(vocabulary->tokens[id])) {
      return Invalid("byte token ", id, " is written \"", Printable(vocabulary->tokens[id]),
                     "\", not <0xHH>");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadScores(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  if (vocabulary->kind != VocabularyKind::kSpm) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(auto scores, metadata.GetFloats(kScoresKey));
  if (!scores.has_value()) scores.emplace(vocabulary->tokens.size(), 0.0f);
  if (scores->size() != vocabulary->tokens.size()) {
    return Invalid(kScoresKey, " has ", scores->size(), " entries for ", vocabulary->tokens.size(),
                   " tokens");
  }
  for (size_t id = 0; id < scores->size(); ++id) {
    if (std::isnan((*scores)[id])) return Invalid("the score of token ", id, " is not a number");
  }
  vocabulary->scores = *std::move(scores);
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  if (vocabulary->kind != VocabularyKind::kBpe) return absl::OkStatus();
  const std::vector<std::string>* merges = metadata.FindStrings(kMergesKey);
  if (merges == nullptr) {
    if (vocabulary->rule->merges_optional && !metadata.Has(kMergesKey)) return absl::OkStatus();
    return Invalid("the file has no array of strings ", kMergesKey);
  }
  if (merges->size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return Invalid(kMergesKey, " has too many entries");
  }
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    const std::string& merge = (*merges)[rank];
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      return Invalid("merge ", rank, " \"", Printable(merge), "\" is not two pieces with a space between them");
    }
  }
  vocabulary->merges = *merges;
  return absl::OkStatus();
}

// What each kind of vocabulary assumes where the file says nothing. Ids are never assumed: whatever stands at
// the usual place may be a word.
void SetDefaults(Vocabulary* vocabulary) {
  switch (vocabulary->kind) {
    case VocabularyKind::kSpm:
      vocabulary->add_bos = true;
      vocabulary->add_space_prefix = true;
      vocabulary->escape_spaces = true;
      break;
    case VocabularyKind::kWordPiece:
      vocabulary->add_bos = true;
      vocabulary->clean_spaces = true;
      vocabulary->escape_spaces = true;
      break;
    case VocabularyKind::kBpe:
      vocabulary->add_bos = vocabulary->rule->add_bos;
      vocabulary->clean_spaces = vocabulary->rule->clean_spaces;
      vocabulary->escape_spaces = vocabulary->rule->utf8_tokens;
      break;
  }
}

// The unknown token of a file that does not name it: the first one of that type.
void FindUnknownToken(Vocabulary* vocabulary) {
  for (TokenId id = 0; id < vocabulary->size() && vocabulary->unknown == kNoToken; ++id) {
    if (vocabulary->Has(id, kUnknownToken)) vocabulary->unknown = id;
  }
}

absl::Status ReadId(const GgufMetadata& metadata, std::string_view name, const Vocabulary& vocabulary,
                    TokenId* id) {
  const std::string key = absl::StrCat("tokenizer.ggml.", AbslView(name), "_token_id");
  HEARTH_ASSIGN_OR_RETURN(auto value, metadata.GetUint(key));
  if (!value.has_value()) return absl::OkStatus();
  if (*value >= vocabulary.tokens.size()) {
    return Invalid(key, " is ", *value, ", beyond the ", vocabulary.tokens.size(), " tokens");
  }
  *id = static_cast<TokenId>(*value);
  return absl::OkStatus();
}

absl::Status ReadSpecialIds(const GgufMetadata& metadata, FillInMiddleTokens* fim, Vocabulary* vocabulary) {
  const std::pair<std::string_view, TokenId*> kIds[] = {
      {"bos", &vocabulary->bos},         {"eos", &vocabulary->eos},
      {"eot", &vocabulary->eot},         {"eom", &vocabulary->eom},
      {"unknown", &vocabulary->unknown}, {"seperator", &vocabulary->separator},  // spelt so in the format
      {"padding", &vocabulary->padding}, {"fim_pre", &fim->prefix},
      {"fim_suf", &fim->suffix},         {"fim_mid", &fim->middle},
      {"fim_pad", &fim->padding},        {"fim_rep", &fim->repository},
      {"fim_sep", &fim->file_separator}, {"prefix", &fim->prefix},
      {"suffix", &fim->suffix},          {"middle", &fim->middle},
  };
  // WordPiece texts begin with the token that stands for the whole of them, the class.
  if (vocabulary->kind == VocabularyKind::kWordPiece)
    HEARTH_RETURN_IF_ERROR(ReadId(metadata, "cls", *vocabulary, &vocabulary->bos));
  for (const auto& [name, id] : kIds) HEARTH_RETURN_IF_ERROR(ReadId(metadata, name, *vocabulary, id));
  return absl::OkStatus();
}

absl::Status ReadFlag(const GgufMetadata& metadata, std::string_view name, bool* flag) {
  HEARTH_ASSIGN_OR_RETURN(auto value, metadata.GetBool(absl::StrCat("tokenizer.ggml.", AbslView(name))));
  *flag = value.value_or(*flag);
  return absl::OkStatus();
}

// Whether texts get the token `id` at one end. A file that asks for it must name it; where a text gets it by
// default, a file without such a token goes without.
absl::Status ReadAdding(const GgufMetadata& metadata, std::string_view name, TokenId id, bool* add) {
  const std::string key = absl::StrCat("add_", AbslView(name), "_token");
  HEARTH_RETURN_IF_ERROR(ReadFlag(metadata, key, add));
  if (!*add || id != kNoToken) return absl::OkStatus();
  if (metadata.Has("tokenizer.ggml." + key)) {
    return Invalid("tokenizer.ggml.", key, " is true, but no such token is set (tokenizer.ggml.",
                   AbslView(name), "_token_id)");
  }
  *add = false;
  return absl::OkStatus();
}

absl::Status ReadFlags(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  HEARTH_RETURN_IF_ERROR(ReadAdding(metadata, "bos", vocabulary->bos, &vocabulary->add_bos));
  HEARTH_RETURN_IF_ERROR(ReadAdding(metadata, "eos", vocabulary->eos, &vocabulary->add_eos));
  HEARTH_RETURN_IF_ERROR(ReadFlag(metadata, "add_space_prefix", &vocabulary->add_space_prefix));
  HEARTH_RETURN_IF_ERROR(ReadFlag(metadata, "normalizer.lowercase", &vocabulary->lowercase));
  vocabulary->strip_accents = vocabulary->lowercase;
  HEARTH_RETURN_IF_ERROR(ReadFlag(metadata, "normalizer.strip_accents", &vocabulary->strip_accents));
  const bool force_bos = vocabulary->rule != nullptr && vocabulary->rule->force_bos;
  if (force_bos && vocabulary->bos != kNoToken) vocabulary->add_bos = true;
  return absl::OkStatus();
}

absl::Status ReadStripping(const GgufMetadata& metadata, Vocabulary* vocabulary) {
  HEARTH_ASSIGN_OR_RETURN(auto name, metadata.GetString("general.name"));
  HEARTH_ASSIGN_OR_RETURN(auto architecture, metadata.GetString("general.architecture"));
  HEARTH_ASSIGN_OR_RETURN(auto pre, metadata.GetString("tokenizer.ggml.pre"));
  SetStripping(name.value_or(""), architecture.value_or(""), pre.value_or(""), vocabulary);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::FromMetadata(const GgufMetadata& metadata) {
  Vocabulary vocabulary;
  HEARTH_RETURN_IF_ERROR(ReadKind(metadata, &vocabulary));
  HEARTH_RETURN_IF_ERROR(ReadTokens(metadata, &vocabulary));
  HEARTH_RETURN_IF_ERROR(ReadTypes(metadata, &vocabulary));
  HEARTH_RETURN_IF_ERROR(ReadScores(metadata, &vocabulary));
  HEARTH_RETURN_IF_ERROR(ReadMerges(metadata, &vocabulary));
  SetDefaults(&vocabulary);
  FillInMiddleTokens fim;
  HEARTH_RETURN_IF_ERROR(ReadSpecialIds(metadata, &fim, &vocabulary));
  FindUnknownToken(&vocabulary);
  HEARTH_RETURN_IF_ERROR(ReadFlags(metadata, &vocabulary));
  FindEndTokens(fim, &vocabulary);
  HEARTH_RETURN_IF_ERROR(ReadStripping(metadata, &vocabulary));
  return vocabulary;
}

TokenId Vocabulary::Find(std::string_view text) const {
  const auto entry = ids.find(AbslView(text));
  return entry == ids.end() ? kNoToken : entry->second;
}

TokenId Vocabulary::FindByteToken(uint8_t byte) const {
  constexpr char kHex[] = "0123456789ABCDEF";
  const char text[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
  return Find(std::string_view(text, sizeof text));
}

}  // namespace hearth
