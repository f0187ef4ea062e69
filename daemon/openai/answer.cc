#include "daemon/openai/answer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

constexpr double kImpossible = -9999.0;  // what OpenAI writes for the logarithm of 0

size_t Characters(const std::string& bytes) {
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// A token as chats show it: its bytes stand beside its text.
ordered_json ChatLogprob(const v1::TokenLogprob& token) {
  const std::string& text = token.text();
  const std::vector<int> bytes(reinterpret_cast<const unsigned char*>(text.data()),
                               reinterpret_cast<const unsigned char*>(text.data()) + text.size());
  return {{"token", TokenText(text)}, {"logprob", FiniteLogprob(token.logprob())}, {"bytes", bytes}};
}

}  // namespace

std::string ServerSentEvent(const std::string& data) { return absl::StrCat("data: ", data, "\n\n"); }

std::string Dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

const char* FinishReasonName(v1::FinishReason reason) {
  const bool stopped = reason == v1::FINISH_REASON_STOP_TOKEN || reason == v1::FINISH_REASON_STOP_STRING;
  return stopped ? "stop" : "length";
}

std::string TokenText(const std::string& bytes) {
  if (IsUtf8(bytes)) return bytes;
  std::string text = "bytes:";
  for (unsigned char byte : bytes) absl::StrAppend(&text, "\\x", absl::Hex(byte, absl::kZeroPad2));
  return text;
}

double FiniteLogprob(float logprob) { return std::isfinite(logprob) ? logprob : kImpossible; }

std::string Answer::StreamError(const ApiError& error) const { return ServerSentEvent(ErrorBody(error)); }

void AnswerFrame::Take(size_t choice, const v1::GenerateResponse& event) {
  if (event.has_started()) {
    model_ = event.started().model();
    if (choice % choices_per_prompt_ == 0) prompt_tokens_ += event.started().prompt_tokens();
  }
  if (!event.has_finished()) return;
  const v1::Usage& usage = event.finished().usage();
  generated_tokens_ += usage.generated_tokens();
  accepted_tokens_ += usage.accepted_draft_tokens();
  rejected_tokens_ += usage.drafted_tokens() - usage.accepted_draft_tokens();
  if (choice % choices_per_prompt_ == 0) cached_tokens_ += usage.cached_tokens();
}

