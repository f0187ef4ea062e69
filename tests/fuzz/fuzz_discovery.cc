// Whatever comes by multicast DNS is refused, answered with a sound message, or a home.
#include <cstdint>
#include <string>

#include "daemon/discovery/dns_message.h"
#include "daemon/discovery/lan_home.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

const LanHome kHome{"ABCDEFG", "study", 7772, {"10.0.0.1", "fd00::1"}};

absl::Span<const uint8_t> WireOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void Check(absl::Span<const uint8_t> input) {
  for (const bool legacy : {false, true}) {
    const auto answer = AnswerFor(input, legacy, kHome);
    if (answer) HEARTH_CHECK(ReadLanHome(WireOf(answer->message)).has_value());
  }
  const auto home = ReadLanHome(input);
  if (home) HEARTH_CHECK(!home->addresses.empty() && home->port != 0);
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::Check({data, size});
  return 0;
}
