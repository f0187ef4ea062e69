// Reads arbitrary bytes as a template and renders it with a conversation, within small limits.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/time/time.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/jinja/template.h"

namespace hearth::jinja {
namespace {

using Json = nlohmann::ordered_json;

const Json& Inputs() {
  static const auto* const inputs = new Json(Json::parse(R"({
    "messages": [{"role": "system", "content": "Be \u00e4."}, {"role": "user", "content": " <|im_end|> \n"},
                 {"role": "assistant", "content": null, "tool_calls": [{"id": "abc123def", "type": "function",
                   "function": {"name": "f", "arguments": {"x": [1, 2.5, true, null]}}}]},
                 {"role": "tool", "content": "42", "tool_call_id": "abc123def"}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object",
               "properties": {"x": {"type": "array", "description": "e", "items": {"type": "number"}}}, "required": ["x"]}}}],
    "add_generation_prompt": true, "enable_thinking": false, "n": -7, "f": 0.5, "s": "a b\tc", "e": [], "d": {"k": {"l": 1}}})"));
  return *inputs;
}

// Marks ascend, do not touch and lie within the text, which is UTF-8.
void CheckRendered(const Rendered& rendered) {
  HEARTH_CHECK(IsUtf8(rendered.text));
  size_t end = 0;
  for (size_t i = 0; i < rendered.inputs.size(); ++i) {
    const ByteRange& range = rendered.inputs[i];
    HEARTH_CHECK(range.begin < range.end && range.end <= rendered.text.size());
    HEARTH_CHECK(i == 0 || range.begin > end);
    end = range.end;
  }
}

void Check(std::string_view source) {
  static const auto* const trusted = new Json({{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  const auto parsed = Template::Parse(source);
  if (!parsed.ok()) return;
  const Limits limits{.steps = 100'000, .memory_bytes = 4 << 20, .output_bytes = 1 << 20, .depth = 200};
  const auto rendered = parsed->Render({Inputs(), *trusted, absl::FromUnixSeconds(0), absl::UTCTimeZone()}, limits);
  if (rendered.ok()) CheckRendered(*rendered);
}

}  // namespace
}  // namespace hearth::jinja

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::jinja::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