ordered_json AnswerFrame::Head(const char* object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

ordered_json AnswerFrame::Usage() const {
  return {
      {"prompt_tokens", prompt_tokens_},
      {"completion_tokens", generated_tokens_},
      {"total_tokens", prompt_tokens_ + generated_tokens_},
      {"prompt_tokens_details", {{"cached_tokens", cached_tokens_}}},
      {"completion_tokens_details",
       {{"accepted_prediction_tokens", accepted_tokens_}, {"rejected_prediction_tokens", rejected_tokens_}}}};
}

std::string AnswerFrame::Chunk(const char* object, ordered_json choice) const {
  ordered_json chunk = Head(object);
  chunk["choices"] = ordered_json::array({std::move(choice)});
  if (options_.include_usage) chunk["usage"] = nullptr;
  return ServerSentEvent(Dump(chunk));
}

std::string AnswerFrame::StreamEnd(const char* object) const {
  std::string lines;
  if (options_.include_usage) {
    ordered_json chunk = Head(object);
    chunk["choices"] = ordered_json::array();
    chunk["usage"] = Usage();
    lines = ServerSentEvent(Dump(chunk));
  }
  return lines + ServerSentEvent("[DONE]");
}

std::string AnswerFrame::Whole(const char* object, ordered_json choices) const {
  ordered_json answer = Head(object);
  answer["choices"] = std::move(choices);
  answer["usage"] = Usage();
  return Dump(answer);
}

CompletionAnswer::CompletionAnswer(const CompletionRequest& request, std::string id, int64_t created)
    : frame_(request.answer, std::move(id), created, request.n), choices_(request.choices.size()) {
  for (size_t i = 0; i < choices_.size(); ++i) choices_[i].text = request.echo[i];
}

std::string CompletionAnswer::Take(size_t index, const v1::GenerateResponse& event) {
  Choice& choice = choices_[index];
  frame_.Take(index, event);
  TakeDelta(event.delta(), choice);
  if (event.has_finished()) choice.finish_reason = FinishReasonName(event.finished().reason());
  const bool news = !choice.text.empty() || !choice.logprobs.is_null() || event.has_finished();
  if (!frame_.options().stream || !news) return "";
  std::string line = frame_.Chunk(kObject, ToJson(index, choice));
  choice.text.clear();
  choice.logprobs = nullptr;
  return line;
}

std::string CompletionAnswer::Whole() const {
  ordered_json choices = ordered_json::array();
  for (size_t i = 0; i < choices_.size(); ++i) choices.push_back(ToJson(i, choices_[i]));
  return frame_.Whole(kObject, std::move(choices));
}

void CompletionAnswer::TakeDelta(const v1::Delta& delta, Choice& choice) {
  choice.text += delta.text();
  for (const v1::TokenLogprobs& entry : delta.logprobs()) {
    ordered_json& logprobs = choice.logprobs;
    logprobs["tokens"].push_back(TokenText(entry.chosen().text()));
    logprobs["token_logprobs"].push_back(FiniteLogprob(entry.chosen().logprob()));
    ordered_json top = ordered_json::object();
    for (const v1::TokenLogprob& other : entry.top()) {
      top[TokenText(other.text())] = FiniteLogprob(other.logprob());
    }
    logprobs["top_logprobs"].push_back(std::move(top));
    logprobs["text_offset"].push_back(choice.characters);
    choice.characters += Characters(entry.chosen().text());
  }
}

ordered_json CompletionAnswer::ToJson(size_t index, const Choice& choice) {
  return {{"text", choice.text},
          {"index", index},
          {"logprobs", choice.logprobs},
          {"finish_reason", choice.finish_reason}};
}

void ChatAnswer::TakeDelta(const v1::Delta& delta, Choice& choice) {
  choice.text += delta.text();
  choice.reasoning += delta.reasoning();
  choice.call_count = std::max<size_t>(choice.call_count, delta.first_tool_call());
  for (const v1::ToolCall& call : delta.tool_calls()) {
    choice.calls.push_back({{"index", choice.call_count++},
                            {"id", call.id()},
                            {"type", "function"},
                            {"function", {{"name", call.name()}, {"arguments", call.arguments()}}}});
  }
  for (const v1::TokenLogprobs& entry : delta.logprobs()) {
    ordered_json token = ChatLogprob(entry.chosen());
    token["top_logprobs"] = ordered_json::array();
    for (const v1::TokenLogprob& top : entry.top()) token["top_logprobs"].push_back(ChatLogprob(top));
    choice.logprobs["content"].push_back(std::move(token));
  }
}

std::string ChatAnswer::Take(size_t index, const v1::GenerateResponse& event) {
  Choice& choice = choices_[index];
  frame_.Take(index, event);
  TakeDelta(event.delta(), choice);
  if (event.has_finished()) {
    const std::string_view reason = FinishReasonName(event.finished().reason());
    // Of a stream that was resumed some may have come before.
    const bool called = choice.call_count > 0 || event.finished().tool_calls() > 0;
    choice.finish_reason = called && reason == "stop" ? "tool_calls" : reason;
  }
  if (!frame_.options().stream) return "";
  std::string lines;
  if (event.has_started()) lines += Chunk(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
  lines += News(index, choice);
  if (event.has_finished()) lines += Chunk(index, ordered_json::object(), nullptr, choice.finish_reason);
  return lines;
}

std::string ChatAnswer::News(size_t index, Choice& choice) const {
  std::string lines;
  if (!choice.reasoning.empty()) {
    lines += Chunk(index, {{"reasoning_content", std::exchange(choice.reasoning, "")}}, nullptr, nullptr);
  }
  if (!choice.text.empty() || !choice.logprobs.is_null()) {
    lines += Chunk(index, {{"content", std::exchange(choice.text, "")}}, choice.logprobs, nullptr);
    choice.logprobs = nullptr;
  }
  if (!choice.calls.empty()) {
    lines +=
        Chunk(index, {{"tool_calls", std::exchange(choice.calls, ordered_json::array())}}, nullptr, nullptr);
  }
  return lines;
}

ordered_json ChatAnswer::MessageOf(const Choice& choice) {
  ordered_json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
  if (choice.calls.empty()) return message;
  if (choice.text.empty()) message["content"] = nullptr;
  message["tool_calls"] = choice.calls;
  for (ordered_json& call : message["tool_calls"]) call.erase("index");  // of streams alone
  return message;
}

std::string ChatAnswer::Chunk(size_t index, ordered_json delta, const ordered_json& logprobs,
                              const ordered_json& finish_reason) const {
  return frame_.Chunk(kChunk, {{"index", index},
                               {"delta", std::move(delta)},
                               {"logprobs", logprobs},
                               {"finish_reason", finish_reason}});
}

std::string ChatAnswer::Whole() const {
  ordered_json choices = ordered_json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    choices.push_back({{"index", i},
                       {"message", MessageOf(choice)},
                       {"logprobs", choice.logprobs},
                       {"finish_reason", choice.finish_reason}});
  }
  return frame_.Whole("chat.completion", std::move(choices));
}

}  // namespace hearth
