#ifndef HEARTH_DAEMON_OPENAI_ANSWER_H_
#define HEARTH_DAEMON_OPENAI_ANSWER_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/api_error.h"
#include "daemon/openai/completion_request.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// Makes OpenAI's objects of the events of a request's choices: either chunks of a stream, or one object at
// the end. Not thread-safe.
class Answer {
 public:
  virtual ~Answer() = default;

  // The next event of a choice: Started first, Finished last. For streams: the lines to send for it, perhaps
  // none.
  virtual std::string Take(size_t choice, const v1::GenerateResponse& event) = 0;
  // Once every choice has Finished. The last lines of a stream.
  virtual std::string StreamEnd() const = 0;
  // The last lines of a stream that an error ends.
  virtual std::string StreamError(const ApiError& error) const;
  // The whole object where no stream was asked for.
  virtual std::string Whole() const = 0;
};

// What the answers of completions and chats have in common: the frame around their choices, and usage.
class AnswerFrame {
 public:
  // `id` and `created` (seconds since 1970) are the same in all chunks of an answer. Each prompt has
  // `choices_per_prompt` choices, one after the other.
  AnswerFrame(AnswerOptions options, std::string id, int64_t created, size_t choices_per_prompt)
      : options_(options), id_(std::move(id)), created_(created), choices_per_prompt_(choices_per_prompt) {}

  void Take(size_t choice, const v1::GenerateResponse& event);
  // One line of a stream with one choice, or with none and the usage.
  std::string Chunk(const char* object, nlohmann::ordered_json choice) const;
  std::string StreamEnd(const char* object) const;
  std::string Whole(const char* object, nlohmann::ordered_json choices) const;
  const AnswerOptions& options() const { return options_; }

 private:
  nlohmann::ordered_json Head(const char* object) const;
  nlohmann::ordered_json Usage() const;

  const AnswerOptions options_;
  const std::string id_;
  const int64_t created_;
  const size_t choices_per_prompt_;
  std::string model_;
  uint64_t prompt_tokens_ = 0;
  uint64_t cached_tokens_ = 0;
  uint64_t accepted_tokens_ = 0, rejected_tokens_ = 0;  // guessed and computed ahead: right, wrong
  uint64_t generated_tokens_ = 0;
};

// "data: ...\n\n": one event of a stream of server-sent events.
std::string ServerSentEvent(const std::string& data);
// Text of a message for a client: valid UTF-8 whatever the model wrote.
std::string Dump(const nlohmann::ordered_json& value);
// "stop" or "length".
const char* FinishReasonName(v1::FinishReason reason);
// A token's text; bytes that are no whole characters as "bytes:\xf0\x9f", which is how OpenAI shows them.
std::string TokenText(const std::string& bytes);
// JSON has no infinity.
double FiniteLogprob(float logprob);

// The answers to POST /v1/completions.
class CompletionAnswer final : public Answer {
 public:
  CompletionAnswer(const CompletionRequest& request, std::string id, int64_t created);

  std::string Take(size_t choice, const v1::GenerateResponse& event) override;
  std::string StreamEnd() const override { return frame_.StreamEnd(kObject); }
  std::string Whole() const override;

 private:
  static constexpr char kObject[] = "text_completion";
  struct Choice {
    std::string text;                 // not sent yet
    nlohmann::ordered_json logprobs;  // likewise; null where none are asked for
    nlohmann::ordered_json finish_reason;
    size_t characters = 0;  // of the tokens so far
  };

  static void TakeDelta(const v1::Delta& delta, Choice& choice);
  static nlohmann::ordered_json ToJson(size_t index, const Choice& choice);

  AnswerFrame frame_;
  std::vector<Choice> choices_;
};

// The answers to POST /v1/chat/completions.
class ChatAnswer final : public Answer {
 public:
  ChatAnswer(AnswerOptions options, size_t choices, std::string id, int64_t created)
      : frame_(options, std::move(id), created, choices), choices_(choices) {}

  std::string Take(size_t choice, const v1::GenerateResponse& event) override;
  std::string StreamEnd() const override { return frame_.StreamEnd(kChunk); }
  std::string Whole() const override;

 private:
  static constexpr char kChunk[] = "chat.completion.chunk";
  struct Choice {
    std::string text;  // this and the next three: not sent yet
    std::string reasoning;
    nlohmann::ordered_json calls = nlohmann::ordered_json::array();
    nlohmann::ordered_json logprobs;
    size_t call_count = 0;
    nlohmann::ordered_json finish_reason;
  };

  static void TakeDelta(const v1::Delta& delta, Choice& choice);
  static nlohmann::ordered_json MessageOf(const Choice& choice);
  // The lines of a stream for what is not sent yet.
  std::string News(size_t index, Choice& choice) const;

  std::string Chunk(size_t index, nlohmann::ordered_json delta, const nlohmann::ordered_json& logprobs,
                    const nlohmann::ordered_json& finish_reason) const;

  AnswerFrame frame_;
  std::vector<Choice> choices_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_ANSWER_H_
