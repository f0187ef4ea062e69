#include "daemon/openai/embedding_request.h"

#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/http/json_input.h"
#include "daemon/openai/answer.h"
#include "daemon/openai/completion_request.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

absl::Status ReadOne(const json& value, v1::EmbedInput& input) {
  if (value.is_string()) {
    input.set_text(value.get<std::string>());
    return absl::OkStatus();
  }
  if (!value.is_array()) {
    return ParamError("input", absl::StrCat("must hold texts or lists of token ids, not ", KindOf(value)));
  }
  HEARTH_ASSIGN_OR_RETURN(*input.mutable_tokens(), ReadTokenIds("input", value));
  return absl::OkStatus();
}

// A text, a list of texts, a list of token ids, or a list of such lists.
absl::Status ReadInputs(const JsonFields& fields, v1::EmbedRequest& request) {
  const json* input = fields.Find("input");
  if (input == nullptr) return ParamError("input", "is missing; give a text or token ids");
  if (input->is_array() && input->empty()) return ParamError("input", "is an empty list");
  const bool many = input->is_array() && !input->front().is_number();
  if (!many) return ReadOne(*input, *request.add_inputs());
  for (const json& one : *input) HEARTH_RETURN_IF_ERROR(ReadOne(one, *request.add_inputs()));
  return absl::OkStatus();
}

absl::Status ReadPooling(const JsonFields& fields, v1::EmbedRequest& request) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> pooling, fields.Text("pooling"));
  if (!pooling) return absl::OkStatus();
  for (const auto& [name, value] : {std::pair{"mean", v1::POOLING_MEAN}, std::pair{"cls", v1::POOLING_CLS},
                                    std::pair{"last", v1::POOLING_LAST}}) {
    if (*pooling != name) continue;
    request.set_pooling(value);
    return absl::OkStatus();
  }
  return ParamError("pooling", "must be mean, cls or last");
}

// The bytes of the values, the lowest first.
std::string Base64(const google::protobuf::RepeatedField<float>& values) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(values.size()) * sizeof(float));
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(bits >> shift));
  }
  return absl::Base64Escape(bytes);
}

}  // namespace

absl::StatusOr<EmbeddingApiRequest> ReadEmbeddingRequest(const json& body) {
  const JsonFields fields(body);
  EmbeddingApiRequest request;
  HEARTH_ASSIGN_OR_RETURN(const auto model, fields.Text("model"));
  if (model) request.request.set_model(*model);
  HEARTH_RETURN_IF_ERROR(ReadInputs(fields, request.request));
  HEARTH_RETURN_IF_ERROR(ReadPooling(fields, request.request));
  HEARTH_ASSIGN_OR_RETURN(const auto dimensions,
                          fields.Whole("dimensions", 1, std::numeric_limits<int32_t>::max()));
  if (dimensions) request.request.set_dimensions(static_cast<uint32_t>(*dimensions));
  HEARTH_ASSIGN_OR_RETURN(const auto format, fields.Text("encoding_format"));
  request.base64 = format == "base64";
  if (format && *format != "base64" && *format != "float") {
    return ParamError("encoding_format", "must be float or base64");
  }
  return request;
}

std::string EmbeddingAnswer(const v1::EmbedResponse& response, bool base64) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  uint64_t tokens = 0;
  for (const v1::Embedding& embedding : response.embeddings()) {
    tokens += embedding.tokens();
    nlohmann::ordered_json vector;
    if (base64) {
      vector = Base64(embedding.values());
    } else {
      vector = embedding.values();
    }
    data.push_back({{"object", "embedding"}, {"index", data.size()}, {"embedding", std::move(vector)}});
  }
  return Dump({{"object", "list"},
               {"data", std::move(data)},
               {"model", response.model()},
               {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

}  // namespace hearth
