#include "daemon/requests/embed_request.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/requests/conversions.h"
#include "daemon/requests/request_checks.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

absl::StatusOr<EmbeddingOptions> Options(const v1::EmbedRequest& request, const EmbeddingTraits& traits) {
  EmbeddingOptions options;
  options.pooling = traits.pooling.value_or(Pooling::kMean);
  options.keep_length = request.keep_length();
  options.dimensions = traits.dimensions;
  if (request.pooling() != v1::POOLING_UNSPECIFIED) {
    const std::optional<Pooling> pooling = FromProto(request.pooling());
    if (!pooling) {
      return absl::InvalidArgumentError(
          absl::StrCat("pooling is ", static_cast<int>(request.pooling()), "; ask for mean, cls or last"));
    }
    options.pooling = *pooling;
  }
  if (!request.has_dimensions()) return options;
  if (request.dimensions() == 0 || request.dimensions() > traits.dimensions) {
    return absl::InvalidArgumentError(absl::StrCat("dimensions is ", request.dimensions(), "; 1 to ",
                                                   traits.dimensions, " can be had of this model"));
  }
  options.dimensions = request.dimensions();
  return options;
}

absl::StatusOr<std::vector<TokenId>> Tokens(const v1::EmbedInput& input, const Tokenizer& tokenizer,
                                            int32_t vocab_size) {
  std::vector<TokenId> tokens;
  switch (input.input_case()) {
    case v1::EmbedInput::kText:
      if (!input.text().empty()) tokens = tokenizer.Encode(input.text(), {.add_special = true});
      break;
    case v1::EmbedInput::kTokens:
      tokens.assign(input.tokens().ids().begin(), input.tokens().ids().end());
      HEARTH_RETURN_IF_ERROR(CheckTokens(tokens, vocab_size));
      break;
    case v1::EmbedInput::INPUT_NOT_SET:
      return absl::InvalidArgumentError("it has neither text nor tokens");
  }
  if (tokens.empty()) return absl::InvalidArgumentError("it is empty; it needs at least one token");
  return tokens;
}

}  // namespace

absl::StatusOr<CheckedEmbedRequest> CheckEmbedRequest(const v1::EmbedRequest& request,
                                                      const EmbeddingTraits& traits,
                                                      const Tokenizer& tokenizer, int32_t vocab_size,
                                                      uint32_t most_tokens) {
  CheckedEmbedRequest checked;
  HEARTH_ASSIGN_OR_RETURN(checked.options, Options(request, traits));
  const int count = request.inputs_size();
  if (count == 0) return absl::InvalidArgumentError("the request has no input; give a text or token ids");
  if (count > kMaxEmbedInputs || uint64_t{checked.options.dimensions} * count > kMaxEmbedValues) {
    const uint64_t most = std::min<uint64_t>(kMaxEmbedInputs, kMaxEmbedValues / checked.options.dimensions);
    return absl::InvalidArgumentError(absl::StrCat("the request has ", count, " inputs; at most ", most,
                                                   " of ", checked.options.dimensions,
                                                   " values each are embedded at once"));
  }
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<std::vector<TokenId>> tokens = Tokens(request.inputs(i), tokenizer, vocab_size);
    if (!tokens.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("input ", i, ": ", tokens.status().message()));
    }
    if (tokens->size() > most_tokens) {
      return absl::OutOfRangeError(absl::StrCat("input ", i, " has ", tokens->size(),
                                                " tokens; the model reads at most ", most_tokens,
                                                " at once: cut the text into shorter ones"));
    }
    checked.inputs.push_back(*std::move(tokens));
  }
  return checked;
}

}  // namespace hearth
