#ifndef HEARTH_ENGINE_CHAT_CHAT_TEMPLATES_H_
#define HEARTH_ENGINE_CHAT_CHAT_TEMPLATES_H_

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/file/gguf.h"
#include "engine/jinja/template.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// A conversation as templates see it: what Hugging Face's transformers passes to apply_chat_template.
struct Conversation {
  nlohmann::ordered_json messages;  // an array of objects
  nlohmann::ordered_json tools;     // an array; null: none
  nlohmann::ordered_json variables =
      nlohmann::ordered_json::object();  // further ones, such as enable_thinking
  std::string template_name;             // empty: the one that fits
  bool add_generation_prompt = true;     // ends where the assistant's answer begins
};

// The chat templates of a model's file: `tokenizer.chat_template`, and those with a name,
// `tokenizer.chat_template.NAME` ("tool_use", "rag"). Immutable and thread-safe.
class ChatTemplates {
 public:
  ChatTemplates() = default;
  // A template that cannot be read is an error where it is used, no sooner: the model can still continue
  // texts. The texts of BOS and EOS are `tokenizer`'s.
  static ChatTemplates FromMetadata(const GgufMetadata& metadata, const Tokenizer& tokenizer);

  // "default" where there is one, then the others in the order of the file.
  std::vector<std::string> names() const;

  // The text that asks a model for an answer, exactly as the template makes it. Where no template is named:
  // that called "tool_use" if there are tools and it exists, else the default one. FAILED_PRECONDITION where
  // the model has no template, NOT_FOUND for an unknown name (lists the others), INVALID_ARGUMENT for a
  // template that is broken, refuses the conversation or takes too long. `now` and `zone` are for templates
  // that write the date.
  absl::StatusOr<jinja::Rendered> Render(const Conversation& conversation, absl::Time now,
                                         absl::TimeZone zone) const;

  // Whether the template that Render would use can take contents that are lists of parts; else they must be
  // texts.
  bool TakesParts(const Conversation& conversation) const;

 private:
  struct Named {
    std::string name;
    absl::StatusOr<jinja::Template> parsed;
    bool takes_parts = false;
  };

  absl::StatusOr<const Named*> Choose(const Conversation& conversation) const;
  absl::StatusOr<jinja::Rendered> RenderWith(const jinja::Template& parsed, const Conversation& conversation,
                                             absl::Time now, absl::TimeZone zone,
                                             const jinja::Limits& limits) const;

  std::vector<Named> templates_;
  nlohmann::ordered_json special_tokens_ = nlohmann::ordered_json::object();
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_CHAT_CHAT_TEMPLATES_H_
