// Renders templates for tests in other languages: each line of stdin is a JSON object with "template",
// "inputs" and "trusted" (objects), each line of stdout {"text": ..., "inputs": [[begin, end], ...]} or
// {"error": ...}. The clock stands at 2025-01-02 03:04:05 UTC.

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "engine/jinja/template.h"

namespace hearth::jinja {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<Rendered> Render(const Json& request) {
  const auto parsed = Template::Parse(request.at("template").get<std::string>());
  if (!parsed.ok()) return parsed.status();
  const Json trusted = request.value("trusted", Json::object());
  return parsed->Render(
      {request.at("inputs"), trusted, absl::FromUnixSeconds(1735787045), absl::UTCTimeZone()});
}

Json Answer(const Json& request) {
  const auto rendered = Render(request);
  if (!rendered.ok()) return {{"error", std::string(rendered.status().message())}};
  Json inputs = Json::array();
  for (const ByteRange& range : rendered->inputs) inputs.push_back({range.begin, range.end});
  return {{"text", rendered->text}, {"inputs", inputs}};
}

}  // namespace
}  // namespace hearth::jinja

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << hearth::jinja::Answer(hearth::jinja::Json::parse(line)).dump() << "\n";
  }
}
