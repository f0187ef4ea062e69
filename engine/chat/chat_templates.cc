#include "engine/chat/chat_templates.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kKey[] = "tokenizer.chat_template";
constexpr char kNamesKey[] = "tokenizer.chat_templates";
constexpr char kDefault[] = "default";
constexpr char kToolUse[] = "tool_use";

// (name, source) of every template in the file.
std::vector<std::pair<std::string, std::string>> Sources(const GgufMetadata& metadata) {
  std::vector<std::pair<std::string, std::string>> sources;
  const std::vector<std::string>* const names = metadata.FindStrings(kNamesKey);
  if (const std::vector<std::string>* const list = metadata.FindStrings(kKey)) {
    // Files of an older form: a list, whose names are another list.
    for (size_t i = 0; i < list->size(); ++i) {
      const bool named = names != nullptr && names->size() == list->size();
      sources.emplace_back(named ? (*names)[i] : i == 0 ? kDefault : absl::StrCat(i), (*list)[i]);
    }
  } else if (const auto source = metadata.GetString(kKey); source.ok() && source->has_value()) {
    sources.emplace_back(kDefault, **source);
  }
  const std::string prefix = absl::StrCat(kKey, ".");
  for (const std::string& key : metadata.keys()) {
    if (!absl::StartsWith(key, prefix)) continue;
    const auto source = metadata.GetString(key);
    if (source.ok() && source->has_value()) sources.emplace_back(key.substr(prefix.size()), **source);
  }
  return sources;
}

}  // namespace

ChatTemplates ChatTemplates::FromMetadata(const GgufMetadata& metadata, const Tokenizer& tokenizer) {
  ChatTemplates chat;
  for (const auto& [name, id] : {std::pair("bos_token", tokenizer.bos()), {"eos_token", tokenizer.eos()}}) {
    const std::string text(tokenizer.TokenText(id));
    if (!text.empty() && IsUtf8(text)) chat.special_tokens_[name] = text;
  }
  for (auto& [name, source] : Sources(metadata)) {
    Named named{std::move(name), jinja::Template::Parse(source)};
    if (named.parsed.ok()) {
      // Asked with a content of parts it shows their text, not how Python prints a list.
      constexpr char kProbe[] = "hearth-probe";
      Conversation probe;
      probe.messages =
          Json::array({{{"role", "user"}, {"content", Json::array({{{"type", "text"}, {"text", kProbe}}})}}});
      const auto rendered =
          chat.RenderWith(*named.parsed, probe, absl::UnixEpoch(), absl::UTCTimeZone(), {.steps = 1'000'000});
      named.takes_parts = rendered.ok() && absl::StrContains(rendered->text, kProbe) &&
                          !absl::StrContains(rendered->text, "'type'") &&
                          !absl::StrContains(rendered->text, "\"type\"");
    }
    chat.templates_.push_back(std::move(named));
  }
  std::stable_partition(chat.templates_.begin(), chat.templates_.end(),
                        [](const Named& named) { return named.name == kDefault; });
  return chat;
}

std::vector<std::string> ChatTemplates::names() const {
  std::vector<std::string> names;
  for (const Named& named : templates_) names.push_back(named.name);
  return names;
}

absl::StatusOr<const ChatTemplates::Named*> ChatTemplates::Choose(const Conversation& conversation) const {
  if (templates_.empty()) {
    return absl::FailedPreconditionError(
        "the model's file has no chat template (tokenizer.chat_template): it continues texts only; use "
        "Generation.Generate or `hearth generate`, or fetch a file of the model made for chat");
  }
  const auto find = [&](std::string_view name) {
    const auto found = std::find_if(templates_.begin(), templates_.end(),
                                    [&](const Named& named) { return named.name == name; });
    return found == templates_.end() ? nullptr : &*found;
  };
  if (!conversation.template_name.empty()) {
    if (const Named* const named = find(conversation.template_name)) return named;
    return absl::NotFoundError(absl::StrCat("the model has no chat template called '",
                                            Printable(conversation.template_name),
                                            "'; it has: ", NameList(names())));
  }
  const bool tools = conversation.tools.is_array() && !conversation.tools.empty();
  const Named* const fitting = tools && find(kToolUse) != nullptr ? find(kToolUse) : find(kDefault);
  return fitting != nullptr ? fitting : &templates_.front();
}

absl::StatusOr<jinja::Rendered> ChatTemplates::RenderWith(const jinja::Template& parsed,
                                                          const Conversation& conversation, absl::Time now,
                                                          absl::TimeZone zone,
                                                          const jinja::Limits& limits) const {
  // What transformers always passes is there as none, not undefined: templates tell them apart.
  Json inputs = {{"documents", nullptr}};
  inputs.update(conversation.variables);
  inputs["messages"] = conversation.messages;
  inputs["tools"] = conversation.tools;
  inputs["add_generation_prompt"] = conversation.add_generation_prompt;
  return parsed.Render({inputs, special_tokens_, now, zone}, limits);
}

absl::StatusOr<jinja::Rendered> ChatTemplates::Render(const Conversation& conversation, absl::Time now,
                                                      absl::TimeZone zone) const {
  HEARTH_ASSIGN_OR_RETURN(const Named* const named, Choose(conversation));
  const std::string name = absl::StrCat("the model's chat template '", Printable(named->name), "'");
  if (!named->parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " cannot be read: ", named->parsed.status().message()));
  }
  auto rendered = RenderWith(*named->parsed, conversation, now, zone, {});
  if (rendered.ok()) return rendered;
  return absl::InvalidArgumentError(
      absl::StrCat(name, " cannot be applied to these messages: ", rendered.status().message()));
}

bool ChatTemplates::TakesParts(const Conversation& conversation) const {
  const auto named = Choose(conversation);
  return named.ok() && (*named)->takes_parts;
}

}  // namespace hearth
