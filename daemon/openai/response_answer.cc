#include "daemon/openai/response_answer.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

constexpr char kInProgress[] = "in_progress";
constexpr char kCompleted[] = "completed";

}  // namespace

ResponseAnswer::ResponseAnswer(const ResponseRequest& request, std::string id, int64_t created)
    : stream_(request.stream), settings_(request.settings), id_(std::move(id)), created_(created) {}

std::string ResponseAnswer::Take(size_t, const v1::GenerateResponse& event) {
  if (event.has_started()) {
    model_ = event.started().model();
    usage_.set_prompt_tokens(event.started().prompt_tokens());
    for (const char* type : {"response.created", "response.in_progress"}) {
      Tell(type, {{"response", ToJson(kInProgress, output_)}});
    }
  }
  const v1::Delta& delta = event.delta();
  if (!delta.reasoning().empty()) Grow(Kind::kReasoning, delta.reasoning());
  if (!delta.text().empty()) Grow(Kind::kMessage, delta.text());
  for (const v1::ToolCall& call : delta.tool_calls()) TakeCall(call);
  if (event.has_finished()) {
    usage_ = event.finished().usage();
    cut_ = std::string_view(FinishReasonName(event.finished().reason())) == "length";
    Close(Status());
  }
  std::string lines = std::exchange(lines_, "");
  return stream_ ? lines : "";
}

void ResponseAnswer::Grow(Kind kind, const std::string& text) {
  if (kind_ != kind) {
    Close(kCompleted);
    if (kind == Kind::kReasoning) {
      Open(kind, {{"type", "reasoning"},
                  {"id", absl::StrCat("rs_", id_, output_.size())},
                  {"summary", ordered_json::array()}});
    } else {
      Open(kind,
           {{"type", "message"}, {"id", absl::StrCat("msg_", id_, output_.size())}, {"role", "assistant"}});
    }
    ordered_json fields = Place(true);
    fields["part"] = Part();
    Tell("response.content_part.added", std::move(fields));
  }
  text_ += text;
  ordered_json fields = Place(true);
  fields["delta"] = text;
  if (kind == Kind::kMessage) fields["logprobs"] = ordered_json::array();
  Tell(kind == Kind::kMessage ? "response.output_text.delta" : "response.reasoning_text.delta",
       std::move(fields));
}

void ResponseAnswer::TakeCall(const v1::ToolCall& call) {
  Close(kCompleted);
  Open(Kind::kCall, {{"type", "function_call"},
                     {"id", absl::StrCat("fc_", id_, output_.size())},
                     {"call_id", call.id()},
                     {"name", call.name()},
                     {"arguments", ""}});
  text_ = call.arguments();
  ordered_json fields = Place(false);
  fields["delta"] = text_;
  Tell("response.function_call_arguments.delta", std::move(fields));
  Close(kCompleted);
}

void ResponseAnswer::Open(Kind kind, ordered_json item) {
  kind_ = kind;
  item_ = std::move(item);
  text_.clear();
  ordered_json begun = item_;
  begun["status"] = kInProgress;
  if (kind != Kind::kCall) begun["content"] = ordered_json::array();
  Tell("response.output_item.added", {{"output_index", output_.size()}, {"item", std::move(begun)}});
}

void ResponseAnswer::Close(const char* status) {
  if (kind_ == Kind::kNone) return;
  ordered_json fields = Place(kind_ != Kind::kCall);
  if (kind_ == Kind::kCall) {
    item_["arguments"] = fields["arguments"] = text_;
    fields["name"] = item_["name"];
    Tell("response.function_call_arguments.done", std::move(fields));
  } else {
    ordered_json part = fields;
    fields["text"] = text_;
    if (kind_ == Kind::kMessage) fields["logprobs"] = ordered_json::array();
    Tell(kind_ == Kind::kMessage ? "response.output_text.done" : "response.reasoning_text.done",
         std::move(fields));
    part["part"] = Part();
    Tell("response.content_part.done", std::move(part));
    item_["content"] = ordered_json::array({Part()});
  }
  item_["status"] = status;
  Tell("response.output_item.done", {{"output_index", output_.size()}, {"item", item_}});
  output_.push_back(std::exchange(item_, nullptr));
  text_.clear();
  kind_ = Kind::kNone;
}

ordered_json ResponseAnswer::Place(bool content) const {
  ordered_json place = {{"item_id", item_["id"]}, {"output_index", output_.size()}};
  if (content) place["content_index"] = 0;
  return place;
}

ordered_json ResponseAnswer::Part() const {
  if (kind_ == Kind::kReasoning) return {{"type", "reasoning_text"}, {"text", text_}};
  return {{"type", "output_text"},
          {"text", text_},
          {"annotations", ordered_json::array()},
          {"logprobs", ordered_json::array()}};
}

void ResponseAnswer::Tell(const char* type, ordered_json fields) {
  if (stream_) lines_ += Event(type, next_number_++, std::move(fields));
}

std::string ResponseAnswer::Event(const char* type, int64_t number, ordered_json fields) const {
  ordered_json event = {{"type", type}, {"sequence_number", number}};
  event.update(fields);
  return absl::StrCat("event: ", type, "\n", ServerSentEvent(Dump(event)));
}

ordered_json ResponseAnswer::ToJson(const char* status, const ordered_json& output) const {
  ordered_json response = {{"id", absl::StrCat("resp_", id_)},
                           {"object", "response"},
                           {"created_at", created_},
                           {"status", status},
                           {"background", false},
                           {"error", nullptr},
                           {"incomplete_details", nullptr},
                           {"model", model_},
                           {"output", output}};
  if (cut_) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  response.update(settings_);
  response["usage"] = nullptr;
  if (std::string_view(status) == kInProgress) return response;
  response["usage"] = {{"input_tokens", usage_.prompt_tokens()},
                       {"input_tokens_details", {{"cached_tokens", usage_.cached_tokens()}}},
                       {"output_tokens", usage_.generated_tokens()},
                       {"output_tokens_details", {{"reasoning_tokens", 0}}},
                       {"total_tokens", uint64_t{usage_.prompt_tokens()} + usage_.generated_tokens()}};
  return response;
}

std::string ResponseAnswer::StreamEnd() const {
  return Event(cut_ ? "response.incomplete" : "response.completed", next_number_,
               {{"response", ToJson(Status(), output_)}});
}

std::string ResponseAnswer::StreamError(const ApiError& error) const {
  return Event("error", next_number_,
               {{"code", error.code.empty() ? ordered_json() : ordered_json(error.code)},
                {"message", Printable(error.message, 2 * kMaxDetailBytes)},
                {"param", error.param.empty() ? ordered_json() : ordered_json(error.param)}});
}

std::string ResponseAnswer::Whole() const { return Dump(ToJson(Status(), output_)); }

}  // namespace hearth
