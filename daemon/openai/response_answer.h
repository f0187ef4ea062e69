#ifndef HEARTH_DAEMON_OPENAI_RESPONSE_ANSWER_H_
#define HEARTH_DAEMON_OPENAI_RESPONSE_ANSWER_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/openai/answer.h"
#include "daemon/openai/response_request.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// The answers to POST /v1/responses: items of reasoning, text and calls, in the order in which the model
// makes them. A stream tells of each item's beginning, growth and end by events with names and numbers of
// their own (response.created ... response.completed).
class ResponseAnswer final : public Answer {
 public:
  // `id` is without a prefix; `created` in seconds since 1970.
  ResponseAnswer(const ResponseRequest& request, std::string id, int64_t created);

  std::string Take(size_t choice, const v1::GenerateResponse& event) override;
  std::string StreamEnd() const override;
  std::string StreamError(const ApiError& error) const override;
  std::string Whole() const override;

 private:
  // What an item grows by.
  enum class Kind { kNone, kReasoning, kMessage, kCall };

  // The next three add to lines_: the item of that kind that is being written, begun where there is none;
  // more of its text; its end.
  void Open(Kind kind, nlohmann::ordered_json item);
  void Grow(Kind kind, const std::string& text);
  void Close(const char* status);
  void TakeCall(const v1::ToolCall& call);

  // An event about the item that is being written, with the number that is next.
  void Tell(const char* type, nlohmann::ordered_json fields);
  // Where it stands: its id and its place among the items; with content also the place of its only part.
  nlohmann::ordered_json Place(bool content) const;
  nlohmann::ordered_json Part() const;

  // The whole object as it is now.
  nlohmann::ordered_json ToJson(const char* status, const nlohmann::ordered_json& output) const;
  const char* Status() const { return cut_ ? "incomplete" : "completed"; }
  std::string Event(const char* type, int64_t number, nlohmann::ordered_json fields) const;

  const bool stream_;
  const nlohmann::ordered_json settings_;
  const std::string id_;
  const int64_t created_;
  std::string model_;
  v1::Usage usage_;
  bool cut_ = false;  // by the number of tokens or the deadline

  nlohmann::ordered_json output_ = nlohmann::ordered_json::array();  // items that are complete
  Kind kind_ = Kind::kNone;                                          // of the item that is being written
  nlohmann::ordered_json item_;                                      // and the item, without its text
  std::string text_;                                                 // and that
  int64_t next_number_ = 0;                                          // of the stream's events
  std::string lines_;                                                // of the stream, not sent yet
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_RESPONSE_ANSWER_H_
