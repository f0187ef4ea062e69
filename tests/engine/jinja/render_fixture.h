#ifndef HEARTH_TESTS_ENGINE_JINJA_RENDER_FIXTURE_H_
#define HEARTH_TESTS_ENGINE_JINJA_RENDER_FIXTURE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "engine/jinja/template.h"

namespace hearth::jinja {

// Renders with `inputs` (JSON text), the trusted variable bos_token and a clock at 2025-01-02 03:04:05 UTC.
inline absl::StatusOr<Rendered> Render(std::string_view source, std::string_view inputs = "{}",
                                       const Limits& limits = {}) {
  const auto parsed = Template::Parse(source);
  if (!parsed.ok()) return parsed.status();
  const auto variables = nlohmann::ordered_json::parse(inputs);
  const nlohmann::ordered_json trusted = {{"bos_token", "<s>"}};
  return parsed->Render({variables, trusted, absl::FromUnixSeconds(1735787045), absl::UTCTimeZone()}, limits);
}

// The text, or the error.
inline std::string TextOf(std::string_view source, std::string_view inputs = "{}",
                          const Limits& limits = {}) {
  const auto rendered = Render(source, inputs, limits);
  return rendered.ok() ? rendered->text : "error: " + std::string(rendered.status().message());
}

// The text with «» around what came from the inputs.
inline std::string MarkedText(std::string_view source, std::string_view inputs) {
  const auto rendered = Render(source, inputs);
  if (!rendered.ok()) return "error: " + std::string(rendered.status().message());
  std::string marked;
  size_t at = 0;
  for (const ByteRange& range : rendered->inputs) {
    marked += rendered->text.substr(at, range.begin - at) + "«" +
              rendered->text.substr(range.begin, range.end - range.begin) + "»";
    at = range.end;
  }
  return marked + rendered->text.substr(at);
}

}  // namespace hearth::jinja

#endif  // HEARTH_TESTS_ENGINE_JINJA_RENDER_FIXTURE_H_
