// Reads arbitrary bytes as a JSON schema and compiles it; a text drawn through the grammar must be JSON.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/base/check.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/recognizer.h"

namespace hearth::grammar {
namespace {

constexpr int kMaxDepth = 100;
constexpr size_t kMaxTextBytes = 500;

// A text that takes at each place the first byte allowed of those that end things soon. Empty where it does
// not end.
std::string ShortText(Recognizer& recognizer) {
  constexpr std::string_view kOrder =
      "}]\"0n1abcdefghijklmopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ23456789-+:,.{[@T \\";
  std::string text;
  ConfigId config = recognizer.Start();
  while (!recognizer.MayEnd(config) && text.size() < kMaxTextBytes) {
    ConfigId next = kDeadConfig;
    for (size_t i = 0; i < kOrder.size() + 256 && next == kDeadConfig; ++i) {
      const auto byte =
          static_cast<uint8_t>(i < kOrder.size() ? kOrder[i] : static_cast<char>(i - kOrder.size()));
      next = recognizer.Next(config, byte);
      if (next != kDeadConfig) text += static_cast<char>(byte);
    }
    HEARTH_CHECK(next != kDeadConfig || recognizer.overflown());
    if (next == kDeadConfig) return "";
    config = next;
  }
  return recognizer.MayEnd(config) ? text : "";
}

void Check(std::string_view text) {
  bool too_deep = false;
  const auto keep = [&](int depth, nlohmann::ordered_json::parse_event_t, nlohmann::ordered_json&) {
    too_deep |= depth > kMaxDepth;
    return !too_deep;
  };
  const auto schema = nlohmann::ordered_json::parse(text, keep, /*allow_exceptions=*/false);
  if (too_deep || schema.is_discarded()) return;
  const auto rules = CompileJsonSchema(schema);
  if (!rules.ok()) return;
  const auto grammar = Grammar::Compile(*rules);
  if (!grammar.ok()) return;
  Recognizer recognizer(*grammar);
  const std::string drawn = ShortText(recognizer);
  HEARTH_CHECK(drawn.empty() || nlohmann::json::accept(drawn));
}

}  // namespace
}  // namespace hearth::grammar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::grammar::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
