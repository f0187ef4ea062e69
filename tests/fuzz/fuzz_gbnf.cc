// Reads arbitrary bytes as a grammar in GBNF and follows them, and some texts, through it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/check.h"
#include "engine/grammar/gbnf_parser.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/recognizer.h"

namespace hearth::grammar {
namespace {

// Alive as long as it may end or go on; what may do neither is dead and stays so.
void Follow(Recognizer& recognizer, std::string_view text) {
  ConfigId config = recognizer.Start();
  for (const char byte : text.substr(0, 300)) {
    const bool alive = recognizer.MayEnd(config) || recognizer.MayGoOn(config);
    HEARTH_CHECK(alive == (config != kDeadConfig));
    config = recognizer.Next(config, static_cast<uint8_t>(byte));
    HEARTH_CHECK(alive || config == kDeadConfig);
    if (recognizer.Full() && !recognizer.Compact({&config, 1})) return;
  }
}

void Check(std::string_view text) {
  const auto rules = ParseGbnf(text);
  if (!rules.ok()) return;
  const auto grammar = Grammar::Compile(*rules);
  if (!grammar.ok()) return;
  Recognizer recognizer(*grammar);
  HEARTH_CHECK(recognizer.Start() != kDeadConfig);  // every grammar that is taken has texts
  Follow(recognizer, text);
  for (const std::string_view tried : {"aaaaaaaa", "{\"a\": [1, 2]}", "((()))", "\xC3\xA4\xF0\x9F\x98\x80"}) {
    Follow(recognizer, tried);
  }
}

}  // namespace
}  // namespace hearth::grammar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::grammar::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
