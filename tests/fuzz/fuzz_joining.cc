// Whatever a stranger sends, or a person types, is refused, or is what it says: join codes, host ids,
// messages of joining, signing requests and certificates. The first byte chooses.
#include <cstdint>
#include <string>

#include "daemon/identity/certificate.h"
#include "daemon/identity/host_id.h"
#include "daemon/identity/join_code.h"
#include "daemon/identity/members.h"
#include "daemon/joining/join_protocol.h"
#include "engine/base/check.h"
#include "proto/certificates.h"
#include "proto/connection_key.h"

namespace hearth {
namespace {

void Check(uint8_t kind, absl::Span<const uint8_t> input) {
  const std::string text(input.begin(), input.end());
  if (kind == 0) {
    const auto code = ParseJoinCode(text);
    if (code.ok()) HEARTH_CHECK(ParseJoinCode(FormatJoinCode(*code)).value() == *code);
  } else if (kind == 1) {
    const auto id = ParseHostId(text);
    if (id.ok()) HEARTH_CHECK(ParseHostId(id->Text()).value() == *id);
  } else if (kind == 2) {
    (void)DecodeJoinOpening(input);
    (void)DecodeJoinNonce(input);
    (void)DecodeJoinReveal(input);
    (void)DecodeJoinWaiting(input);
    (void)DecodeJoinAnswer(input);
  } else if (kind == 3) {
    const auto request = ParseSigningRequest(text);
    if (request.ok()) HEARTH_CHECK(!request->name.empty());
  } else if (kind == 4) {
    (void)ParseCertificate(text);
    (void)LifeOf(text);
    (void)CheckCoordinator(text, text, absl::UnixEpoch());
  } else if (kind == 5) {
    const auto members = Members::Parse(text);
    if (members.ok()) HEARTH_CHECK(Members::Parse(members->Format()).ok());
  } else {
    (void)ParseConnectionKey(text);
  }
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) hearth::Check(data[0] % 7, {data + 1, size - 1});
  return 0;
}
